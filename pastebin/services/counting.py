"""Noting who reads what, without slowing the reading: noted at once, thought about later, then put into the spool.

Addresses and agent strings live here for a moment, in memory, and go nowhere.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pastebin import sights
from pastebin.config import Config
from pastebin.loops import Loops
from pastebin.metrics import Metrics
from pastebin.sections import VisitsSection
from pastebin.services.sampling import Sampler
from pastebin.services.shipping import Shipping
from pastebin.services.spool import Spool
from pastebin.services.statistics import Statistics
from pastebin.sights import Answered, Sight
from pastebin.visits import Visit

log = logging.getLogger(__name__)

# Makes what is known of an answer from what was noted of it; None for one that is not to be counted.
Read = Callable[..., Answered | None]

_SLICE = 32  # visits thought about between two turns of the loop: less than a millisecond
_DAY_SECONDS = 86_400
_WORD = 64  # characters of what is stored for many visits
_MOST_BYTES = 2**40
_MOST_MICROSECONDS = 2**37


def _no_agent(_text: str) -> tuple[str, str, bool]:
    return "", "", False


def _no_country(_address: str) -> str:
    return ""


def _no_pseudonyms(_address: str, _agent: str, _slug: str) -> tuple[int, int, int]:
    return 0, 0, 0


def _never(_address: str, _slug: str, _now: float) -> bool:
    return False


@dataclass
class People:
    """What is made of addresses and agent strings on the spot. Without a member, what it tells is unknown.

    `agent` tells family, class and whether it is a bot; `country` ISO 3166-1 alpha-2; `pseudonyms` the period, and the
    visitor under its salt and under the one before; `is_hasty` whether an address reads as no person does.
    """

    agent: Callable[[str], tuple[str, str, bool]] = _no_agent
    country: Callable[[str], str] = _no_country
    pseudonyms: Callable[[str, str, str], tuple[int, int, int]] = _no_pseudonyms
    is_hasty: Callable[[str, str, float], bool] = _never


@dataclass(frozen=True)
class Here:
    """Where visits are noted."""

    region: str
    pop: str
    sites: frozenset[str] = frozenset()  # names under which this service is known, which refer nobody


@asynccontextmanager
async def opened(
    config: Config, loops: Loops, people: People, metrics: Metrics, statistics: Statistics
) -> AsyncIterator[Counting]:
    """The sink of a node, and its way to analytics. What is noted until the end is in the spool afterwards."""
    section = config.visits
    site = sights.host_name(urlsplit(config.site.url).netloc)
    here = Here(config.node.region[:_WORD], config.node.name[:_WORD], frozenset({site} if site else ()))

    def dropped(count: int, reason: str) -> None:
        metrics.visits_dropped.labels(reason).inc(count)

    spool = Spool.opened(
        config.spool_directory, most_bytes=section.spool_bytes, batch_events=section.batch_events, dropped=dropped
    )
    async with spool as opened_spool:
        counting = Counting(opened_spool, section, here, people, metrics)
        shipping = Shipping(opened_spool, statistics, section, metrics)
        async with loops.running(shipping.run(), name="visits-shipping"):
            try:
                async with loops.running(counting.run(), name="visits-counting"):
                    yield counting
            finally:
                await counting.flush()


class Counting:
    """The sink of visits. `note` is for the hot path; `run` does the rest, `flush` all of it at once."""

    def __init__(
        self,
        spool: Spool,
        section: VisitsSection,
        here: Here,
        people: People,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.sampler = Sampler(section.exact_per_second)
        self.due = self.sampler.due
        self.people = people
        self._spool = spool
        self._section = section
        self._here = here
        self._metrics = metrics
        self._clock = clock
        self._honoured = frozenset(section.honour)
        self._most = section.buffer_events
        self._noted: deque[tuple[float, int, Read, tuple[Any, ...]]] = deque()
        self._overflow = 0
        self._number = 0
        self._encode = msgspec.json.Encoder().encode
        metrics.visit_spool_bytes.set_function(lambda: spool.size)
        metrics.visit_spool_age.set_function(lambda: time.time() - began if (began := spool.began) else 0.0)

    def note(self, weight: int, read: Read, *what: Any) -> None:
        """Remember an answer that `due` gave this weight; `read(*what)` tells of it later."""
        if len(self._noted) < self._most:
            self._noted.append((self._clock(), weight, read, what))
        else:
            self._overflow += weight

    async def run(self) -> None:
        """Empty the buffer again and again."""
        ticked = time.monotonic()
        while True:
            await asyncio.sleep(self._section.flush_seconds)
            await self.flush()
            if (now := time.monotonic()) - ticked >= 1.0:
                self.sampler.tick()
                ticked = now

    async def flush(self) -> None:
        """Put what was noted so far into the spool, in slices, as far as its disk keeps up."""
        left = len(self._noted)
        while left > 0 and self._spool.has_room:
            self._put(self._noted.popleft() for _ in range(min(_SLICE, left)))
            left -= _SLICE
            await asyncio.sleep(0)
        if self._overflow:
            self.dropped(self._overflow, "buffer")
            self._overflow = 0

    def dropped(self, count: int, reason: str) -> None:
        """Visits that nobody will hear of."""
        self._metrics.visits_dropped.labels(reason).inc(count)

    def _put(self, noted: Iterable[tuple[float, int, Read, tuple[Any, ...]]]) -> None:
        lines: list[bytes] = []
        total = 0
        for at, weight, read, what in noted:
            try:
                answered = read(*what)
                if answered is not None and (sight := sights.seen(answered)) is not None:
                    lines.append(self._encode(self._visit(at, weight, answered, sight)))
                    total += weight
            except Exception as error:  # what one request holds must not keep the others from being counted
                self.dropped(weight, "misread")
                log.warning("a visit could not be read: %s", type(error).__name__)
        if lines:
            self._spool.put(lines)
            self._metrics.visits_noted.inc(total)

    def _visit(self, at: float, weight: int, answered: Answered, sight: Sight) -> Visit:
        people, here = self.people, self._here
        agent, agent_class, is_bot = people.agent(answered.agent)
        is_bot = people.is_hasty(answered.address, sight.slug, time.monotonic()) or is_bot
        country = referrer = ""
        period, visitor, visitor_before = int(at) // _DAY_SECONDS, 0, 0
        if self._honoured.isdisjoint(answered.wishes):
            country = people.country(answered.address)
            referrer = sights.referring_host(answered.referrer, here.sites, answered.host)
            known = people.pseudonyms(answered.address, answered.agent, sight.slug)
            if known[0]:
                period, visitor, visitor_before = known
        else:
            agent = agent_class = ""
        self._number += 1
        return Visit(
            number=self._number,
            at_ms=int(at * 1000),
            slug=sight.slug,
            file=sight.file,
            kind=sight.kind,
            cache=answered.cache,
            region=here.region,
            pop=here.pop,
            country=country,
            referrer=referrer,
            agent=agent[:_WORD],
            agent_class=agent_class[:_WORD],
            is_bot=is_bot,
            status=answered.status,
            bytes=min(max(answered.bytes, 0), _MOST_BYTES),
            duration_us=min(max(answered.duration_us, 0), _MOST_MICROSECONDS),
            weight=weight,
            period=period,
            visitor=visitor,
            visitor_before=visitor_before,
        )
