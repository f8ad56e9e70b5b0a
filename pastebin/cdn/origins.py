"""The origins of an edge: connections kept for the next request, and which of several upstreams is asked."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from pastebin.cdn.exchanges import Ask, Exchange, Reply
from pastebin.errors import PastebinError, UpstreamTimeout, UpstreamUnavailable
from pastebin.sections import EdgeSection

# Servers close what is idle; ours after 75 s, others after 5. A connection is taken up again before that,
_IDLE_SECONDS = 4.0
# and for what must not be sent twice only if it was busy a moment ago.
_IDLE_UNSAFE_SECONDS = 0.5
_EJECTED_SECONDS = 2.0
_EJECTED_MOST_SECONDS = 30.0


class Way(Protocol):
    """How to connect to one upstream."""

    name: str

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> None: ...


class RemoteOrigin:
    """An upstream named by its URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.name = parts.netloc
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> None:
        """Raises UpstreamUnavailable."""
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(make, self._host, self._port, ssl=self._tls)
        except (OSError, ssl.SSLError) as error:
            raise UpstreamUnavailable from error


class Upstream:
    """One upstream: its idle connections, its limit, and for how long it is left alone after failing."""

    def __init__(self, way: Way, section: EdgeSection, *, is_limited: bool) -> None:
        self.name = way.name
        self.ejected_until = 0.0
        self._failures = 0
        self._way = way
        self._idle: deque[Exchange] = deque()
        self._slots = asyncio.Semaphore(section.connections) if is_limited else None
        self._connect_seconds = section.connect_timeout_seconds
        self._response_seconds = section.response_timeout_seconds

    async def begin(self, ask: Ask, *, idle_seconds: float) -> tuple[Exchange, Reply]:
        """Send the head of a request, on a connection that was idle for so long at most.

        Raises UpstreamUnavailable, UpstreamTimeout.
        """
        try:
            async with asyncio.timeout(self._connect_seconds):
                if self._slots is not None:
                    await self._slots.acquire()
                try:
                    exchange = self._take_idle(idle_seconds) or await self._connect()
                except BaseException:
                    self._release()
                    raise
        except TimeoutError:
            raise UpstreamTimeout("The origin takes no connection in time.") from None
        return exchange, exchange.begin(ask, self._response_seconds)

    def failed(self, now: float) -> None:
        """Leave it alone for a moment, twice as long each time."""
        self._failures += 1
        self.ejected_until = now + min(_EJECTED_SECONDS * 2 ** (self._failures - 1), _EJECTED_MOST_SECONDS)

    def succeeded(self) -> None:
        self._failures = 0
        self.ejected_until = 0.0

    def close(self) -> None:
        for exchange in list(self._idle):
            exchange.abort()

    async def _connect(self) -> Exchange:
        made: list[Exchange] = []

        def make() -> Exchange:
            made.append(Exchange(self._free, self._forget))
            return made[-1]

        await self._way.connect(make)
        return made[-1]

    def _take_idle(self, seconds: float) -> Exchange | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            exchange = self._idle.pop()
            if exchange.is_open and now - exchange.idle_since <= seconds:
                return exchange
            exchange.abort()
        return None

    def _free(self, exchange: Exchange, can_follow: bool) -> None:
        if can_follow:
            exchange.idle_since = asyncio.get_running_loop().time()
            self._idle.append(exchange)
        self._release()

    def _forget(self, exchange: Exchange) -> None:
        if exchange in self._idle:
            self._idle.remove(exchange)

    def _release(self) -> None:
        if self._slots is not None:
            self._slots.release()


class Origins:
    """All upstreams: asked in turn, the ones that failed a moment ago only when there is no other."""

    def __init__(self, ways: list[Way], section: EdgeSection, *, is_limited: bool) -> None:
        self._upstreams = [Upstream(way, section, is_limited=is_limited) for way in ways]
        self._turn = 0

    async def fetch(self, ask: Ask) -> Reply:
        """The answer to a request that is safe to repeat and has no body, when its head is here.

        A failure is met by asking another upstream, once. Raises BadUpstream, UpstreamUnavailable, UpstreamTimeout.
        """
        tried: list[Upstream] = []
        while True:
            upstream = self._choose(tried)
            try:
                reply = await self._ask(upstream, ask)
            except PastebinError:
                upstream.failed(asyncio.get_running_loop().time())
                tried.append(upstream)
                if len(tried) > 1 or len(self._upstreams) == 1:
                    raise
            else:
                upstream.succeeded()
                return reply

    async def _ask(self, upstream: Upstream, ask: Ask) -> Reply:
        """Ask one upstream; on a new connection if one that had been idle turns out to be closed."""
        exchange, reply = await upstream.begin(ask, idle_seconds=_IDLE_SECONDS)
        was_idle = exchange.was_used
        try:
            await reply.headed()
        except UpstreamUnavailable:
            if not was_idle or reply.has_begun:
                raise
            _, reply = await upstream.begin(ask, idle_seconds=0.0)
            await reply.headed()
        return reply

    async def begin(self, ask: Ask) -> tuple[Exchange, Reply]:
        """Send the head of a request that is not repeated. Raises UpstreamUnavailable, UpstreamTimeout."""
        upstream = self._choose([])
        try:
            return await upstream.begin(ask, idle_seconds=_IDLE_UNSAFE_SECONDS)
        except PastebinError:
            upstream.failed(asyncio.get_running_loop().time())
            raise

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for upstream in self._upstreams:
            upstream.close()

    def _choose(self, tried: list[Upstream]) -> Upstream:
        """The next in turn that is well; else the one that was left alone for the longest; a tried one at last."""
        now = asyncio.get_running_loop().time()
        self._turn += 1
        count = len(self._upstreams)
        ordered = [self._upstreams[(self._turn + offset) % count] for offset in range(count)]
        fresh = [upstream for upstream in ordered if upstream not in tried] or ordered
        well = [upstream for upstream in fresh if upstream.ejected_until <= now]
        return well[0] if well else min(fresh, key=lambda upstream: upstream.ejected_until)
