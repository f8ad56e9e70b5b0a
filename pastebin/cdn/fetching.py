"""Asking the origin, and what becomes of its answer: stored, confirmed, passed back, or a failure."""

from __future__ import annotations

import base64
import binascii
import re
import time
from dataclasses import dataclass, replace
from typing import Protocol

from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from pastebin import surrogates
from pastebin.cdn import directives, forwarding, freshness, validation, variants
from pastebin.cdn.cache import Cache
from pastebin.cdn.errands import Errands
from pastebin.cdn.exchanges import Ask, Reply
from pastebin.cdn.figures import Figures
from pastebin.cdn.flights import Fill, Flight, Flights, Landing, Reader, Uncacheable
from pastebin.cdn.freshness import ERROR_STATUSES, Policy
from pastebin.cdn.generations import Generations
from pastebin.cdn.intents import Intent
from pastebin.cdn.objects import Stored
from pastebin.cdn.origins import Origins
from pastebin.cdn.replies import Head
from pastebin.cdn.statuses import CacheStatus
from pastebin.errors import BadUpstream, PastebinError
from pastebin.http import conditions, consistency
from pastebin.http.consistency import Tokens
from pastebin.log import REQUEST_ID
from pastebin.positions import Position
from pastebin.sections import EdgeSection

# A body up to this size is awaited whole by the request that leads: then nobody gets half of it.
_INLINE_BYTES = 64 * 1024
_ERROR_SECONDS = 1.0
_MOST_TAGS_BYTES = 512
# Of no timeline: no replica has seen it, so whoever must have seen it asks the primary.
_BEYOND = Position(0, 0, 0)
_DIGEST = re.compile(r"(?:^|[, ])sha-256=:([A-Za-z0-9+/]{43}=):")


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
        origins: Origins,
        cache: Cache,
        generations: Generations,
        feed: Held,
        tokens: Tokens,
        errands: Errands,
        figures: Figures,
        *,
        is_local: bool,
    ) -> None:
        self.flights = Flights(cache.overtaken_at)
        self.uncacheable = Uncacheable()
        self._section = section
        self._origins = origins
        self._cache = cache
        self._generations = generations
        self._feed = feed
        self._tokens = tokens
        self._errands = errands
        self._figures = figures
        self._is_local = is_local

    def begin(self, intent: Intent, *, is_shared: bool = True) -> Flight:
        """A flight for this request to lead; nobody can join one that is not shared, before it is being stored."""
        return self.flights.begin(intent.key, intent.headers, self._generations.clock, is_shared=is_shared)

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
        ask, is_merged = self._ask(intent, stored, peer)
        requested_at = time.time()
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
            return await self._on_answer(flight, intent, stored, status, reply, requested_at)
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

    def _ask(self, intent: Intent, stored: Stored | None, peer: str | None) -> tuple[Ask, bool]:
        """The request for the origin, and whether its condition asks for what the client has as well."""
        headers = forwarding.for_storing(intent.headers)
        is_merged = False
        if stored is not None:
            headers.update(validation.validators(stored.headers))
            theirs = conditions.entity_tags(intent.headers.get("If-None-Match", "")[:_MOST_TAGS_BYTES])
            if "If-None-Match" in headers and theirs and headers["If-None-Match"] not in theirs:
                headers["If-None-Match"] = ", ".join((headers["If-None-Match"], *theirs))
                is_merged = True
        keys = surrogates.of_path(intent.target)
        required = self._generations.position_of(keys if stored is None else keys | stored.tags)
        if required is not None:
            position = _BEYOND if required == "primary" else required
            token = self._tokens.seal(position, now=time.time(), purpose="min-lsn")
            headers[consistency.MIN_LSN_HEADER] = token
        headers["X-Request-Id"] = REQUEST_ID.get() or ""
        if not self._is_local:
            forwarding.introduce(headers, peer, intent.headers.get(hdrs.HOST, ""))
        return Ask(hdrs.METH_GET, intent.target, headers), is_merged

    async def _on_answer(
        self,
        flight: Flight,
        intent: Intent,
        stored: Stored | None,
        status: CacheStatus,
        reply: Reply,
        requested_at: float,
    ) -> Outcome:
        if reply.head is not None and reply.head.status == 206:
            raise BadUpstream("It is a part where the whole was asked for.")
        fill = self._filled(flight, intent, reply, requested_at)
        if fill is None:
            if not intent.stands_alone:
                seconds = self._section.uncacheable_seconds
                is_error = reply.head is not None and reply.head.status >= 500
                self.uncacheable.note(intent.key, time.time() + (min(_ERROR_SECONDS, seconds) if is_error else seconds))
            if stored is not None and reply.head is not None and validation.is_over(reply.head.status):
                self._cache.drop(intent.key)
            flight.land(Landing.UNCACHEABLE)
            return Outcome(status, reply=reply)
        self.uncacheable.forget(intent.key)
        reader = fill.attach(leads=True)
        if (fill.size is not None and fill.size <= _INLINE_BYTES) or reply.is_complete:
            flight.land(Landing.FILLING)
            await fill.run()
            if fill.failure is not None:
                fill.detach(reader)
                raise fill.failure
        else:
            self._errands.start(lambda: self._finish(flight, fill), f"fill {REQUEST_ID.get() or ''}")
            flight.land(Landing.FILLING)
        personal = _personal(reply.head.headers) if reply.head is not None else ()
        if fill.stored is None:
            status.is_stored = fill.failure is None
            return Outcome(status, fill=fill, reader=reader, personal=personal)
        fill.detach(reader)
        status.is_stored = True
        return Outcome(status, stored=fill.stored, personal=personal)

    async def _finish(self, flight: Flight, fill: Fill) -> None:
        try:
            await fill.run()
        finally:
            self.flights.end(flight)

    def _filled(self, flight: Flight, intent: Intent, reply: Reply, requested_at: float) -> Fill | None:
        """The way of this answer into the cache; None if it is not to be stored."""
        head = reply.head
        now = time.time()
        if head is None or head.framing == "close" or not self._errands.has_room:
            return None
        names = variants.nominated(head.headers)
        policy = freshness.may_store(intent, head.status, head.headers, requested_at=requested_at, responded_at=now)
        if policy is None or names is None:
            return None
        if not flight.is_shared:
            # a request of its own, whose answer turns out to be for everybody: unless somebody else has it already
            if self.flights.find(intent.key, intent.headers, names) is not None:
                return None
            flight.is_shared = True
        flight.tags = tags_of(head.headers, intent.target)
        flight.variant = variants.variant_of(names, intent.headers)
        writer = self._cache.writer(
            intent.key,
            flight.variant,
            head.status,
            CIMultiDictProxy(_kept(head.headers, now)),
            policy,
            responded_at=now,
            tags=flight.tags,
            born=flight.born,
            size=0 if head.framing == "none" else head.length,
            seen=self._feed.position,
            sha256=_digest(head.headers),
        )
        if not writer.is_keeping:
            writer.close()
            return None
        flight.fill = Fill(reply, writer, self._section.response_timeout_seconds)
        return flight.fill

    def _on_304(
        self, flight: Flight, intent: Intent, stored: Stored, status: CacheStatus, head: Head, requested_at: float
    ) -> Outcome:
        now = time.time()
        headers, policy = validation.renew(
            intent, stored.status, stored.headers, _kept_304(head.headers), requested_at=requested_at, responded_at=now
        )
        flight.tags = stored.tags
        if surrogates.HEADER in head.headers:
            flight.tags = tags_of(head.headers, intent.target)
        proxy = CIMultiDictProxy(headers)
        if policy is None:
            # from now on it may not be kept: this once it is still the answer
            self._cache.drop(intent.key)
            flight.land(Landing.UNCACHEABLE)
            aged = replace(stored.policy, lifetime=0.0)
            return Outcome(status, stored=_renewed(stored, proxy, aged, now))
        fresh = self._cache.refresh(stored, proxy, policy, now, flight.born, tags=flight.tags, seen=self._feed.position)
        status.is_stored = fresh is not None
        flight.variant = stored.variant
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


