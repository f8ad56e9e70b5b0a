"""Edges for tests: the receiving side of the feed behind a real door, over something that only remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from pastebin.cdn.feed import Feed
from pastebin.errors import PastebinError
from pastebin.http import problems
from pastebin.http.signing import SignedRoutes, Verifier
from pastebin.metrics import Metrics
from pastebin.positions import Position

SECRET = b"the secret of this installation"


@dataclass
class Remembered:
    """Stands for the cache and its clock: what was purged, and how often everything was."""

    purges: list[str] = field(default_factory=list)
    positions: dict[str, Position | None] = field(default_factory=dict)
    flushes: int = 0
    noted: tuple[str, int] | None = None

    def note_feed(self, epoch: str, sequence: int) -> None:
        self.noted = (epoch, sequence)


@dataclass
class Stored:
    """The cache's part."""

    remembered: Remembered

    def purge(self, tags: Iterable[str], *, soft: bool = False) -> int:
        del soft
        self.remembered.purges += tags
        return 0

    def flush(self) -> None:
        self.remembered.flushes += 1

    def note_feed(self, epoch: str, sequence: int) -> None:
        self.remembered.noted = (epoch, sequence)


@dataclass
class Clock:
    """The purge clock's part."""

    remembered: Remembered

    def purge(self, keys: Iterable[str], position: Position | None) -> int:
        self.remembered.positions.update(dict.fromkeys(keys, position))
        return 0

    def flush(self, position: Position | None = None) -> int:
        del position
        return 0


def feed(remembered: Remembered | None = None, **options: object) -> Feed:
    """The receiving side over something that only remembers."""
    remembered = remembered or Remembered()
    return Feed(Stored(remembered), Clock(remembered), Metrics(), **{"lease_seconds": 15.0, **options})  # type: ignore[arg-type]


class EdgeProcess:
    """One edge behind a real door; while `away` is set nobody gets an answer."""

    def __init__(self) -> None:
        self.remembered = Remembered()
        self.feed = feed(self.remembered)
        self.url = ""
        self.away = False
        self.calls = 0
        self.metrics = Metrics()

    @property
    def keys(self) -> set[str]:
        return set(self.remembered.purges)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[EdgeProcess]:
        signed = SignedRoutes(Verifier(SECRET), self.metrics, 2000.0)
        application = web.Application(middlewares=[self._middleware], client_max_size=1)
        application.add_routes(self.feed.routes(signed))
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        try:
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _middleware(self, request: web.Request, handler: object) -> web.StreamResponse:
        self.calls += 1
        if self.away:
            await asyncio.sleep(3600)
        try:
            response: web.StreamResponse = await handler(request)  # type: ignore[operator]
        except PastebinError as error:
            return web.Response(status=problems.row_of(error).status)
        return response


@asynccontextmanager
async def edges(count: int) -> AsyncIterator[list[EdgeProcess]]:
    """So many of them."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(EdgeProcess().open()) for _ in range(count)]
