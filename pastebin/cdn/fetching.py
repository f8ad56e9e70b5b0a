"""Asking the origin, and what becomes of its answer: stored, confirmed, passed back, or a failure."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Protocol

from aiohttp import hdrs
from multidict import CIMultiDictProxy, MultiMapping

from pastebin import surrogates
from pastebin.cdn import forwarding, freshness, receiving, validation, variants
from pastebin.cdn.cache import Cache
from pastebin.cdn.errands import Errands
from pastebin.cdn.figures import Figures
from pastebin.cdn.fills import Fill, Reader
from pastebin.cdn.flights import Flight, Flights, Landing, Uncacheable
from pastebin.cdn.freshness import ERROR_STATUSES, Policy
from pastebin.cdn.generations import Generations
from pastebin.cdn.intents import Intent
from pastebin.cdn.objects import Stored
from pastebin.cdn.statuses import CacheStatus
from pastebin.errors import BadUpstream, PastebinError
from pastebin.http import conditions, consistency
from pastebin.http.consistency import Tokens
from pastebin.http.exchanges import Ask, Reply
from pastebin.http.forwarding import hurry, introduce
from pastebin.http.passing import Through
from pastebin.http.replies import Head
from pastebin.http.strangers import Strangers
from pastebin.log import REQUEST_ID
from pastebin.positions import BEYOND, Position, later
from pastebin.sections import EdgeSection

# A body up to this size is awaited whole by the request that leads: then nobody gets half of it.
_INLINE_BYTES = 64 * 1024
_ERROR_SECONDS = 1.0
_MOST_TAGS_BYTES = 512


class Held(Protocol):
    """What an edge has to know of the feed of purges."""

    @property
    def position(self) -> Position | None: ...

    def is_held(self, now: float) -> bool: ...


@dataclass(slots=True)
class Outcome:
    """What answers a request: something stored, something that is being stored, or the origin's own reply."""

    status: CacheStatus
    stored: Stored | None = None
    fill: Fill | None = None
    reader: Reader | None = None
    reply: Reply | None = None
    personal: tuple[tuple[str, str], ...] = ()  # fields for this request only, of an answer that is stored without them


