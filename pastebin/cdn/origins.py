"""The origins of an edge: which of several upstreams is asked."""

from __future__ import annotations

import asyncio
import time
from random import random

from pastebin.breaking import Circuit
from pastebin.errors import BadUpstream, PastebinError, UpstreamUnavailable
from pastebin.http.exchanges import Ask, Exchange, Reply
from pastebin.http.upstreams import IDLE_UNSAFE_SECONDS, Upstream, Way
from pastebin.metrics import Metrics
from pastebin.retrying import RETRY_RESERVE, RETRY_SHARE, Budget, pause_seconds
from pastebin.sections import EdgeSection

_SAFE = ("GET", "HEAD", "OPTIONS")
_EJECTED_SECONDS = 2.0
_EJECTED_MOST_SECONDS = 30.0
# Where none is left a request fails at once, and is tried again soon.
_OPEN_SECONDS = 0.5
_LONGEST_OPEN_SECONDS = 5.0


class Origin:
    """One upstream, and for how long it is left alone after failing."""

    def __init__(self, way: Way, section: EdgeSection, *, is_limited: bool) -> None:
        self.upstream = Upstream(way, section, is_limited=is_limited)
        self.circuit = Circuit(_OPEN_SECONDS, _LONGEST_OPEN_SECONDS)
        self.ejected_until = 0.0
        self._failures = 0

    def failed(self, error: PastebinError, now: float) -> None:
        """Leave it alone for a moment, twice as long each time; who does not answer at all is not asked any more."""
        (self.circuit.succeeded if isinstance(error, BadUpstream) else self.circuit.failed)(now)
        self._failures += 1
        self.ejected_until = now + min(_EJECTED_SECONDS * 2 ** (self._failures - 1), _EJECTED_MOST_SECONDS)

    def succeeded(self, now: float) -> None:
        self.circuit.succeeded(now)
        self._failures = 0
        self.ejected_until = 0.0


class Origins:
    """All upstreams: asked in turn, the ones that failed a moment ago only when there is no other."""

    def __init__(
        self,
        ways: list[Way],
        section: EdgeSection,
        *,
        is_limited: bool,
        metrics: Metrics | None = None,
        writers: Origins | None = None,
    ) -> None:
        self._writers = writers
        self._origins = [Origin(way, section, is_limited=is_limited) for way in ways]
        self._turn = 0
        self._retries = Budget(RETRY_SHARE, RETRY_RESERVE)
        self._metrics = metrics or Metrics()
        for origin in self._origins:
            self._metrics.watch_circuit("origin", origin.upstream.name, origin.circuit)

    async def fetch(self, ask: Ask) -> Reply:
        """The answer to a request that is safe to repeat and has no body, when its head is here.

        A failure is met by asking another upstream, once, within a budget. Raises BadUpstream, UpstreamUnavailable,
        UpstreamTimeout.
        """
        tried: list[Origin] = []
        self._retries.note()
        while True:
            origin = self._choose(tried)
            try:
                return await self._fetch(origin, ask)
            except PastebinError:
                tried.append(origin)
                if len(tried) > 1 or len(self._origins) == 1 or not self._may_retry():
                    raise
            await asyncio.sleep(pause_seconds(len(tried), random()))  # noqa: S311  (jitter, not a secret)

    async def begin(self, ask: Ask) -> tuple[Exchange, Reply]:
        """Send the head of a request that is not repeated; if there are `writers`, what changes something goes there.

        Raises UpstreamUnavailable, UpstreamTimeout.
        """
        if self._writers is not None and ask.method not in _SAFE:
            return await self._writers.begin(ask)
        origin = self._choose([])
        try:
            begun = await origin.upstream.begin(ask, idle_seconds=IDLE_UNSAFE_SECONDS)
        except PastebinError as error:
            origin.failed(error, time.monotonic())
            raise
        return begun

    async def _fetch(self, origin: Origin, ask: Ask) -> Reply:
        """Ask, and note what that says of the upstream."""
        origin.circuit.began(time.monotonic())
        try:
            reply = await origin.upstream.fetch(ask)
        except PastebinError as error:
            origin.failed(error, time.monotonic())
            raise
        except BaseException:
            origin.circuit.given_up()
            raise
        origin.succeeded(time.monotonic())
        return reply

    def _may_retry(self) -> bool:
        may = self._retries.take()
        if not may:
            self._metrics.retries_refused.labels("origin").inc()
        return may

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for origin in self._origins:
            origin.upstream.close()
        if self._writers is not None:
            self._writers.close()

    def _choose(self, tried: list[Origin]) -> Origin:
        """The next in turn that is well; else the one that was left alone for the longest; a tried one at last.

        Raises UpstreamUnavailable while none has answered of late, and one that is tried again has not answered yet.
        """
        now = time.monotonic()
        self._turn += 1
        count = len(self._origins)
        ordered = [self._origins[(self._turn + offset) % count] for offset in range(count)]
        admitting = [origin for origin in ordered if origin.circuit.admits(now)]
        if not admitting:
            raise UpstreamUnavailable
        fresh = [origin for origin in admitting if origin not in tried] or admitting
        well = [origin for origin in fresh if origin.ejected_until <= now]
        return well[0] if well else min(fresh, key=lambda origin: origin.ejected_until)
