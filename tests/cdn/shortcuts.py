"""Connections with a short cut over a cache that a test fills, and an application that says what it was asked."""

from __future__ import annotations

import asyncio
import functools
import math
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from aiohttp import web

from pastebin.cdn.local import join
from pastebin.cdn.objects import Stored
from pastebin.cdn.prepared import Prepared
from pastebin.cdn.shortcut import EdgeConnection, Shortcut
from pastebin.http import app
from pastebin.http.door import Traffic
from pastebin.http.runner import Runner
from pastebin.metrics import Metrics
from tests.cdn.caches import Shelf
from tests.http.doors import LIMITS, page

HOST = "p.example"
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")


@dataclass
class Leased:
    """A lease that a test ends."""

    until: float = math.inf

    def held_until(self) -> float:
        return self.until


class Client(asyncio.Protocol):
    """The other end: collects what comes, unless it is told not to read."""

    def __init__(self) -> None:
        self.received = b""
        self.is_lost = asyncio.Event()
        self.lost_at = math.inf
        self.came = asyncio.Event()
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.came.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost_at = asyncio.get_running_loop().time()
        self.is_lost.set()
        self.came.set()

    async def answers(self, methods: list[str]) -> list[tuple[int, dict[bytes, bytes], bytes]]:
        """Status, headers and body of one answer for each of these requests, once they are all here."""
        found: list[tuple[int, dict[bytes, bytes], bytes]] = []
        at = 0
        async with asyncio.timeout(60):
            while len(found) < len(methods):
                end = self.received.find(b"\r\n\r\n", at)
                head = self.received[at : end + 4] if end >= 0 else b""
                length = _LENGTH.search(head)
                has_body = methods[len(found)] != "HEAD" and head[9:12] not in (b"204", b"304")
                size = int(length[1]) if length and has_body else 0
                if end < 0 or len(self.received) < end + 4 + size:
                    if self.is_lost.is_set():
                        raise AssertionError(f"the connection ended after {found!r} and {self.received[at:]!r}")
                    self.came.clear()
                    await self.came.wait()
                    continue
                first, *lines = head[:-4].split(b"\r\n")
                fields = dict(line.split(b": ", 1) for line in lines)
                found.append((int(first[9:12]), fields, self.received[end + 4 : end + 4 + size]))
                at = end + 4 + size
        self.received = self.received[at:]
        return found


@dataclass
class Served:
    """A short cut before an application."""

    shelf: Shelf
    shortcut: Shortcut
    server: web.Server
    metrics: Metrics
    lease: Leased
    asked: list[str] = field(default_factory=list)  # of the application behind

    async def connected(self) -> tuple[Client, EdgeConnection]:
        """A connection that waits for its first request."""
        client, served = Client(), cast(EdgeConnection, self.server())
        join(client, served)
        await asyncio.sleep(0)
        return client, served

    async def kept(self, target: str, body: bytes = b"kept", **options: Any) -> Stored:
        """Have an answer stored that is fresh from now on."""
        return await self.shelf.kept(f"{HOST}{target}", body, **{"responded_at": time.time(), **options})

    @property
    def given(self) -> int:
        """How many answers took the short cut."""
        return sum(self.shortcut.prepared.figures().values())


@asynccontextmanager
async def before(shelf: Shelf, *, write_seconds: float = 30.0, idle_seconds: float = 75.0) -> AsyncIterator[Served]:
    """Serve the cache of `shelf` for the time of the block; `edge_` names in headers are hidden."""
    metrics, lease, asked = Metrics(), Leased(), list[str]()
    shortcut = Shortcut(Prepared(shelf.cache, lease, frozenset({"surrogate-key"})))

    async def echo(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        if request.path == "/unread":
            return web.Response(text=f"{request.method} {request.raw_path}")
        body = await request.read() if request.can_read_body else b""
        return web.Response(text=f"{request.method} {request.raw_path} {len(body)}")

    routes = [web.route("*", "/{path:.*}", echo)]
    application = app.build("edge", routes, Traffic(), metrics, page, lambda: False, LIMITS)
    application._client_max_size = 1024**2
    runner = Runner(
        application,
        connection=functools.partial(EdgeConnection, shortcut=shortcut),
        write_seconds=write_seconds,
        keepalive_timeout=idle_seconds,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    assert runner.server is not None
    try:
        yield Served(shelf, shortcut, runner.server, metrics, lease, asked)
    finally:
        await runner.cleanup()


def head(target: str, *lines: str, method: str = "GET", host: str = HOST) -> bytes:
    """One request without a body."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("ascii")
