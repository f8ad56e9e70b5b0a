"""Servers that requests are passed on to: connections kept for the next request, and no more of them than allowed."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from pastebin.errors import UpstreamTimeout, UpstreamUnavailable
from pastebin.http.exchanges import Ask, Exchange, Reply
from pastebin.http.targets import is_patient

# Servers close what is idle; ours after 75 s, others after 5. A connection is taken up again before that,
IDLE_SECONDS = 4.0
# and for what must not be sent twice only if it was busy a moment ago.
IDLE_UNSAFE_SECONDS = 0.5


class Limits(Protocol):
    """How many connections an upstream is given, and for how long it may be silent."""

    @property
    def connections(self) -> int: ...

    @property
    def connect_timeout_seconds(self) -> float: ...

    @property
    def response_timeout_seconds(self) -> float: ...


class Way(Protocol):
    """How to connect to one upstream."""

    name: str

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> None: ...


class RemoteOrigin:
    """An upstream named by its URL, at one `address` of its host if that is given."""

    def __init__(self, url: str, address: str = "") -> None:
        parts = urlsplit(url)
        self.name = parts.netloc
        self._host = parts.hostname or ""
        self._address = address or self._host
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> None:
        """Raises UpstreamUnavailable."""
        loop = asyncio.get_running_loop()
        try:
            name = self._host if self._tls else None
            await loop.create_connection(make, self._address, self._port, ssl=self._tls, server_hostname=name)
        except (OSError, ssl.SSLError) as error:
            raise UpstreamUnavailable from error


class _Slots(asyncio.Semaphore):
    def take(self) -> bool:
        """As `acquire`, where nobody has to wait."""
        if self._value <= 0 or self._waiters:
            return False
        self._value -= 1
        return True


class Upstream:
    """One upstream: its idle connections, and its limit."""

    def __init__(self, way: Way, limits: Limits, *, is_limited: bool) -> None:
        self.name = way.name
        self._way = way
        self._idle: deque[Exchange] = deque()
        self._slots = _Slots(limits.connections) if is_limited else None
        self._connect_seconds = limits.connect_timeout_seconds
        self._response_seconds = limits.response_timeout_seconds

    async def begin(self, ask: Ask, *, idle_seconds: float) -> tuple[Exchange, Reply]:
        """Send the head of a request, on a connection that was idle for so long at most.

        What may be silent for long takes no slot from others; the door that it came by has a limit. Raises
        UpstreamUnavailable, UpstreamTimeout.
        """
        slots = None if is_patient(ask.target) else self._slots
        try:
            async with asyncio.timeout(self._connect_seconds):
                if slots is not None:
                    await slots.acquire()
                try:
                    exchange = self._take_idle(idle_seconds) or await self._connect()
                except BaseException:
                    if slots is not None:
                        slots.release()
                    raise
        except TimeoutError:
            raise UpstreamTimeout("The origin takes no connection in time.") from None
        exchange.has_slot = slots is not None
        return exchange, exchange.begin(ask, self._response_seconds)

    async def fetch(self, ask: Ask) -> Reply:
        """The answer to a request that is safe to repeat and has no body, when its head is here.

        On a new connection if one that had been idle turns out to be closed. Raises BadUpstream, UpstreamUnavailable,
        UpstreamTimeout.
        """
        exchange, reply = await self.begin(ask, idle_seconds=IDLE_SECONDS)
        return await self.fetched(ask, reply, was_idle=exchange.was_used)

    async def fetched(self, ask: Ask, reply: Reply, *, was_idle: bool) -> Reply:
        """The same for a request that was sent already, on a connection that `was_idle` before."""
        try:
            try:
                await reply.headed()
            except UpstreamUnavailable:
                if not was_idle or reply.has_begun:
                    raise
                _, reply = await self.begin(ask, idle_seconds=0.0)
                await reply.headed()
        except BaseException:
            reply.close()
            raise
        return reply

    def take(self) -> Exchange | None:
        """A connection that has been idle for a moment, to `start` a request on; None where there is none to be had."""
        if not self._idle or (self._slots is not None and not self._slots.take()):
            return None
        exchange = self._take_idle(IDLE_SECONDS)
        if exchange is not None:
            exchange.has_slot = self._slots is not None
        elif self._slots is not None:
            self._slots.release()
        return exchange

    def reply(self, exchange: Exchange, method: str) -> Reply:
        """What takes the rest of an answer on such a connection."""
        return Reply(exchange, method, self._response_seconds)

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
        now = time.monotonic()
        while self._idle:
            exchange = self._idle.pop()
            if exchange.is_open and now - exchange.idle_since <= seconds:
                return exchange
            exchange.abort()
        return None

    def _free(self, exchange: Exchange, can_follow: bool) -> None:
        if can_follow:
            exchange.idle_since = time.monotonic()
            self._idle.append(exchange)
        if self._slots is not None and exchange.has_slot:
            exchange.has_slot = False
            self._slots.release()

    def _forget(self, exchange: Exchange) -> None:
        if exchange in self._idle:
            self._idle.remove(exchange)
