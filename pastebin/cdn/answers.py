"""The full road of the edge: what becomes of a request that the short cut does not take."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from multidict import CIMultiDict

from pastebin import surrogates
from pastebin.cdn import freshness, intents, validation
from pastebin.cdn.cache import Cache
from pastebin.cdn.delivering import Delivery, deliver, first_byte
from pastebin.cdn.fetching import Held, Outcome
from pastebin.cdn.figures import Figures
from pastebin.cdn.generations import Generations
from pastebin.cdn.intents import Intent
from pastebin.cdn.obtaining import Obtaining
from pastebin.cdn.queries import Queries
from pastebin.cdn.statuses import CacheStatus, appended
from pastebin.errors import Misdirected, StoredDamaged
from pastebin.http import consistency, counted, forwarding, languages, streaming
from pastebin.http.consistency import Tokens
from pastebin.http.outlets import Piece
from pastebin.http.passing import UNTYPED, Passing, own_answer
from pastebin.positions import Position, later

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

# A part that begins later than this, in a body larger than the other, is asked of the origin: whoever wants it does not
# wait for what comes before.
_DEEP_BYTES = 1024**2
_WHOLE_BYTES = 8 * 1024**2
_DEEP_SECONDS = 60.0
_STATUS = web.RequestKey("cache-status", str)
_METHOD = CacheStatus("method").value()
_NAMING = ("Location", "Content-Location")
_SAFE = ("OPTIONS", "TRACE", "CONNECT")

# A reference that names an address as it stands: a path, of another server or not, with nothing to be resolved.
_PLAIN = re.compile(r"(?:[a-z]+://[^/?#]+)?(?!//)/(?:(?!/\.)[^#])*")


class Edge:
    """A shared cache (RFC 9111) before its origins."""

    def __init__(
        self,
        cache: Cache,
        generations: Generations,
        feed: Held,
        tokens: Tokens,
        obtaining: Obtaining,
        passing: Passing,
        figures: Figures,
        *,
        is_local: bool,
        is_fed: bool,
        bypass_cookies: frozenset[str],
        queries: Queries,
        idle_seconds: float,
        hidden: frozenset[str],
        hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._cache = cache
        self._generations = generations
        self._feed = feed
        self._tokens = tokens
        self._obtaining = obtaining
        self._passing = passing
        self._figures = figures
        self._is_local = is_local
        self._is_fed = is_fed
        self._bypass_cookies = bypass_cookies
        self._queries = queries
        self._idle_seconds = idle_seconds
        self._hidden = hidden
        self._hosts = hosts

    def middleware(self) -> Middleware:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.takes(request.headers.get(hdrs.HOST, "")):
                raise Misdirected
            if not self._is_local and (answer := own_answer(request)) is not None:
                return answer
            if request.method not in ("GET", "HEAD"):
                request[_STATUS] = _METHOD
                request[counted.CACHED] = "pass"
                return await self._change(request, handler)
            return await self.answer(request, handler)

        return middleware

    def takes(self, host: str) -> bool:
        """Whether requests with this Host are answered: it is part of every key, and anybody can make up many."""
        return not self._hosts or intents.host_in_keys(host) in self._hosts

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """The handler of every address of an edge whose origin is elsewhere."""
        return await self._passing.forward(request)

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """The last word on the head of any answer, those that come past the cache too."""
        await counted.sign(request, response)
        if UNTYPED in request:
            response.headers.popall(hdrs.CONTENT_TYPE, None)
        # of an answer that was fetched for everybody and is for nobody else
        seen = response.headers.popall(consistency.SEEN_HEADER, None)
        if seen and consistency.HEADER not in response.headers and _token_of(request) is not None:
            response.headers[consistency.HEADER] = seen[0]
        languages.reveal(response.headers, request.headers)
        self._sign(response.headers, request.get(_STATUS))

    def _sign(self, headers: CIMultiDict[str], status: str | None) -> None:
        for name in self._hidden:
            headers.popall(name, None)
        if status is not None:
            headers["Cache-Status"] = appended(", ".join(headers.getall("Cache-Status", ())), status)

    def changed(self, host: str, target: str, status: int, headers: CIMultiDict[str]) -> None:
        """The same for a POST that was answered past the middleware."""
        self._invalidate(hdrs.METH_POST, intents.host_in_keys(host), target, status, headers, self._said(headers))
        self._sign(headers, _METHOD)

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer to a GET or HEAD; `handler` is where it goes if it is no matter for the cache."""
        intent = intents.read(request, self._bypass_cookies, self._queries)
        request[counted.CACHED] = "miss"  # if the origin fails
        if (reason := self._bypassed(request, intent)) is not None:
            status = CacheStatus("bypass", detail=reason)
            response = await self._pass(request, intent, handler, status)
            if intent.is_head and response.status == 200 and reason != "cookie":
                self._compare(intent, response.headers)
        elif self._is_local and self._obtaining.is_personal(intent):
            status = CacheStatus("uri-miss", detail="uncacheable")
            response = await self._pass(request, intent, handler, status)
        elif intent.is_head and not self._obtaining.knows(intent.key) and not intent.asked.only_if_cached:
            status = CacheStatus("uri-miss")
            response = await self._pass(request, intent, handler, status)
        else:
            response, status = await self._look_up(request, intent, handler)
        kind = status.kind()
        self._figures.answers.labels(kind).inc()
        if status.is_collapsed:
            self._figures.collapsed.inc()
        request[counted.CACHED] = kind
        return response

    async def _look_up(
        self, request: web.Request, intent: Intent, handler: Handler
    ) -> tuple[web.StreamResponse, CacheStatus]:
        for attempt in (1, 2):
            outcome = await self._obtaining.obtain(intent, request.remote)
            status = outcome.status
            request[_STATUS] = status.value()
            try:
                if self._is_deep(intent, outcome):
                    self._obtaining.note_deep(intent, time.time() + _DEEP_SECONDS)
                    if outcome.reply is not None:
                        outcome.reply.close()
                    return await self._pass(request, intent, handler, status), status
                return await self._respond(request, intent, outcome), status
            except StoredDamaged:
                # nothing of it was sent: whatever could not be read is gone by now
                if attempt == 2:
                    if intent.asked.only_if_cached:
                        raise
                    break
            finally:
                if outcome.fill is not None and outcome.reader is not None:
                    outcome.fill.detach(outcome.reader)
        status = CacheStatus("bypass", detail="disk")
        return await self._pass(request, intent, handler, status), status

    async def _respond(self, request: web.Request, intent: Intent, outcome: Outcome) -> web.StreamResponse:
        if outcome.reply is not None:
            return await self._passing.relay(request, outcome.reply)
        if outcome.fill is not None and outcome.reader is not None:
            draft = outcome.fill.writer.draft
            found = deliver(intent, draft.status, draft.headers, outcome.fill.size, draft.responded_at)
            found.headers.extend(outcome.personal)
            age = freshness.age_value(draft.policy, draft.responded_at, time.time())
            self._keep_up(request, found, draft.seen)
            body = outcome.fill.read(outcome.reader, found.start, found.stop)
            return await self._send(request, found, age, body)
        stored = outcome.stored
        assert stored is not None  # noqa: S101  (an outcome is one of three)
        found = deliver(intent, stored.status, stored.headers, stored.size, stored.responded_at)
        found.headers.extend(outcome.personal)
        age = freshness.age_value(stored.policy, stored.responded_at, time.time())
        self._keep_up(request, found, stored.seen)
        if isinstance(stored.body, bytes):
            whole = stored.body if found.has_body else None
            return self._whole(request, found, age, whole)
        return await self._send(request, found, age, self._cache.read(stored, found.start, found.length))

    def _whole(self, request: web.Request, found: Delivery, age: str, body: bytes | None) -> web.Response:
        """An answer whose body is in memory."""
        self._head(request, found, age)
        if body is not None and found.length != len(body):
            body = body[found.start : found.stop]
        return web.Response(status=found.status, headers=found.headers, body=body)

    async def _send(
        self, request: web.Request, found: Delivery, age: str, body: AsyncGenerator[Piece, None]
    ) -> web.StreamResponse:
        """An answer whose body comes bit by bit."""
        self._head(request, found, age)
        async with aclosing(body):
            if not found.has_body:
                return web.Response(status=found.status, headers=found.headers)
            response = web.StreamResponse(status=found.status, headers=found.headers)
            return await streaming.send(request, response, body, self._idle_seconds)

    def _head(self, request: web.Request, found: Delivery, age: str) -> None:
        headers = found.headers
        headers["Age"] = age
        if found.length is not None and found.status not in (204, 304):
            headers[hdrs.CONTENT_LENGTH] = str(found.length)
        if hdrs.CONTENT_TYPE not in headers:
            request[UNTYPED] = True

    def _keep_up(self, request: web.Request, found: Delivery, seen: Position | None) -> None:
        """The session of who gets an answer that is stored: from now on it may not be shown anything older.

        Nothing stored is older than what the feed has told, but it may be newer: an edge that has been told as much
        may still have what was there before.
        """
        position = later(self._feed.position, seen)
        if position is not None and _token_of(request) is not None:
            found.headers[consistency.HEADER] = self._tokens.seal(position, now=time.time())

    def _bypassed(self, request: web.Request, intent: Intent) -> str | None:
        """Why a request goes to the origin as it is, whatever is stored."""
        if intent.bypass is not None:
            return intent.bypass
        if self._is_beyond(request):
            return "consistency"
        if (token := _token_of(request)) is not None:
            required = self._tokens.unseal(token, now=time.time()) if token else None
            position = self._feed.position
            if intent.stands_alone or position is None:
                return "consistency"
            if token and (required is None or not position.covers(required)):
                return "consistency"
        if hdrs.RANGE in request.headers and self._obtaining.is_deep(intent, time.time()):
            return "range"
        return None

    def _is_beyond(self, request: web.Request) -> bool:
        """Whether an edge before this one knows of a purge that this one may not have heard of."""
        refill = request.headers.get(consistency.MIN_LSN_HEADER)
        required = self._tokens.unseal(refill, now=time.time(), purpose="min-lsn") if refill else None
        if refill is None or required is None:  # it is a stranger's, and says nothing
            return False
        position = self._feed.position
        if position is not None and position.covers(required):
            return False
        request[consistency.MIN_LSN] = refill
        return True

    def _is_deep(self, intent: Intent, outcome: Outcome) -> bool:
        """Whether a part is wanted for which too much would have to be fetched first."""
        if hdrs.RANGE not in intent.headers or intent.is_head:
            return False
        if outcome.fill is not None:
            size, headers = outcome.fill.size, outcome.fill.writer.draft.headers
            if size is None or size <= _WHOLE_BYTES:
                return False
            return first_byte(intent, headers, size) > outcome.fill.writer.written + _DEEP_BYTES
        # an answer that is not stored: the origin knows how to cut it
        head = outcome.reply.head if outcome.reply is not None else None
        return head is not None and head.status == 200

    async def _pass(
        self, request: web.Request, intent: Intent, handler: Handler, status: CacheStatus
    ) -> web.StreamResponse:
        """Have the origin answer the request as it is, but not with anything from before a purge."""
        request[_STATUS] = status.value()
        if consistency.MIN_LSN not in request and (token := self._obtaining.min_lsn(intent)) is not None:
            request[consistency.MIN_LSN] = token
        return await handler(request)

    def _compare(self, intent: Intent, headers: CIMultiDict[str]) -> None:
        """A HEAD that its origin answered can show that what is stored is over (RFC 9111, section 4.3.5)."""
        stored = self._cache.find(intent.key, intent.headers)
        if stored is not None and not validation.is_described(stored.headers, stored.size, headers):
            self._cache.drop(intent.key)

    async def _change(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A method that may change something: then what is stored of it ends (RFC 9111, section 4.4)."""
        try:
            response = await handler(request)
        except web.HTTPRedirection as redirect:
            self._end(request, redirect)
            raise
        if request.method not in _SAFE:
            self._end(request, response)
        return response

    def _end(self, request: web.Request, response: web.StreamResponse) -> None:
        host, target = intents.host_of(request.headers), forwarding.target_of(request.raw_path)
        # an origin elsewhere has put it on the answer, the application of this process has not yet
        position = later(consistency.seen_by(request), self._said(response.headers))
        self._invalidate(request.method, host, target, response.status, response.headers, position)

    def _said(self, headers: CIMultiDict[str]) -> Position | None:
        """What whoever got this answer has seen."""
        return self._tokens.unseal(headers.get(consistency.HEADER, ""), now=time.time())

    def _forget(self, target: str, position: Position | None) -> None:
        """What a change of a paste that came this way makes old: here it is known before the feed tells.

        What replaces it must have seen the change, that is the position of the session that has made it.
        """
        if not (keys := surrogates.of_path(target)):
            return
        self._generations.purge(keys, position)
        self._cache.purge(keys)

    def _invalidate(
        self, method: str, host: str, target: str, status: int, headers: CIMultiDict[str], position: Position | None
    ) -> None:
        if not 200 <= status <= 399:
            return
        if self._is_fed and (status != 201 or method == "PUT"):  # a POST with 201 has made something new
            self._forget(target, position)
        # most changes are of what nobody has asked for yet: finding that out must cost next to nothing
        named = [value for name in _NAMING if (value := headers.get(name)) is not None]
        keys = [f"{host}{target}", *(intents.key_of(value) or f"{host}{value}" for value in named)]
        if all(map(_PLAIN.fullmatch, named)) and not any(map(self._obtaining.knows, keys)):
            return
        uri = f"http://{host}{target}"
        for changed in validation.invalidates(method, status, uri, headers):
            self._obtaining.drop(changed)


def _token_of(request: web.Request) -> str | None:
    """The session of the client, as `http.consistency` finds it; empty: one that begins with this request."""
    headers = request.headers
    if (token := headers.get(consistency.HEADER)) is not None:
        return token or request.cookies.get(consistency.COOKIE, "")
    return request.cookies.get(consistency.COOKIE) or None if hdrs.COOKIE in headers else None
