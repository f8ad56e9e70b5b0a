"""Finding the answer to a request: in the cache, in a fetch that is under way, or by one of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn import directives, freshness, intents
from pastebin.cdn.cache import Cache
from pastebin.cdn.errands import Errands
from pastebin.cdn.fetching import Fetching, Held, Outcome
from pastebin.cdn.flights import Flight, Landing, Uncacheable
from pastebin.cdn.freshness import Answer
from pastebin.cdn.generations import Generations
from pastebin.cdn.intents import Intent
from pastebin.cdn.objects import Stored
from pastebin.cdn.queries import Queries
from pastebin.cdn.statuses import CacheStatus, Forward
from pastebin.cdn.writer import Draft
from pastebin.errors import NotStored, PastebinError, UpstreamTimeout, UpstreamUnavailable
from pastebin.sections import EdgeSection

log = logging.getLogger(__name__)

_FAILURES = 3
_RESTING_SECONDS = 1.0
_MOST_WARMING = 8


@dataclass(slots=True)
class _Search:
    """One request on its way: `asked` is the purge clock when it came, `deadline` when it waits no more for others."""

    intent: Intent
    asked: int
    deadline: float
    is_alone: bool = False
    failures: int = 0
    error: PastebinError | None = None


class Obtaining:
    """Decides, for one request after the other, where its answer comes from."""

    def __init__(
        self,
        section: EdgeSection,
        cache: Cache,
        generations: Generations,
        feed: Held,
        fetching: Fetching,
        errands: Errands,
        queries: Queries,
    ) -> None:
        self._section = section
        self._cache = cache
        self._generations = generations
        self._feed = feed
        self._fetching = fetching
        self._errands = errands
        self._queries = queries
        self._deep = Uncacheable()
        self._warming = 0
        self._resting = Uncacheable()  # keys whose revalidation behind a stale answer has just failed

    def knows(self, key: str) -> bool:
        """Whether the cache has, or is getting, anything under the address."""
        key = self._queries.known(key)
        return bool(self._cache.peek(key)) or key in self._fetching.flights

    def is_personal(self, intent: Intent) -> bool:
        """Whether the node's own application answers this only to who asks: then nothing is in between.

        So it does with credentials, unless something is stored that says otherwise; and without them where it is known.
        """
        if intent.asked.only_if_cached:
            return False
        stored = self._cache.peek(intent.key)
        if hdrs.AUTHORIZATION in intent.headers:
            return not any(one.policy.for_authorised for one in stored)
        return not stored and self._fetching.personal(intent.key, time.time())

    def is_deep(self, intent: Intent, now: float) -> bool:
        """Whether parts of this address are asked of the origin, as far as nothing is stored."""
        return self._deep(intent.key, now) and not self._cache.peek(intent.key)

    def note_deep(self, intent: Intent, until: float) -> None:
        """Remember that the whole is too large to be fetched for a part of it."""
        self._deep.note(intent.key, until)

    def min_lsn(self, intent: Intent) -> str | None:
        """What an origin must have seen to answer this, though nothing of it will be stored; sealed."""
        return self._fetching.min_lsn(intent.target)

    async def obtain(self, intent: Intent, peer: str | None) -> Outcome:
        """The answer, or the beginning of it.

        Raises NotStored, BadUpstream, UpstreamUnavailable, UpstreamTimeout.
        """
        search = _Search(intent, self._generations.clock, self._now() + self._section.collapse_seconds)
        while True:
            stored, answer = self._look(intent)
            if stored is not None and answer in ("fresh", "stale-while-revalidate"):
                if answer != "fresh":
                    self._revalidate_behind(intent, stored, peer)
                return Outcome(CacheStatus(ttl=_ttl(stored)), stored=stored)
            if intent.asked.only_if_cached:
                raise NotStored
            if stored is not None and search.failures and self._fetching.may_stand_in(stored, intent, time.time()):
                status = CacheStatus("stale", ttl=_ttl(stored), is_collapsed=True, detail="stale-if-error")
                return Outcome(status, stored=stored)
            flight = None if search.is_alone else self._joinable(intent)
            if flight is None:
                return await self._lead(search, stored, peer)
            if (outcome := await self._join(search, flight, stored, peer)) is not None:
                return outcome

    def _look(self, intent: Intent) -> tuple[Stored | None, Answer]:
        """What is stored for the request, and whether it may be served."""
        stored = self._cache.find(intent.key, intent.headers)
        if stored is None or ("Authorization" in intent.headers and not stored.policy.for_authorised):
            return None, "revalidate"
        return stored, self._weighed(stored, intent.asked)

    def _weighed(self, stored: Stored, asked: directives.Directives) -> Answer:
        return freshness.serve(
            stored.policy,
            stored.responded_at,
            asked,
            time.time(),
            must_ask=not self._feed.is_held(time.monotonic()),
            soft_purged=stored.soft_purged,
        )

    def _joinable(self, intent: Intent) -> Flight | None:
        if intent.stands_alone or self._fetching.uncacheable(intent.key, time.time()):
            return None
        names = {name for stored in self._cache.peek(intent.key) for name, _ in stored.variant}
        # who is not told of purges cannot know which answers they overtake: a lease long nobody has to know
        now = time.monotonic()
        earliest = 0.0 if self._feed.is_held(now) else now - self._section.lease_seconds
        return self._fetching.flights.find(intent.key, intent.headers, tuple(sorted(names)), earliest=earliest)

    async def _join(self, search: _Search, flight: Flight, stored: Stored | None, peer: str | None) -> Outcome | None:
        """What the flight of somebody else has for this request; None: look again."""
        intent, flights = search.intent, self._fetching.flights
        landing = await flight.landed(search.deadline - self._now())
        if landing is None:
            return await self._tired(search, flight, stored, peer)
        if landing is Landing.FAILED:
            search.failures += 1
            search.error = flight.error or search.error
            if search.failures >= _FAILURES:
                raise search.error or UpstreamUnavailable
            return None
        if landing is Landing.UNCACHEABLE:
            search.is_alone = True
            return None
        if not flights.is_for(flight, search.asked) or not flight.suits(intent.headers):
            return None
        status = self._status(intent, stored)
        status.is_collapsed = True
        status.forward_status = flight.forward_status
        kept = flight.stored or (flight.fill.stored if flight.fill is not None else None)
        if kept is not None:
            status.ttl = _ttl(kept)
            return Outcome(status, stored=kept)
        if flight.fill is not None and flight.fill.is_open:
            status.ttl = _ttl(flight.fill.writer.draft)
            return Outcome(status, fill=flight.fill, reader=flight.fill.attach())
        return None

    async def _tired(self, search: _Search, flight: Flight, stored: Stored | None, peer: str | None) -> Outcome:
        """A fetch of its own for who has waited long enough; not for all of them at once."""
        search.is_alone = True
        try:
            async with asyncio.timeout(self._section.response_timeout_seconds):
                await flight.alone.acquire()
        except TimeoutError:
            raise UpstreamTimeout from None
        try:
            return await self._lead(search, stored, peer)
        finally:
            flight.alone.release()

    async def _lead(self, search: _Search, stored: Stored | None, peer: str | None) -> Outcome:
        intent = search.intent
        is_shared = not (search.is_alone or intent.stands_alone or self._fetching.uncacheable(intent.key, time.time()))
        flight = self._fetching.begin(intent, is_shared=is_shared)
        status = self._status(intent, stored)
        try:
            # what must not be stored must not change what is stored either
            known = None if intent.stands_alone else stored
            outcome = await self._fetching.lead(flight, intent, known, status, peer)
        except PastebinError as error:
            if stored is None:
                raise
            if self._fetching.may_stand_in(stored, intent, time.time()):
                status.ttl, status.detail = _ttl(stored), "stale-if-error"
                return Outcome(status, stored=stored)
            if stored.policy.must_revalidate and isinstance(error, UpstreamUnavailable):
                # RFC 9111, section 5.2.2.2
                raise UpstreamTimeout("What is stored may not be used without asking its origin.") from error
            raise
        if (kept := outcome.stored or (outcome.fill.writer.draft if outcome.fill is not None else None)) is not None:
            status.ttl = _ttl(kept)
        return outcome

    def _status(self, intent: Intent, stored: Stored | None) -> CacheStatus:
        forwarded: Forward
        if stored is None:
            forwarded = "vary-miss" if self._cache.peek(intent.key) else "uri-miss"
        else:
            forwarded = "request" if self._weighed(stored, directives.NONE) == "fresh" else "stale"
        return CacheStatus(forwarded)

    def _revalidate_behind(self, intent: Intent, stored: Stored, peer: str | None) -> None:
        """Ask the origin while the stale answer goes out; once at a time, and not at once again if it fails."""
        flights = self._fetching.flights
        names = tuple([name for name, _ in stored.variant])
        if not self._errands.has_room or self._resting(intent.key, time.time()):
            return
        if flights.find(intent.key, intent.headers, names) is None:
            # what this client has is not what is asked for now: there is nobody to hand its answer to
            plain = replace(intent, asked=directives.NONE, headers=_unconditional(intent))
            flight = self._fetching.begin(plain)
            self._errands.start(partial(self._revalidate, flight, plain, stored, peer), "revalidation")

    async def _revalidate(self, flight: Flight, intent: Intent, stored: Stored, peer: str | None) -> None:
        try:
            status = CacheStatus("stale")
            outcome = await self._fetching.lead(flight, intent, stored, status, peer)
            if status.forward_status not in (200, 304):
                self._resting.note(intent.key, time.time() + _RESTING_SECONDS)
            await _settled(outcome)
        except PastebinError as error:
            self._resting.note(intent.key, time.time() + _RESTING_SECONDS)
            log.info("a stale answer could not be revalidated: %s", error)
        finally:
            self._fetching.flights.end(flight)

    def drop(self, url: str) -> None:
        """Forget an absolute address, and what is being fetched for it."""
        key = intents.key_of(url)
        if key is not None and self.knows(key):
            self._cache.drop(self._queries.known(key))

    def warm(self, urls: Sequence[str]) -> None:
        """Fetch these absolute addresses when there is time. What is too much is left to those who will ask."""
        if self._warming < _MOST_WARMING and self._errands.has_room:
            self._warming += 1
            self._errands.start(partial(self._warm, urls), "warming")

    async def _warm(self, urls: Sequence[str]) -> None:
        try:
            for intent in (intent for url in urls for intent in intents.ahead(url, self._queries)):
                try:
                    await _settled(await self.obtain(intent, None))
                except PastebinError as error:
                    log.info("what is pushed could not be fetched: %s", error)
        finally:
            self._warming -= 1

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def _settled(outcome: Outcome) -> None:
    """Let an answer that nobody waits for become complete."""
    if outcome.reply is not None:
        outcome.reply.close()
    if outcome.fill is not None and outcome.reader is not None:
        try:
            await outcome.fill.finished()
        finally:
            outcome.fill.detach(outcome.reader)


def _ttl(kept: Stored | Draft) -> float:
    """What is left of its freshness, in seconds; below zero when it is stale."""
    left = kept.policy.lifetime - freshness.current_age(kept.policy, kept.responded_at, time.time())
    return min(left, 0.0) if isinstance(kept, Stored) and kept.soft_purged else left


def _unconditional(intent: Intent) -> CIMultiDictProxy[str]:
    headers = CIMultiDict(intent.headers)
    for name in ("Cache-Control", "Pragma", "If-None-Match", "If-Modified-Since"):
        headers.popall(name, None)
    return CIMultiDictProxy(headers)
