"""Requests passed on to another server and answers passed back, both as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Protocol

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict

from pastebin.errors import PastebinError, UnreadableRequest, UpstreamTimeout
from pastebin.http import bodies, consistency, forwarding, streaming
from pastebin.http.exchanges import Ask, Exchange, Reply
from pastebin.http.targets import ONCE, PATIENT_SECONDS, is_patient

# RFC 9110, section 10.1.1: who waits for 100 does not wait for ever.
_CONTINUE_SECONDS = 1.0
_EVENTS = "text/event-stream"
_SAFE = ("GET", "HEAD", "OPTIONS")
_ALLOWED = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


Ending = Callable[[Callable[[], None]], AbstractContextManager[None]]

UNTYPED = web.RequestKey("untyped", bool)


class Through(Protocol):
    """Who knows which server is asked."""

    async def fetch(self, ask: Ask) -> Reply:
        """The answer to a request that may be repeated, when its head is here."""

    async def begin(self, ask: Ask) -> tuple[Exchange, Reply]:
        """Send the head of a request that is sent once."""


class Passing:
    """The way to a server elsewhere and back.

    `sign` has the last word on the headers of a request; `on_head` hears the status of its answer. `ending` is
    told what ends a stream of events early: clients take it up again, elsewhere (WHATWG HTML, section 9.2.3).
    """

    def __init__(
        self,
        through: Through,
        idle_seconds: float,
        response_seconds: float,
        *,
        is_counting: bool = False,
        sign: Callable[[web.Request, CIMultiDict[str]], None] | None = None,
        on_head: Callable[[int], None] | None = None,
        ending: Ending | None = None,
    ) -> None:
        self._through = through
        self._idle_seconds = idle_seconds
        self._response_seconds = response_seconds
        self._is_counting = is_counting
        self._sign = sign
        self._on_head = on_head
        self._ending = ending

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Pass on any request. Raises BadUpstream, UpstreamUnavailable, UpstreamTimeout, UnreadableRequest."""
        ask = self._ask(request)
        if request.body_exists:
            return await self._with_body(request, ask)
        if request.method in _SAFE and not ONCE.match(ask.target):
            reply = await self._through.fetch(ask)
        else:
            _, reply = await self._through.begin(ask)
        return await self.relay(request, reply)

    async def relay(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Pass an answer back. Raises BadUpstream, UpstreamUnavailable, UpstreamTimeout before any of it is sent."""
        try:
            head = await reply.headed()
            if self._on_head is not None:
                self._on_head(head.status)
            headers = forwarding.for_client(head.headers)
            headers.popall("X-Request-Id", None)
            reason = head.reason or None
            if hdrs.CONTENT_TYPE not in headers:
                request[UNTYPED] = True  # aiohttp would make one up
            if reply.is_complete:
                body = None if head.framing == "none" else b"".join([piece async for piece in _pieces(reply)])
                return web.Response(status=head.status, reason=reason, headers=headers, body=body)
            response = web.StreamResponse(status=head.status, reason=reason, headers=headers)
            if is_patient(forwarding.target_of(request.raw_path)):
                reply.seconds = PATIENT_SECONDS
            is_endless = head.framing != "length" and headers.get(hdrs.CONTENT_TYPE, "").startswith(_EVENTS)

            def stop() -> None:
                reply.stop()
                response.force_close()

            ending = self._ending(stop) if is_endless and self._ending is not None else nullcontext()
            async with aclosing(_pieces(reply)) as pieces:
                with ending:
                    return await streaming.send(request, response, pieces, self._idle_seconds)
        finally:
            reply.close()

    def _ask(self, request: web.Request) -> Ask:
        headers = forwarding.for_passing(request.headers)
        headers.setdefault(hdrs.HOST, "")  # HTTP/1.0 needs none, what is sent on does
        left = headers.get("Max-Forwards", "")
        if request.method == hdrs.METH_OPTIONS and left.isdecimal():
            headers["Max-Forwards"] = str(max(int(left[:9]) - 1, 0))
        if request.body_exists and hdrs.CONTENT_LENGTH not in headers:
            headers[hdrs.TRANSFER_ENCODING] = "chunked"
        if token := request.get(consistency.MIN_LSN):
            headers[consistency.MIN_LSN_HEADER] = token
        host = request.headers.get(hdrs.HOST, "")
        forwarding.introduce(headers, request.remote, host, is_counted=self._is_counting)
        forwarding.hurry(headers)
        if self._sign is not None:
            self._sign(request, headers)
        return Ask(request.method, forwarding.target_of(request.raw_path), headers)

    async def _with_body(self, request: web.Request, ask: Ask) -> web.StreamResponse:
        """The body goes one way while the answer may come the other way already."""
        exchange, reply = await self._through.begin(ask)
        exchange.is_sending = True
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send(request, ask, exchange, reply), name="passing a body on")
                heading = tasks.create_task(reply.headed(), name="waiting for the answer to a body")
                await asyncio.wait({sending, heading}, return_when=asyncio.FIRST_COMPLETED)
                if not heading.done() and not (await asyncio.wait({heading}, timeout=self._response_seconds))[0]:
                    raise UpstreamTimeout
                response = await self.relay(request, reply)
                sending.cancel()
        except BaseExceptionGroup as group:
            raise _worst(request, group) from group
        finally:
            reply.close()
        return response

    async def _send(self, request: web.Request, ask: Ask, exchange: Exchange, reply: Reply) -> None:
        """The body of the request, as it comes. Raises UploadTooSlow, UnreadableRequest, UpstreamTimeout."""
        if hdrs.EXPECT in request.headers and request.version >= HttpVersion11:
            await _asked_to_continue(reply)
            if reply.head is not None and not reply.is_wanted:
                return  # it is not wanted: the connection ends without it
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0  # else it would count as part of the answer
        is_chunked = hdrs.TRANSFER_ENCODING in ask.headers
        idle_seconds = PATIENT_SECONDS if is_patient(ask.target) else self._idle_seconds
        async for chunk in bodies.chunks(request, idle_seconds):
            data = b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk
            if not await exchange.send(data, self._response_seconds):
                return
        if not is_chunked or await exchange.send(b"0\r\n\r\n", self._response_seconds):
            exchange.is_sending = False


def own_answer(request: web.Request) -> web.Response | None:
    """What a gateway answers itself: requests about a connection, or about the server as a whole.

    Raises HTTPMethodNotAllowed, and UnreadableRequest for a request that has been here too often.
    """
    if hdrs.VIA in request.headers and forwarding.is_loop(request.headers):
        raise UnreadableRequest("This request goes round in circles.")
    if request.method in ("TRACE", "CONNECT"):
        raise web.HTTPMethodNotAllowed(request.method, _ALLOWED.split(", "))
    ends_here = request.raw_path == "*" or request.headers.get("Max-Forwards", "").strip("0") == ""
    if request.method == hdrs.METH_OPTIONS and (request.raw_path == "*" or "Max-Forwards" in request.headers):
        return web.Response(status=204, headers={"Allow": _ALLOWED}) if ends_here else None
    return None


async def _asked_to_continue(reply: Reply) -> None:
    try:
        async with asyncio.timeout(_CONTINUE_SECONDS):
            await reply.may_continue.wait()
    except TimeoutError:
        pass


async def _pieces(reply: Reply) -> AsyncGenerator[bytes, None]:
    while piece := await reply.read():
        yield piece


def _worst(request: web.Request, group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one to tell the client; where it has half an answer already there is nothing to tell."""
    errors: list[BaseException] = list(group.exceptions)
    while nested := [error for error in errors if isinstance(error, BaseExceptionGroup)]:
        errors = [error for error in errors if error not in nested] + [
            one for error in nested for one in error.exceptions
        ]
    if request.writer.output_size > 0:
        if request.transport is not None:
            request.transport.abort()
        return ConnectionResetError("response aborted")
    return next((error for error in errors if isinstance(error, PastebinError)), errors[0])