def tags_of(headers: MultiMapping[str], target: str) -> frozenset[str]:
    """The surrogate keys of an answer: those it names, and those of its address."""
    named = ",".join(headers.getall(surrogates.HEADER, ())).replace(",", " ")
    return surrogates.of_header(named) | surrogates.of_path(target)


def _kept(headers: MultiMapping[str], responded_at: float) -> CIMultiDict[str]:
    """The headers to store. What is about this one exchange is not among them."""
    kept = validation.storable_headers(headers, responded_at)
    for name in (consistency.HEADER, "X-Request-Id", "Content-Length"):
        kept.popall(name, None)
    return kept


def _personal(headers: MultiMapping[str]) -> tuple[tuple[str, str], ...]:
    """The fields that were not for everybody (RFC 9111, sections 5.2.2.4 and 5.2.2.7)."""
    says = directives.of_response(headers)
    names = says.private_fields | says.no_cache_fields
    return tuple((name, value) for name in names for value in headers.getall(name, ()))


def _kept_304(headers: MultiMapping[str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in (consistency.HEADER, "X-Request-Id"):
        kept.popall(name, None)
    return kept


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


def _digest(headers: MultiMapping[str]) -> bytes | None:
    """The SHA-256 that the origin names for what it sends (RFC 9530)."""
    for name in ("Content-Digest", "Repr-Digest"):
        if found := _DIGEST.search(headers.get(name, "")):
            try:
                return base64.b64decode(found[1], validate=True)
            except binascii.Error:
                return None
    return None
