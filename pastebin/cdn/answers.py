"""The full road of the edge: what becomes of a request that the short cut does not take."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from multidict import CIMultiDict

from pastebin.cdn import freshness, intents, validation
from pastebin.cdn.cache import Cache
from pastebin.cdn.delivering import Delivery, deliver, first_byte
from pastebin.cdn.fetching import Held, Outcome
from pastebin.cdn.figures import Figures
from pastebin.cdn.intents import Intent
from pastebin.cdn.obtaining import Obtaining
from pastebin.cdn.passing import Passing, own_answer
from pastebin.cdn.statuses import CacheStatus, appended
from pastebin.errors import StoredDamaged
from pastebin.http import consistency, streaming
from pastebin.http.consistency import Tokens

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

# A part that begins later than this, in a body larger than the other, is asked of the origin: whoever wants it does not
# wait for what comes before.
_DEEP_BYTES = 1024**2
_WHOLE_BYTES = 8 * 1024**2
_DEEP_SECONDS = 60.0
_STATUS = web.RequestKey("cache-status", str)
_UNTYPED = web.RequestKey("untyped", bool)
_METHOD = CacheStatus("method").value()
_SAFE = ("OPTIONS", "TRACE", "CONNECT")

# Called for every GET that was answered: the request, the status, and whether by the cache alone.
OnVisit = Callable[[web.BaseRequest, int, bool], None]


class Edge:
    """A shared cache (RFC 9111) before its origins."""

    def __init__(
        self,
        cache: Cache,
        feed: Held,
        tokens: Tokens,
        obtaining: Obtaining,
        passing: Passing,
        figures: Figures,
        *,
        is_local: bool,
        bypass_cookies: frozenset[str],
        idle_seconds: float,
        hidden: frozenset[str],
    ) -> None:
        self.on_visit: OnVisit | None = None
        self._cache = cache
        self._feed = feed
        self._tokens = tokens
        self._obtaining = obtaining
        self._passing = passing
        self._figures = figures
        self._is_local = is_local
        self._bypass_cookies = bypass_cookies
        self._idle_seconds = idle_seconds
        self._hidden = hidden

    def middleware(self) -> Middleware:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method not in ("GET", "HEAD"):
                request[_STATUS] = _METHOD
                return await self._change(request, handler)
            return await self.answer(request, handler)

        return middleware

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """The handler of every address of an edge whose origin is elsewhere."""
        return await self._passing.forward(request)

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """The last word on the head of any answer, those that come past the cache too."""
        headers = response.headers
        for name in self._hidden:
            headers.popall(name, None)
        if _UNTYPED in request:
            headers.popall(hdrs.CONTENT_TYPE, None)
        if (status := request.get(_STATUS)) is not None:
            headers["Cache-Status"] = appended(", ".join(headers.getall("Cache-Status", ())), status)

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer to a GET or HEAD; `handler` is where it goes if it is no matter for the cache."""
        intent = intents.read(request, self._bypass_cookies)
        if (reason := self._bypassed(request, intent)) is not None:
            status = CacheStatus("bypass", detail=reason)
            response = await self._pass(request, handler, status)
        elif intent.is_head and not self._obtaining.knows(intent.key) and not intent.asked.only_if_cached:
            status = CacheStatus("uri-miss")
            response = await self._pass(request, handler, status)
        else:
            response, status = await self._look_up(request, intent, handler)
        kind = status.kind()
        self._figures.answers.labels(kind).inc()
        if status.is_collapsed:
            self._figures.collapsed.inc()
        if self.on_visit is not None and not intent.is_head:
            self.on_visit(request, response.status, kind == "hit")
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
                    return await self._pass(request, handler, status), status
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
        return await self._pass(request, handler, status), status

    async def _respond(self, request: web.Request, intent: Intent, outcome: Outcome) -> web.StreamResponse:
        if outcome.reply is not None:
            return await self._passing.relay(request, outcome.reply)
        if outcome.fill is not None and outcome.reader is not None:
            draft = outcome.fill.writer.draft
            found = deliver(intent, draft.status, draft.headers, outcome.fill.size, draft.responded_at)
            found.headers.extend(outcome.personal)
            age = freshness.age_value(draft.policy, draft.responded_at, time.time())
            body = outcome.fill.read(outcome.reader, found.start, found.stop)
            return await self._send(request, found, age, body)
        stored = outcome.stored
        assert stored is not None  # noqa: S101  (an outcome is one of three)
        found = deliver(intent, stored.status, stored.headers, stored.size, stored.responded_at)
        found.headers.extend(outcome.personal)
        age = freshness.age_value(stored.policy, stored.responded_at, time.time())
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
        self, request: web.Request, found: Delivery, age: str, body: AsyncGenerator[bytes, None]
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
            request[_UNTYPED] = True
        position = self._feed.position
        if position is not None and _token_of(request) is not None:
            # nothing stored is older than what the feed has told
            headers[consistency.HEADER] = self._tokens.seal(position, now=time.time())

    def _bypassed(self, request: web.Request, intent: Intent) -> str | None:
        """Why a request goes to the origin as it is, whatever is stored."""
        if intent.bypass is not None:
            return intent.bypass
        if (token := _token_of(request)) is not None:
            required = self._tokens.unseal(token, now=time.time())
            position = self._feed.position
            if required is None or position is None or not position.covers(required):
                return "consistency"
        if hdrs.RANGE in request.headers and self._obtaining.is_deep(intent, time.time()):
            return "range"
        return None

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

    async def _pass(self, request: web.Request, handler: Handler, status: CacheStatus) -> web.StreamResponse:
        request[_STATUS] = status.value()
        return await handler(request)

    async def _change(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A method that may change something: then what is stored of it ends (RFC 9111, section 4.4)."""
        if not self._is_local and (answer := own_answer(request)) is not None:
            return answer
        try:
            response = await handler(request)
        except web.HTTPRedirection as redirect:
            self._invalidate(request, redirect.status, redirect.headers)
            raise
        if request.method not in _SAFE:
            self._invalidate(request, response.status, response.headers)
        return response

    def _invalidate(self, request: web.Request, status: int, headers: CIMultiDict[str]) -> None:
        if not 200 <= status <= 399:
            return
        uri = f"http://{intents.host_of(request.headers)}{intents.target_of(request.raw_path)}"
        for changed in validation.invalidates(request.method, status, uri, headers):
            key = intents.key_of(changed)
            if key is not None and self._obtaining.knows(key):
                self._cache.drop(key)


def _token_of(request: web.Request) -> str | None:
    """The session of the client, as `http.consistency` finds it."""
    headers = request.headers
    if token := headers.get(consistency.HEADER):
        return token
    return request.cookies.get(consistency.COOKIE) or None if hdrs.COOKIE in headers else None
