"""Several edges before real nodes: points of presence, each a node of its own, told of changes by real workers."""

from __future__ import annotations

import asyncio
import gc
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDict

from pastebin.cdn.cache import Cache
from pastebin.cdn.objects import Stored
from pastebin.cdn.targets import Equipment
from pastebin.cdn.targets.edge import EdgeTarget, HttpCarrier
from pastebin.config import load
from pastebin.loops import Loops
from tests.cluster import Servers
from tests.nodes import SECRET, Node, running

ORIGIN_ROLES = ["web", "read", "write", "cdn-worker"]


@dataclass(frozen=True)
class Answer:
    """What a client got: the body without its coding."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


async def ask(http: aiohttp.ClientSession, url: str, method: str = "GET", **headers: str) -> Answer:
    """One request; headers are written with `_` for `-`."""
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.request(method, url, headers=lines, allow_redirects=False) as response:
        body = await response.read()
        if response.headers.get("Content-Encoding") == "gzip" and body:
            body = gzip.decompress(body)
        return Answer(response.status, CIMultiDict(response.headers), body)


@dataclass(frozen=True)
class Point:
    """An edge that is running, with the cache inside it."""

    name: str
    url: str
    cache: Cache
    directory: Path
    http: aiohttp.ClientSession

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return await ask(self.http, self.url + path, method, **headers)

    def stored(self, slug: str) -> list[Stored]:
        """What it has of a paste, whatever it would do with it."""
        return [stored for stored in self.cache._index if slug in stored.key]

    async def holds(self, secret: bytes) -> bool:
        """Whether these bytes are anywhere in its memory tier or in its files, identity or gzip."""
        bodies = [stored.body for stored in self.cache._index if isinstance(stored.body, bytes)]
        bodies += await asyncio.to_thread(_files, self.directory)
        return any(secret in body or secret in _plain(body) for body in bodies)


def _files(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file()]


def _plain(body: bytes) -> bytes:
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else b""


@asynccontextmanager
async def point(
    name: str, origins: list[str], internal_port: int, directory: Path, **settings: Any
) -> AsyncIterator[Point]:
    """Run an edge while the block lasts; what it has on disk is in `directory`."""
    overrides = {
        "node.name": name,
        "node.roles": ["edge"],
        "doors.max_delay_seconds": 0.0,
        "node.secret": SECRET,
        "node.data_dir": str(directory),
        "doors.edge": "127.0.0.1:0",
        "doors.internal": f"127.0.0.1:{internal_port}",
        "edge.origin": origins,
        "edge.min_free_bytes": 0,
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    config = load(None, overrides)
    async with running(config) as (ready, _), client() as http:
        yield Point(name, ready.url("edge"), cache_in(directory), directory, http)


def client() -> aiohttp.ClientSession:
    """Anonymous, and without any limit of its own."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=120),
        auto_decompress=False,
        skip_auto_headers={"Accept-Encoding"},
    )


def cache_in(directory: Path) -> Cache:
    """The cache of the edge that keeps its files there: no door shows it, so it is looked for in memory."""
    found = [
        one
        for one in gc.get_objects()
        if isinstance(one, Cache) and one._disk is not None and one._disk.objects.is_relative_to(directory)
    ]
    return max(found, key=id) if len(found) == 1 else _only_open(found)


def _only_open(found: list[Cache]) -> Cache:
    running = [one for one in found if one._disk is not None and not one._disk.chores._thread._shutdown]
    assert len(running) == 1
    return running[0]


def local_point(of: Node, directory: Path, http: aiohttp.ClientSession) -> Point:
    """The edge that stands before the application of a node, in its process."""
    return Point(of.config.node.name, of.url, cache_in(directory), directory, http)


async def lag(servers: Servers, *delays: str) -> None:
    """Have the replicas replay what is committed from now on so much later."""
    for site, delay in zip(servers.replicas, delays, strict=True):
        async with site.server.connected() as connection:
            await connection.execute(f"alter system set recovery_min_apply_delay = '{delay}'")
            await connection.execute("select pg_reload_conf()")


async def revise(of: Node, paste: dict[str, Any], content: str) -> Answer:
    """Change it at an origin, behind the back of every edge; returns when caches have confirmed."""
    async with of.http.patch(
        f"{of.url}/api/v1/pastes/{paste['slug']}",
        json={"content": content},
        headers={"Authorization": f"Bearer {paste['token']}"},
    ) as response:
        assert response.status == 200, await response.text()
        return Answer(200, CIMultiDict(response.headers), await response.read())


async def delete(of: Node, paste: dict[str, Any]) -> Answer:
    """The same for its end."""
    async with of.http.delete(
        f"{of.url}/api/v1/pastes/{paste['slug']}", headers={"Authorization": f"Bearer {paste['token']}"}
    ) as response:
        assert response.status == 204, await response.text()
        return Answer(204, CIMultiDict(response.headers), b"")


@asynccontextmanager
async def reaching(*urls: str) -> AsyncIterator[list[EdgeTarget]]:
    """What brings messages to the internal doors of these edges, without a worker."""
    async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as http:
        equipment = Equipment(http, Loops(tasks), 5.0, "node", "", SECRET.encode())
        yield [EdgeTarget(url, HttpCarrier(url, equipment), "node") for url in urls]
