"""Edges for tests: the receiving side of the feed behind a real door, over something that only remembers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from pastebin.cdn.feed import Feed
from pastebin.cdn.generations import Requirement
from pastebin.cdn.targets.edge import EdgeTarget, LocalCarrier
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
    required: list[Requirement] = field(default_factory=list)
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

    def require(self, required: Requirement) -> None:
        self.remembered.required.append(required)


def feed(remembered: Remembered | None = None, **options: object) -> Feed:
    """The receiving side over something that only remembers."""
    remembered = remembered or Remembered()
    return Feed(Stored(remembered), Clock(remembered), Metrics(), **{"lease_seconds": 15.0, **options})  # type: ignore[arg-type]


class EdgeProcess:
    """One edge behind a real door; while `away` is set nobody gets an answer."""

    def __init__(self, remembered: Remembered | None = None, secret: bytes = SECRET) -> None:
        self.remembered = remembered or Remembered()
        self.feed = feed(self.remembered)
        self.url = ""
        self.away = False
        self._wait = asyncio.Event()
        self.calls = 0
        self.metrics = Metrics()
        self._signed = SignedRoutes(Verifier(secret), self.metrics, 2000.0)

    @property
    def keys(self) -> set[str]:
        return set(self.remembered.purges)

    @property
    def is_held(self) -> bool:
        return self.feed.is_held(time.monotonic())

    def let_go(self) -> None:
        """Answer those who came while it was away."""
        self._wait.set()

    def restart(self, receiving: Feed) -> None:
        """Go on as another process would, from what that knows."""
        self.feed = receiving

    def here(self) -> EdgeTarget:
        """As a target in the same process."""
        return EdgeTarget("local:node", LocalCarrier(lambda: self.feed), "node")

    async def _take(self, request: web.Request) -> web.StreamResponse:
        """Whatever feed there is now."""
        route = next(route for route in self.feed.routes(self._signed) if route.path == request.path)  # type: ignore[attr-defined]
        response: web.StreamResponse = await route.handler(request)  # type: ignore[attr-defined]
        return response

    @asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator[EdgeProcess]:
        application = web.Application(middlewares=[self._middleware], client_max_size=1)
        application.router.add_route("*", "/{path:.*}", self._take)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
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
            await self._wait.wait()
        try:
            response: web.StreamResponse = await handler(request)  # type: ignore[operator]
        except PastebinError as error:
            return web.Response(status=problems.row_of(error).status)
        return response


@asynccontextmanager
async def edges(count: int, secret: bytes = SECRET) -> AsyncIterator[list[EdgeProcess]]:
    """So many of them."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(EdgeProcess(secret=secret).open()) for _ in range(count)]
