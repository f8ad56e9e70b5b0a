"""The origins of an edge: which of several upstreams is asked."""

from __future__ import annotations

import asyncio

from pastebin.errors import PastebinError
from pastebin.http.exchanges import Ask, Exchange, Reply
from pastebin.http.upstreams import IDLE_UNSAFE_SECONDS, Upstream, Way
from pastebin.sections import EdgeSection

_EJECTED_SECONDS = 2.0
_EJECTED_MOST_SECONDS = 30.0


class Origin:
    """One upstream, and for how long it is left alone after failing."""

    def __init__(self, way: Way, section: EdgeSection, *, is_limited: bool) -> None:
        self.upstream = Upstream(way, section, is_limited=is_limited)
        self.ejected_until = 0.0
        self._failures = 0

    def failed(self, now: float) -> None:
        """Leave it alone for a moment, twice as long each time."""
        self._failures += 1
        self.ejected_until = now + min(_EJECTED_SECONDS * 2 ** (self._failures - 1), _EJECTED_MOST_SECONDS)

    def succeeded(self) -> None:
        self._failures = 0
        self.ejected_until = 0.0


class Origins:
    """All upstreams: asked in turn, the ones that failed a moment ago only when there is no other."""

    def __init__(self, ways: list[Way], section: EdgeSection, *, is_limited: bool) -> None:
        self._origins = [Origin(way, section, is_limited=is_limited) for way in ways]
        self._turn = 0

    async def fetch(self, ask: Ask) -> Reply:
        """The answer to a request that is safe to repeat and has no body, when its head is here.

        A failure is met by asking another upstream, once. Raises BadUpstream, UpstreamUnavailable, UpstreamTimeout.
        """
        tried: list[Origin] = []
        while True:
            origin = self._choose(tried)
            try:
                reply = await origin.upstream.fetch(ask)
            except PastebinError:
                origin.failed(asyncio.get_running_loop().time())
                tried.append(origin)
                if len(tried) > 1 or len(self._origins) == 1:
                    raise
            else:
                origin.succeeded()
                return reply

    async def begin(self, ask: Ask) -> tuple[Exchange, Reply]:
        """Send the head of a request that is not repeated. Raises UpstreamUnavailable, UpstreamTimeout."""
        origin = self._choose([])
        try:
            return await origin.upstream.begin(ask, idle_seconds=IDLE_UNSAFE_SECONDS)
        except PastebinError:
            origin.failed(asyncio.get_running_loop().time())
            raise

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for origin in self._origins:
            origin.upstream.close()

    def _choose(self, tried: list[Origin]) -> Origin:
        """The next in turn that is well; else the one that was left alone for the longest; a tried one at last."""
        now = asyncio.get_running_loop().time()
        self._turn += 1
        count = len(self._origins)
        ordered = [self._origins[(self._turn + offset) % count] for offset in range(count)]
        fresh = [origin for origin in ordered if origin not in tried] or ordered
        well = [origin for origin in fresh if origin.ejected_until <= now]
        return well[0] if well else min(fresh, key=lambda origin: origin.ejected_until)
