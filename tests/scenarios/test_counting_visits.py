"""Readings at nodes of several kinds, and what an analytics service hears of them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pastebin.http.signing import Verifier
from pastebin.visits import Batch, Visit
from tests.nodes import SECRET, Node, directory, started
from tests.ports import free_port

PAGE = {"Accept": "text/html"}
BROWSER = {**PAGE, "User-Agent": "Mozilla/5.0 Firefox/140.0", "Referer": "https://news.example/x?y"}


class Analytics:
    """Takes what is signed, and counts a batch once."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self._verifier = Verifier(SECRET.encode())
        self._batches: set[str] = set()
        self._news = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self._verifier.refusal(request.method, request.raw_path, request.headers, body):
            return web.Response(status=403)
        batch = msgspec.json.decode(zlib.decompress(body, 31), type=Batch)
        if batch.id not in self._batches:
            self._batches.add(batch.id)
            self.visits += batch.visits
        self._news.set()
        return web.json_response({"taken": True})

    async def until(self, count: int) -> list[Visit]:
        """All visits so far, when there are so many."""
        async with asyncio.timeout(60):
            while len(self.visits) < count:
                self._news.clear()
                await self._news.wait()
        return self.visits


@asynccontextmanager
async def counted(dsn: str, **settings: Any) -> AsyncIterator[tuple[Node, Analytics]]:
    analytics = Analytics()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", analytics.answer)
    async with TestServer(app) as server, directory() as path:
        fast = {"visits__flush_seconds": 0.02, "visits__url": str(server.make_url("/"))}
        async with started(dsn, path, **fast, **settings) as node:
            yield node, analytics


async def get(node: Node, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> web.Response:
    async with node.http.request(method, node.url + path, headers=headers) as response:
        return web.Response(status=response.status, headers=response.headers, body=await response.read())


def told(visits: list[Visit]) -> list[tuple[str, str, str, int]]:
    return sorted((visit.kind, visit.file, visit.cache, visit.status) for visit in visits)


async def test_a_node_without_an_edge_counts_what_it_shows(database_dsn: str) -> None:
    async with counted(database_dsn) as (node, analytics):
        slug = (await node.paste("x" * 100, name="a.txt"))["slug"]
        etag = (await get(node, f"/{slug}/raw", {"DNT": "1", **BROWSER})).headers["ETag"]
        await get(node, f"/{slug}", BROWSER)
        await get(node, f"/{slug}/raw/a.txt", {"Range": "bytes=0-9"})
        await get(node, f"/{slug}/raw/a.txt", {"Range": "bytes=10-19"})
        await get(node, f"/{slug}/raw", {"If-None-Match": etag})
        await get(node, f"/api/v1/pastes/{slug}")
        for path, headers, method in (
            (f"/{slug}/raw", {"Pastebin-Counted": "1"}, "GET"),
            (f"/{slug}/raw", {}, "HEAD"),
            ("/", PAGE, "GET"),
            ("/nothing-like-this", PAGE, "GET"),
        ):
            await get(node, path, headers, method)
        secret = (await node.paste("y", max_reads=2, name="b"))["slug"]
        shown = await get(node, f"/{secret}", PAGE)
        assert "Pastebin-Analytics" not in shown.headers
        async with node.http.post(f"{node.url}/api/v1/pastes/{secret}/reveal", json={}) as response:
            assert response.status == 200
        visits = await analytics.until(6)
    assert told(visits) == [
        ("api", "", "none", 200),
        ("api", "", "none", 200),
        ("page", "", "none", 200),
        ("raw", "", "none", 200),
        ("raw", "", "none", 304),
        ("raw", "a.txt", "none", 206),
    ]
    assert [visit.referrer for visit in visits if visit.referrer] == ["news.example"]
    assert [visit.bytes for visit in visits if visit.kind == "raw"] == [100, 10, 0]
    assert {visit.slug for visit in visits} == {slug, secret}
    assert all(visit.duration_us > 0 for visit in visits)


async def test_an_edge_counts_hits_and_misses_and_its_origin_does_not(database_dsn: str) -> None:
    roles = {"node__roles": ["web", "read", "write", "cdn-worker", "edge"]}
    async with counted(database_dsn, **roles) as (node, analytics):
        slug = (await node.paste("x" * 100))["slug"]
        async with asyncio.timeout(60):
            asked = 1
            while "hit" not in (await get(node, f"/{slug}/raw", BROWSER)).headers["Cache-Status"]:
                asked += 1
        shown = await get(node, f"/{slug}/raw", {"Cookie": "owner=x"})
        assert "bypass" in shown.headers["Cache-Status"]
        visits = await analytics.until(asked + 1)
        await get(node, f"/{slug}/raw", {"Range": "bytes=0-0"})
        last = (await analytics.until(asked + 2))[-1]
    caches = [visit.cache for visit in visits[: asked + 1]]
    assert (caches[asked - 1], caches[asked]) == ("hit", "pass")
    assert "none" not in caches
    hit = visits[asked - 1]
    assert (hit.slug, hit.kind, hit.bytes, hit.referrer, hit.status) == (slug, "raw", 100, "news.example", 200)
    assert (last.cache, last.status, last.bytes) == ("hit", 206, 1)


async def test_of_two_nodes_the_edge_counts_and_what_is_not_to_be_counted_is_not(database_dsn: str) -> None:
    asked: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Pastebin-Counted"))
        headers = {"CDN-Cache-Control": "max-age=1000", "Content-Type": "text/plain", "ETag": '"x"'}
        if request.path.startswith("/private"):
            headers["Pastebin-Analytics"] = "off"
        return web.Response(text="content", headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as origin:
        settings: dict[str, Any] = {
            "node__roles": ["edge"],
            "edge__origin": str(origin.make_url("")),
            "doors__edge": "127.0.0.1:0",
        }
        settings["edge__lease_seconds"] = 0
        async with counted(database_dsn, **settings) as (node, analytics):
            url = node.running.url("edge")
            for path in ("/private1", "/public11") * 3:
                async with node.http.get(url + path) as response:
                    assert "Pastebin-Analytics" not in response.headers
                    hit = response.headers["Cache-Status"]
            assert hit.startswith("pastebin; hit")
            async with node.http.post(url + "/public11/reveal") as response:
                assert response.status == 200
            visits = await analytics.until(4)
    assert asked == ["1", "1", "1"]
    assert {visit.slug for visit in visits} == {"public11"}
    assert [visit.cache for visit in visits] == ["miss", "hit", "hit", "pass"]


@pytest.mark.parametrize("settings", [{"visits__count": False}, {"node__roles": ["cdn-worker"]}])
async def test_where_nobody_counts_nothing_is_kept(database_dsn: str, settings: dict[str, Any]) -> None:
    async with counted(database_dsn, **settings) as (node, _):
        assert not node.config.spool_directory.exists()


async def test_a_node_whose_analytics_is_away_keeps_visits_for_the_next_start(
    database_dsn: str,
) -> None:
    async with directory() as path:
        away = {"visits__url": f"http://127.0.0.1:{free_port()}"}
        async with started(database_dsn, path, **away) as node:
            slug = (await node.paste("x"))["slug"]
            await get(node, f"/{slug}/raw")
        assert list(path.glob("visits/*.visits1"))
        analytics = Analytics()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", analytics.answer)
        async with TestServer(app) as server:
            async with started(database_dsn, path, visits__url=str(server.make_url("/"))):
                (visit,) = await analytics.until(1)
        assert visit.slug == slug
