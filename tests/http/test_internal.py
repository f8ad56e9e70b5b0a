"""The internal door: alive, started, ready, and figures."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest.mock import ANY

import pytest

from pastebin.embedded.server import primary
from pastebin.http import internal as module
from pastebin.http.internal import Check, Health
from pastebin.sections import EmbeddedSection
from pastebin.store import schema
from tests.nodes import Node, directory, started

PATHS = ["/livez", "/readyz", "/startupz", "/metrics", "/topology"]


async def ask(node: Node, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    async with node.http.request(method, node.internal + path, headers=headers) as response:
        return response.status, await response.read(), response.headers.copy()


async def readiness(node: Node) -> tuple[int, dict[str, Any]]:
    status, body, _ = await ask(node, "/readyz")
    return status, json.loads(body)


class Checks:
    """Checks of resources that are as a test wants them."""

    def __init__(self, **wrong: str | None) -> None:
        self.wrong = wrong
        self.asked = 0

    def health(self) -> Health:
        return Health({name: self._check(name) for name in self.wrong}, started=True)

    def _check(self, name: str) -> Check:
        async def check() -> str | None:
            self.asked += 1
            if self.wrong[name] == "silence":
                await asyncio.Event().wait()
            return self.wrong[name]

        return check


async def test_a_node_at_work(node: Node) -> None:
    for path, body in [
        ("/livez", {"status": "alive"}),
        ("/startupz", {"status": "started"}),
        ("/readyz", {"status": "ready", "problems": {}, "requests_per_second": ANY, "secret": ANY}),
    ]:
        status, text, headers = await ask(node, path)
        assert (status, json.loads(text)) == (200, body)
        assert (headers["Content-Type"], headers["Cache-Control"]) == ("application/json", "no-store")


@pytest.mark.parametrize("path", PATHS)
async def test_probes_may_use_head_and_nothing_may_be_posted(node: Node, path: str) -> None:
    assert (await ask(node, path, "HEAD"))[:2] == (200, b"")
    status, body, headers = await ask(node, path, "POST", Accept="text/html")
    assert (status, headers["Content-Type"]) == (405, "application/problem+json")
    assert json.loads(body)["status"] == 405


@pytest.mark.parametrize("path", PATHS)
async def test_the_public_door_knows_nothing_of_it(node: Node, path: str) -> None:
    async with node.http.get(node.url + path) as response:
        assert response.status == 404


async def test_the_internal_door_knows_nothing_of_pastes(node: Node) -> None:
    created = await node.paste()
    for path in ("/", f"/{created['slug']}", f"/{created['slug']}/raw", "/api/v1/limits"):
        assert (await ask(node, path))[0] == 404


async def test_figures_are_prometheus_text_and_hold_no_slugs(node: Node) -> None:
    created = await node.paste()
    async with node.http.get(created["raw_url"]) as response:
        assert response.status == 200
    status, body, headers = await ask(node, "/metrics")
    text = body.decode()
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    for line in (
        'pastebin_build_info{version="',
        'pastebin_http_request_duration_seconds_count{door="origin",method="GET",route="/{slug}/raw",status="200"}',
        'pastebin_pastes_published_total{kind="created"}',
        "pastebin_expired_but_present ",
        "pastebin_expired_oldest_age_seconds ",
        "pastebin_loop_lag_seconds ",
        "process_resident_memory_bytes ",
    ):
        assert f"\n{line}" in text, line
    assert created["slug"] not in text


async def test_before_the_start_and_while_draining_a_node_is_not_ready() -> None:
    health = Checks(database=None).health()
    health.started = False
    assert await health.problems() == {"node": "starting"}
    health.started = True
    assert await health.problems() == {}
    health.draining = True
    assert await health.problems() == {"node": "draining"}


async def test_every_resource_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHECK_SECONDS", 0.01)
    health = Checks(database="the primary does not answer", blobs=None, other="silence").health()
    assert await health.problems() == {"database": "the primary does not answer", "other": "no answer in 0.01 s"}


async def test_many_probes_cost_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHED_SECONDS", 1000.0)
    checks = Checks(database="away")
    health = checks.health()
    for _ in range(10):
        assert await health.problems() == {"database": "away"}
    assert checks.asked == 1
    monkeypatch.setattr(module, "_CACHED_SECONDS", -1.0)
    checks.wrong["database"] = None
    assert await health.problems() == {}


async def test_without_its_database_a_node_is_alive_but_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHED_SECONDS", 0.0)
    async with directory() as path, primary(EmbeddedSection(durable=False), path / "db") as server:
        await schema.migrate(server.dsn)
        async with started(server.dsn, path / "node") as node:
            created = await node.paste("kept\n")
            await server.stop()
            status, answer = await readiness(node)
            assert (status, answer["status"], list(answer["problems"])) == (503, "not ready", ["database"])
            assert (await ask(node, "/livez"))[0] == 200
            assert (await ask(node, "/startupz"))[0] == 200
            assert b"\npastebin_ready 0.0\n" in (await ask(node, "/metrics"))[1]
            async with node.http.get(created["raw_url"]) as response:
                assert (response.status, response.content_type) == (503, "application/problem+json")
                assert int(response.headers["Retry-After"]) > 0
                assert json.loads(await response.read())["type"] == "/problems/database-unavailable"
            async with node.http.post(node.url, data=b"x", headers={"Accept": "text/html"}) as response:
                assert (response.status, response.content_type) == (503, "text/html")
            await server.start()
            async with asyncio.timeout(60):
                while (await readiness(node))[0] != 200:
                    pass
            assert b"\npastebin_ready 1.0\n" in (await ask(node, "/metrics"))[1]
            async with node.http.get(created["raw_url"]) as response:
                assert (response.status, await response.read()) == (200, b"kept\n")
