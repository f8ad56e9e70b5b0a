"""Real Varnish before a real node that purges it: hits, and nothing old after a change has been acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.cluster import Servers, cluster, until
from tests.nodes import Node, directory, started
from tests.ports import free_port
from tests.varnish import SECRET, Varnish, varnish_before

pytestmark = pytest.mark.scenario

_LAG = "2s"


@dataclass(frozen=True)
class Service:
    """A node whose replica lags, with Varnish before it."""

    servers: Servers
    node: Node
    varnish: Varnish
    http: aiohttp.ClientSession

    async def read(self, path: str, **headers: str) -> tuple[int, str, bytes]:
        """Status, how Varnish came by it, body."""
        async with self.http.get(self.varnish.url + path, headers=headers) as response:
            how = response.headers["Cache-Status"].removeprefix("varnish; ")
            return response.status, how, await response.read()

    async def create(self, content: str, **options: Any) -> dict[str, Any]:
        url = f"{self.varnish.url}/api/v1/pastes"
        async with self.http.post(url, json={"content": content, **options}) as response:
            assert response.status == 201, await response.text()
            created: dict[str, Any] = await response.json()
            return created

    async def revise(self, paste: dict[str, Any], content: str, url: str = "") -> None:
        """Through Varnish, or by another `url` that it does not see."""
        async with self.http.patch(
            f"{url or self.varnish.url}/api/v1/pastes/{paste['slug']}",
            json={"content": content},
            headers={"Authorization": f"Bearer {paste['token']}"},
        ) as response:
            assert response.status == 200, await response.text()

    async def delete(self, paste: dict[str, Any], url: str = "") -> str:
        """The same; what the answer says about purging."""
        async with self.http.delete(
            f"{url or self.varnish.url}/api/v1/pastes/{paste['slug']}",
            headers={"Authorization": f"Bearer {paste['token']}"},
        ) as response:
            assert response.status == 204, await response.text()
            return response.headers["Pastebin-Purge"]


def addresses(slug: str) -> list[str]:
    return [
        f"/{slug}",
        f"/{slug}/raw",
        f"/raw/{slug}",
        f"/{slug}/raw?lines=1-1",
        f"/{slug}.py",
        f"/api/v1/pastes/{slug}",
    ]


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(cluster(1))
        for site in servers.replicas:
            async with site.server.connected() as connection:
                await connection.execute(f"alter system set recovery_min_apply_delay = '{_LAG}'")
                await connection.execute("select pg_reload_conf()")
        port = free_port()
        varnish = await stack.enter_async_context(varnish_before(port))
        path = await stack.enter_async_context(directory())
        options = {
            "node__roles": ["web", "read", "write", "cdn-worker"],
            "doors__origin": f"127.0.0.1:{port}",
            "database__replicas": [site.dsn for site in servers.replicas],
            "database__check_interval_seconds": 0.3,
            "database__slow_start_seconds": 0.0,
            "cdn__confirm_seconds": 10.0,
            "cdn__targets": [{"name": "varnish", "kind": "varnish", "url": varnish.url, "token": SECRET}],
        }
        node = await stack.enter_async_context(started(servers.primary.dsn, path, **options))
        http = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=60))
        )
        yield Service(servers, node, varnish, http)


@pytest.mark.parametrize("is_seen", [True, False], ids=["through varnish", "behind its back"])
async def test_the_life_of_a_paste(is_seen: bool, service: Service) -> None:
    url = "" if is_seen else service.node.url
    paste = await service.create("first\n")
    await service.servers.caught_up()
    paths = addresses(paste["slug"])
    for path in paths:
        status, _, body = await service.read(path)
        assert (status, b"first" in body or path.startswith("/api/")) == (200, True)
    await asyncio.sleep(0.01)  # what is asked for within the millisecond of a purge is not kept
    for path in paths:
        await service.read(path)
        assert (await service.read(path))[1] == "hit", path
    await service.revise(paste, "second\n", url)
    for path in paths:
        status, _, body = await service.read(path)
        assert status == 200
        assert b"first" not in body
        assert b"second" in body or b'"revision":2' in body.replace(b" ", b"")
    assert "confirmed; edges=1" in await service.delete(paste, url)
    assert {(await service.read(path))[0] for path in paths} == {404}


async def test_a_name_that_was_asked_for_before_it_was_given(service: Service) -> None:
    slug = "a-name-of-its-own"
    assert [(await service.read(f"/{slug}/raw"))[0] for _ in range(3)] == [404] * 3
    await service.create("here\n", slug=slug)
    status, _, body = await service.read(f"/{slug}/raw")
    assert (status, body) == (200, b"here\n")


async def test_nobody_sees_what_was_before_an_acknowledged_change(service: Service) -> None:
    """Readers that never stop, while a replica that lags by seconds answers what Varnish does not have.

    Whatever is new is kept: each version is changed again when it has come from there.
    """
    pastes = [await service.create(f"0 {number}\n") for number in range(10)]
    await service.servers.caught_up()  # what a replica has never heard of is looked up on the primary
    acknowledged = [0] * len(pastes)
    shown = [-1] * len(pastes)  # by the cache itself
    stale = list[tuple[int, int, bytes]]()
    is_over = asyncio.Event()

    async def read(number: int) -> None:
        while not is_over.is_set():
            least = acknowledged[number]
            status, how, body = await service.read(f"/{pastes[number]['slug']}/raw")
            if how == "hit":
                shown[number] = int(body.split()[0])
            if status != 200 or int(body.split()[0]) < least:
                stale.append((number, least, body))

    async def revise(number: int) -> None:
        for version in range(1, 11):
            await service.revise(pastes[number], f"{version} {number}\n", service.node.url)
            acknowledged[number] = version
            await until(lambda: shown[number] == version)  # noqa: B023  (awaited here)

    async with asyncio.TaskGroup() as readers:
        for number in range(len(pastes)):
            readers.create_task(read(number))
        async with asyncio.TaskGroup() as writers:
            for number in range(len(pastes)):
                writers.create_task(revise(number))
        is_over.set()
    assert stale == []


async def test_what_is_secret_or_personal_is_not_kept(service: Service) -> None:
    private = await service.create("for my eyes\n", visibility="private")
    burning = await service.create("once\n", burn=True)
    public = await service.create("for all\n")
    bearer = {"Authorization": f"Bearer {private['token']}"}
    for _ in range(2):
        assert (await service.read(f"/{private['slug']}/raw", **bearer))[:2] == (200, "fwd=bypass")
        assert (await service.read(f"/{private['slug']}/raw"))[0] == 404
        assert (await service.read(f"/{burning['slug']}"))[1] != "hit"
        assert (await service.read(f"/{public['slug']}", Cookie="consistency=x"))[1] == "fwd=bypass"


async def test_varnish_away_and_back(service: Service) -> None:
    """A change does not wait for ever; what it missed is told when it is back."""
    port = free_port()
    late = {"name": "late", "kind": "varnish", "url": f"http://127.0.0.1:{port}", "token": SECRET}
    options = {"cdn__targets": [late], "cdn__confirm_seconds": 0.5, "cdn__retry_max_seconds": 0.5}
    roles = ["web", "read", "write", "cdn-worker"]
    async with directory() as path, started(service.node.dsn, path, node__roles=roles, **options) as node:
        paste = await service.create("x\n")
        assert "partial" in await service.delete(paste, node.url)
        async with varnish_before(int(node.url.rpartition(":")[2]), port=port):
            paste = await service.create("x\n")
            async with asyncio.timeout(90):
                while "confirmed" not in await service.delete(paste, node.url):
                    paste = await service.create("x\n")