class Fetching:
    """Leads flights. Everything that the edge stores goes through `lead`."""

    def __init__(
        self,
        section: EdgeSection,
        origins: Through,
        cache: Cache,
        generations: Generations,
        feed: Held,
        tokens: Tokens,
        errands: Errands,
        figures: Figures,
        *,
        is_local: bool,
        is_counting: bool = False,
        strangers: Strangers | None = None,
    ) -> None:
        self.flights = Flights(cache.overtaken_at)
        self.uncacheable = Uncacheable()
        self.large = Uncacheable()  # what there was no room for, after it had begun
        self.personal = Uncacheable()  # of this process's own application: what it answers without being at fault
        self._section = section
        self._origins = origins
        self._cache = cache
        self._generations = generations
        self._feed = feed
        self._tokens = tokens
        self._errands = errands
        self._figures = figures
        self._is_local = is_local
        self._is_counting = is_counting
        self._strangers = strangers

    def begin(self, intent: Intent, *, is_shared: bool = True) -> Flight:
        """A flight for this request to lead; nobody can join one that is not shared, before it is being stored."""
        flight = self.flights.begin(intent.key, intent.headers, self._generations.clock, is_shared=is_shared)
        # known before any answer: so that nobody waits for one that a purge has overtaken on its way
        flight.tags = surrogates.of_path(intent.target).union(*(one.tags for one in self._cache.peek(intent.key)))
        return flight

    async def lead(
        self, flight: Flight, intent: Intent, stored: Stored | None, status: CacheStatus, peer: str | None
    ) -> Outcome:
        """Fetch, or revalidate `stored`. Raises BadUpstream, UpstreamUnavailable, UpstreamTimeout.

        However it ends, those who wait for the flight are told.
        """
        try:
            return await self._lead(flight, intent, stored, status, peer)
        except PastebinError as error:
            flight.error = error
            raise
        finally:
            if flight.fill is None or flight.fill.is_over:
                self.flights.end(flight)

    async def _lead(
        self, flight: Flight, intent: Intent, stored: Stored | None, status: CacheStatus, peer: str | None
    ) -> Outcome:
        is_untold = not self._feed.is_held(time.monotonic())
        ask, is_merged = self._ask(intent, stored, peer, from_primary=is_untold)
        requested_at = time.time()
        reply, head = await self._fetch(ask)
        if is_untold and head.status == 503:
            # there is no primary to be had: then a replica knows as much as anybody
            reply.close()
            ask, is_merged = self._ask(intent, stored, peer, from_primary=False)
            reply, head = await self._fetch(ask)
        status.forward_status = flight.forward_status = head.status
        try:
            if head.status == 304 and not _is_about(ask, stored, head, is_merged=is_merged):
                if is_merged and _names(intent.headers.get("If-None-Match", ""), head.headers.get("ETag")):
                    return Outcome(status, reply=reply)  # the client has the answer that we have not
                return await self._lead(flight, intent, None, status, peer)
            if head.status == 304 and stored is not None:
                return self._on_304(flight, intent, stored, status, head, requested_at)
            if head.status in ERROR_STATUSES and stored is not None:
                return self._on_error(flight, intent, stored, status, reply)
            return await self._on_answer(flight, intent, stored, status, reply, head, requested_at)
        except BaseException:
            reply.close()
            raise

    async def _fetch(self, ask: Ask) -> tuple[Reply, Head]:
        started = time.perf_counter()
        outcome = "failure"
        self._figures.fetching.inc()
        try:
            reply = await self._origins.fetch(ask)
            head = await reply.headed()
            outcome = f"{head.status // 100}xx"
        finally:
            self._figures.fetching.dec()
            self._figures.fetches.labels(outcome).observe(time.perf_counter() - started)
        return reply, head

    def _ask(self, intent: Intent, stored: Stored | None, peer: str | None, *, from_primary: bool) -> tuple[Ask, bool]:
        """The request for the origin, and whether its condition asks for what the client has as well.

        An edge that is not told of changes asks the primary, so that what is gone is gone when the lease is over.
        """
        headers = forwarding.for_storing(intent.headers)
        is_merged = False
        if stored is not None:
            headers.update(validation.validators(stored.headers))
            theirs = conditions.entity_tags(intent.headers.get("If-None-Match", "")[:_MOST_TAGS_BYTES])
            if "If-None-Match" in headers and theirs and headers["If-None-Match"] not in theirs:
                headers["If-None-Match"] = ", ".join((headers["If-None-Match"], *theirs))
                is_merged = True
        if from_primary:
            token: str | None = self._tokens.seal(BEYOND, now=time.time(), purpose="min-lsn")
        else:
            token = self.min_lsn(intent.target, frozenset() if stored is None else stored.tags)
        if token is not None:
            headers[consistency.MIN_LSN_HEADER] = token
        headers[consistency.SEEN_HEADER] = "?1"
        if request_id := REQUEST_ID.get():
            headers["X-Request-Id"] = request_id
        hurry(headers)
        if not self._is_local:
            host = intent.headers.get(hdrs.HOST, "")
            introduce(headers, peer, host, is_counted=self._is_counting)
        return Ask(hdrs.METH_GET, intent.target, headers), is_merged

    def min_lsn(self, target: str, tags: frozenset[str] = frozenset()) -> str | None:
        """What the origin has to be told of a purge of the target, or of these surrogate keys, whatever is asked of it.

        A replica that has not heard of the change would answer with what was there before.
        """
        required = self._generations.position_of(surrogates.of_path(target) | tags)
        if required is None:
            return None
        position = BEYOND if required == "primary" else required
        return self._tokens.seal(position, now=time.time(), purpose="min-lsn")

    def _seen(self, headers: MultiMapping[str]) -> Position | None:
        token = headers.get(consistency.SEEN_HEADER, "")
        seen = self._tokens.unseal(token, now=time.time())
        if seen is None and self._strangers is not None and self._tokens.is_foreign(token):
            self._strangers.has_refused("an origin of this edge")
        return seen

    async def _on_answer(
        self,
        flight: Flight,
        intent: Intent,
        stored: Stored | None,
        status: CacheStatus,
        reply: Reply,
        head: Head,
        requested_at: float,
    ) -> Outcome:
        if head.status == 206:
            raise BadUpstream("It is a part where the whole was asked for.")
        now = time.time()
        policy = self._policy(intent, head, requested_at, now)
        fill = None if policy is None else self._filled(flight, intent, reply, head, policy, now)
        if fill is None:
            # that there is no room for it, or that somebody else is storing it, says nothing about the next time
            if policy is None and not intent.stands_alone:
                self._note_uncacheable(intent, head.status)
            if stored is not None and validation.is_over(head.status):
                self._cache.drop(intent.key)
            flight.land(Landing.UNCACHEABLE)
            return Outcome(status, reply=reply)
        self.uncacheable.forget(intent.key)
        self.personal.forget(intent.key)
        reader = fill.attach()
        if (fill.size is not None and fill.size <= _INLINE_BYTES) or reply.is_complete:
            flight.land(Landing.FILLING)
            await fill.run()
            if fill.failure is not None:
                fill.detach(reader)
                raise fill.failure
        else:
            self._errands.start(lambda: self._finish(flight, fill), f"fill {REQUEST_ID.get() or ''}")
            flight.land(Landing.FILLING)
        personal = receiving.personal(head.headers)
        if fill.stored is None:
            status.is_stored = fill.failure is None
            return Outcome(status, fill=fill, reader=reader, personal=personal)
        fill.detach(reader)
        status.is_stored = True
        return Outcome(status, stored=fill.stored, personal=personal)

    def _note_uncacheable(self, intent: Intent, status: int) -> None:
        seconds, now = self._section.uncacheable_seconds, time.time()
        self.uncacheable.note(intent.key, now + (min(_ERROR_SECONDS, seconds) if status >= 500 else seconds))
        # a refusal may be the fault of this one request, which must not keep others from the cache
        if self._is_local and status < 400 and "Cookie" not in intent.headers:
            self.personal.note(intent.key, now + seconds)

    async def _finish(self, flight: Flight, fill: Fill) -> None:
        try:
            await fill.run()
            if fill.is_handed_over:
                self.large.note(flight.key, time.time() + self._section.uncacheable_seconds)
        finally:
            self.flights.end(flight)

    def _policy(self, intent: Intent, head: Head, requested_at: float, now: float) -> Policy | None:
        """What the answer allows if it may be stored; never one whose body just ends, for it may have been cut off."""
        if head.framing == "close" or variants.nominated(head.headers) is None:
            return None
        return freshness.may_store(
            intent,
            head.status,
            head.headers,
            requested_at=requested_at,
            responded_at=now,
            heuristics=self._section.heuristics,
        )

    def _filled(
        self, flight: Flight, intent: Intent, reply: Reply, head: Head, policy: Policy, now: float
    ) -> Fill | None:
        """The way of this answer into the cache; None if it cannot be stored now."""
        names = variants.nominated(head.headers) or ()
        if not self._errands.has_room or self.large(intent.key, now):
            return None
        # a request of its own, whose answer turns out to be for everybody: unless somebody else has it already
        if not flight.is_shared and self.flights.find(intent.key, intent.headers, names) is not None:
            return None
        flight.tags = receiving.tags_of(head.headers, intent.target)
        variant = variants.variant_of(names, intent.headers)
        self.flights.settle(flight, variant)
        writer = self._cache.writer(
            intent.key,
            variant,
            head.status,
            CIMultiDictProxy(receiving.kept(head.headers, now)),
            policy,
            responded_at=now,
            tags=flight.tags,
            born=flight.born,
            size=0 if head.framing == "none" else head.length,
            seen=self._seen(head.headers),
            sha256=receiving.digest(head.headers),
        )
        if not writer.is_keeping:
            writer.close()
            if not writer.lacks_room:
                self._note_uncacheable(intent, head.status)
            return None
        flight.fill = Fill(reply, writer, self._section.response_timeout_seconds)
        return flight.fill

    def _on_304(
        self, flight: Flight, intent: Intent, stored: Stored, status: CacheStatus, head: Head, requested_at: float
    ) -> Outcome:
        now = time.time()
        headers, policy = validation.renew(
            intent,
            stored.status,
            stored.headers,
            receiving.kept_of_304(head.headers),
            requested_at=requested_at,
            responded_at=now,
            heuristics=self._section.heuristics,
        )
        flight.tags = stored.tags
        if surrogates.HEADER in head.headers:
            flight.tags = receiving.tags_of(head.headers, intent.target)
        proxy = CIMultiDictProxy(headers)
        if policy is None:
            # from now on it may not be kept: this once it is still the answer
            self._cache.drop(intent.key)
            flight.land(Landing.UNCACHEABLE)
            aged = replace(stored.policy, lifetime=0.0)
            return Outcome(status, stored=_renewed(stored, proxy, aged, now))
        seen = later(stored.seen, self._seen(head.headers))
        fresh = self._cache.refresh(stored, proxy, policy, now, flight.born, tags=flight.tags, seen=seen)
        status.is_stored = fresh is not None
        if flight.is_shared:
            self.flights.settle(flight, stored.variant)
        flight.stored = fresh or _renewed(stored, proxy, policy, now)
        flight.land(Landing.STORED)
        return Outcome(status, stored=flight.stored)

    def _on_error(self, flight: Flight, intent: Intent, stored: Stored, status: CacheStatus, reply: Reply) -> Outcome:
        """A 5xx to a revalidation (RFC 5861, section 4); it never takes the place of what is stored."""
        if self.may_stand_in(stored, intent, time.time()):
            reply.close()
            flight.land(Landing.FAILED)
            status.detail = "stale-if-error"
            return Outcome(status, stored=stored)
        flight.land(Landing.FAILED)
        return Outcome(status, reply=reply)

    def may_stand_in(self, stored: Stored, intent: Intent, now: float) -> bool:
        """Whether something stale may be served because the origin fails. Not what a purge may have missed."""
        must_ask = bool(stored.tags) and not self._feed.is_held(time.monotonic())
        return freshness.may_serve_on_error(stored.policy, stored.responded_at, intent.asked, now, must_ask=must_ask)


def _renewed(stored: Stored, headers: CIMultiDictProxy[str], policy: Policy, now: float) -> Stored:
    """What is delivered, but not stored, after a 304."""
    return replace(stored, headers=headers, policy=policy, responded_at=now, alive=False, attached=None)


def _is_about(ask: Ask, stored: Stored | None, head: Head, *, is_merged: bool) -> bool:
    """Whether a 304 confirms what is stored; one without a tag says nothing where several were asked for.

    Raises BadUpstream where nothing was asked for.
    """
    if stored is None or not ("If-None-Match" in ask.headers or "If-Modified-Since" in ask.headers):
        raise BadUpstream("It says that nothing has changed, which nobody had asked.")
    if is_merged and "ETag" not in head.headers:
        return False
    return validation.is_confirmed(stored.headers, head.headers)


def _names(tags: str, tag: str | None) -> bool:
    known = conditions.entity_tags(tags[:_MOST_TAGS_BYTES]) or ()
    return tag is not None and tag.removeprefix("W/") in [one.removeprefix("W/") for one in known]
