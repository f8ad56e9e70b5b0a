"""The page of all nodes, over several real ones: who may see it, what it says, and what hostile nodes cannot do."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pastebin.config import load
from pastebin.config import notices as config_notices
from pastebin.errors import ConfigError
from tests.analytics.traffic import AUTHORIZED, TOKEN
from tests.constellation import HOSTILE, Constellation, constellation, row, wait_for_everybody
from tests.http.doors import behind
from tests.nodes import directory, started

API = "/api/v1/topology"
PAGE = "/admin/topology"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_everybody(monkeypatch)


@pytest.fixture(scope="module")
async def sky(module_database_dsn: str) -> AsyncIterator[Constellation]:
    async with directory() as path, constellation(module_database_dsn, path) as one:
        yield one


async def told(sky: Constellation) -> dict[str, dict[str, Any]]:
    async with sky.web.http.get(f"{sky.web.url}{API}", headers=AUTHORIZED) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Cache-Control"] == "private, no-store"
        return {node["station"]["name"]: node for node in (await response.json())["nodes"]}


async def signed_in(browser: aiohttp.ClientSession, url: str, **fields: str) -> str:
    async with browser.post(f"{url}/admin", data={"token": TOKEN, **fields}, allow_redirects=False) as response:
        assert response.status == 303, await response.text()
        return response.headers["Location"]


async def test_every_node_is_there_and_whoever_is_silent_says_since_when(sky: Constellation) -> None:
    nodes = await told(sky)
    assert {name: node["state"] for name, node in nodes.items()} == {
        **dict.fromkeys(sky.nodes, "up"),
        "il-edge": "silent",
        "mute": "silent",
    }
    assert nodes["us-web"]["portrait"]["database"]["primary"]["state"] == "up"
    assert nodes["us-gateway"]["portrait"]["upstreams"][0]["node"] == "us-web"
    assert nodes["worker-1"]["portrait"]["queue"]["depth"] == 0
    silent = nodes["il-edge"]
    assert (silent["detail"], silent["portrait"]) == ("Connection refused", None)
    since = silent["since"]
    assert (await told(sky))["il-edge"]["since"] == since
    async with asyncio.timeout(60):
        while nodes["geodns-1"]["portrait"]["dns"]["regions"] != {"us": "up", "il": "down"}:
            await asyncio.sleep(0.1)  # until three probes have failed
            nodes = await told(sky)


async def test_without_the_token_nobody_sees_anything(sky: Constellation) -> None:
    url = sky.web.url
    async with sky.web.http.get(f"{url}{API}") as response:
        assert response.status == 401
    async with sky.web.http.get(f"{url}{API}", headers={"Authorization": "Bearer wrong"}) as response:
        assert response.status == 403
    async with sky.web.http.get(f"{url}{PAGE}", headers={"Accept": "text/html"}) as response:
        text = await response.text()
    assert response.status == 200
    assert "Admin token" in text
    assert "us-edge" not in text


async def test_a_browser_comes_from_the_door_to_the_page(sky: Constellation) -> None:
    """Also on a node without the role analytics."""
    url = sky.web.url
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        assert await signed_in(browser, url) == "/admin"
        assert await signed_in(browser, url, page="topology") == PAGE
        assert await signed_in(browser, url, page="https://evil.example") == "/admin"
        async with browser.get(f"{url}/admin") as response:
            assert PAGE in await response.text()
        async with browser.get(f"{url}{PAGE}") as response:
            page = await response.text()
            policy = response.headers["Content-Security-Policy"]
            assert (response.status, response.headers["Cache-Control"]) == (200, "private, no-store")
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert " style=" not in page
    assert page.count('<svg class="planet"') == 3
    for text in ("us-edge", "worker-1", "Connection refused", "PostgreSQL primary", "no answer"):
        assert text in page


async def test_many_who_look_cost_no_more_than_one(sky: Constellation) -> None:
    await told(sky)

    async def asked() -> float:
        async with sky.web.http.get(f"{sky.nodes['us-edge'].internal}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.split()[-1]) for line in lines if "_count{" in line and 'route="/topology"' in line)

    before, began = await asked(), time.monotonic()
    await asyncio.gather(*(told(sky) for _ in range(60)))
    # one that was under way, one at once, and one for each second
    assert await asked() - before <= 2 + time.monotonic() - began


async def test_the_switch_opens_it_for_everybody(session_database_dsn: str) -> None:
    async with (
        directory() as path,
        started(session_database_dsn, path, node__name="alone", admin__open_topology=True) as node,
        node.http.get(f"{node.url}{PAGE}") as page,
        node.http.get(f"{node.url}{API}") as response,
    ):
        assert (page.status, response.status) == (200, 200)
        nodes = (await response.json())["nodes"]
        assert [(one["station"]["name"], one["state"]) for one in nodes] == [("alone", "up")]
        assert "alone" in await page.text()
        async with node.http.get(f"{node.url}/admin/topologies") as other:
            assert other.status == 404


def test_the_switch_is_off_by_default_and_never_goes_unnoticed() -> None:
    assert not load(None).admin.open_topology
    opened = load(None, {"admin.open_topology": True})
    assert [notice.field for notice in config_notices(opened)] == ["admin.open_topology"]


def test_nodes_of_no_region_are_checked() -> None:
    nodes = [
        row("a", ["geodns"], 1),
        row("a", ["geodns"], 2),
        {"name": "b", "internal": "ftp://x"},
        {"name": "us-1", "internal": "http://x"},
    ]
    region = {"addresses": ["192.0.2.1"], "nodes": [{"name": "us-1"}]}
    with pytest.raises(ConfigError) as caught:
        load(None, {"admin.nodes": nodes, "regions.us": region})
    assert [problem.field for problem in caught.value.problems] == [
        "admin.nodes[1].name",
        "admin.nodes[2].internal",
        "admin.nodes[3].name",
    ]


async def test_what_hostile_nodes_say_is_text(session_database_dsn: str) -> None:
    """A node of another version, or one that was broken into, can put no markup into the page."""
    portrait = {
        "node": HOSTILE,
        "roles": ["edge", HOSTILE[:100]],
        "ready": False,
        "problems": {HOSTILE: HOSTILE},
        "database": {"primary": {"name": HOSTILE, "state": HOSTILE}, "replicas": [{"name": f"{HOSTILE}2"}]},
        "blobs": {"kind": "s3", "name": HOSTILE},
        "future": {"unknown": [1, 2, 3]},
    }

    async def hostile(_request: web.Request) -> web.Response:
        return web.Response(body=json.dumps(portrait).encode())

    async with directory() as path, behind([web.get("/topology", hostile)]) as door:
        nodes = [{"name": "foul", "roles": ["edge"], "internal": door.url}]
        settings: dict[str, Any] = {"admin__open_topology": True, "admin__nodes": nodes}
        async with started(session_database_dsn, path, **settings) as node:
            async with node.http.get(f"{node.url}{PAGE}") as response:
                page = await response.text()
    assert "it calls itself" in page
    assert "<script>" not in page.replace('<script type="module"', "")
    assert "\u202e" not in page
    assert re.search(r"&lt;script&gt;alert\(1\)", page)


async def test_nodes_that_answer_nonsense_are_told_of(session_database_dsn: str) -> None:
    answers = {
        "html": web.Response(text="<html>"),
        "list": web.Response(text="[1]"),
        "negative": web.Response(text='{"node": "x", "requests_per_second": -1}'),
        "bytes": web.Response(body=b'{"node": "\xff"}'),
        "deep": web.Response(text='{"node": "x", "more": ' + "[" * 400_000),
        "late": web.Response(text='{"node": "x", "started_at": 1e15}'),
        "long": web.Response(body=b" " * (2 * 1024**2)),
        "error": web.Response(status=500),
        "moved": web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    }

    async def answer(request: web.Request) -> web.Response:
        return answers[request.match_info["name"]]

    async with directory() as path, behind([web.get("/{name}/topology", answer)]) as door:
        nodes = [{"name": name, "internal": f"{door.url}/{name}"} for name in answers]
        settings: dict[str, Any] = {"admin__open_topology": True, "admin__nodes": nodes}
        async with (
            started(session_database_dsn, path, **settings) as node,
            node.http.get(f"{node.url}{API}") as response,
        ):
            found = {one["station"]["name"]: one["detail"] for one in (await response.json())["nodes"]}
            async with node.http.get(f"{node.url}/admin/topology") as page:
                assert page.status == 200
    nonsense = {found[name] for name in ("html", "list", "negative", "bytes", "deep", "late")}
    assert nonsense == {"it answers with what is no portrait of a node"}
    assert found["long"] == "it answers with more than 1048576 bytes"
    assert (found["error"], found["moved"]) == ("it answers with 500", "it answers with 302")
