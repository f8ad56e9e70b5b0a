"""The connections of a door: what is no request is refused as a problem document, and nobody can hold one for ever.

aiohttp answers what its parser refuses by itself, in its own name, and logs the bytes it could not read: those can be
tokens, passwords and pastes. It has no deadline for the head of a request nor for a client that stops reading.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import traceback
from collections.abc import Callable
from typing import Any, cast

from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import _ErrInfo

from pastebin.errors import Overloaded, PastebinError, UnreadableRequest, UploadTooSlow
from pastebin.http import problems
from pastebin.http.capacity import Capacity
from pastebin.http.counted import OnAnswered
from pastebin.http.problems import Document
from pastebin.http.roads import ShortRoad, owed
from pastebin.http.targets import is_patient
from pastebin.http.weighed import Weighed

log = logging.getLogger(__name__)

# The head of a request is a few hundred bytes in one or two packets: ten seconds are enough from anywhere.
HEAD_SECONDS = 10.0


class Connection(Weighed):
    """One connection, if the door has `capacity` for it.

    `write_seconds` bounds how long a client may not read what was written for it. In every such time at least
    `min_body_rate` bytes for each second of it have to arrive of a body, unless it was held up here or is patient.
    `on_answered` is told of every answer that was written as a whole.
    """

    __slots__ = (
        "_address",
        "_arrived",
        "_behind",
        "_capacity",
        "_half_closed",
        "_has_waited",
        "_head_timer",
        "_heard",
        "_is_paced",
        "_last_body",
        "_min_body_rate",
        "_moved",
        "_on_answered",
        "_on_refused",
        "_owed",
        "_pace_timer",
        "_short",
        "_short_road",
        "_unread",
        "_was_held_up",
        "_wire",
        "_write_seconds",
        "_write_timer",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        write_seconds: float,
        on_refused: Callable[[int], None],
        capacity: Capacity | None = None,
        min_body_rate: int = 0,
        short_road: ShortRoad | None = None,
        on_answered: OnAnswered | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(manager, **kwargs)
        self._short_road = short_road
        self._short: object | None = None  # answers a request that came by the short road
        self._behind = b""  # what came after that request
        self._has_waited = False  # for a turn of the loop, with what is here
        self._owed: int | None = 0  # bytes until the next request begins, None where nobody knows
        self._capacity = capacity
        self._address: str | None = None  # under which it is counted
        self._min_body_rate = min_body_rate
        self._arrived = 0
        self._is_paced = False
        self._was_held_up = False
        self._pace_timer: asyncio.TimerHandle | None = None
        self._write_seconds = write_seconds
        self._on_refused = on_refused
        self._on_answered = on_answered
        self._wire: asyncio.Transport | None = None  # `transport` is given up before its last bytes are written
        self._last_body: StreamReader | None = None
        self._half_closed = False
        self._heard = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._unread = 0
        self._moved = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._capacity is not None:
            peer = transport.get_extra_info("peername")
            address = str(peer[0]) if isinstance(peer, tuple) else "local"
            if not self._capacity.admit(address):
                self._turn_away(cast(asyncio.Transport, transport))
                return
            self._address = address
        super().connection_made(transport)
        self._wire = self.transport
        self._head_timer = self._loop.call_later(HEAD_SECONDS, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._await_no_head()
        for timer in (self._write_timer, self._pace_timer):
            if timer is not None:
                timer.cancel()
        self._write_timer = self._pace_timer = None
        self._wire = self._last_body = None
        self._given_up()
        if self._capacity is not None and self._address is not None:
            self._capacity.release(self._address)
            self._address = None
        if self._waiter is not None and self._waiter.done() and self._task_handler is not None:
            # a request has come and nobody has begun with it: aiohttp would stumble over what is taken from it now
            self._task_handler.cancel()
        super().connection_lost(exc)

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins a request, and every answer so far was written and is being read."""
        return (
            self._owed == 0
            and self._short is None
            and self._waiter is not None
            and not (self._waiter.done() or self._messages or self._paused or self._close or self._force_close)
            and (self._last_body is None or self._last_body.is_eof())
        )

    def is_expected(self, seconds: float) -> bool:
        """Whether a request is here that nobody has begun with, or the connection is so new that one may still come."""
        if self._messages or self._short is self:
            return True
        timer = self._head_timer
        return timer is not None and self._loop.time() < timer.when() - HEAD_SECONDS + seconds

    def _is_soon_between(self, data: bytes) -> bool:
        """Whether aiohttp has only to take its next turn before the short road is open to `data`.

        That is so on a new connection, and after an answer of the full road that was read at once.
        """
        has_waited, self._has_waited = self._has_waited, False
        if has_waited or self._owed != 0 or self._buffer_paused or self._short_road is None:
            return False
        return self._short_road.may_take(data)

    def _look_again(self) -> None:
        data, self._short, self._behind, self._has_waited = self._behind, None, b"", True
        if self.transport is not None:
            self._resume_reading_for_buffer()
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._short is not None:
            self._behind += data
            self._pause_reading_for_buffer()
            return
        if (refusal := self._refused(data)) is not None:
            self._answer_at_once(*refusal)
            return
        if self._waiter is None and self._is_soon_between(data):
            self._short, self._behind = self, data
            self._loop.call_soon(self._look_again)
            return
        if self._short_road is not None and self.is_between:
            self._short = self._short_road.begin(data, self._finish_short)
            if self._short is not None:
                self._await_no_head()
                self._request_in_progress = True
                self._count("write")
                return
        waiting = len(self._messages)
        super().data_received(data)
        came = list(self._messages)[waiting:]
        if self._owed is not None:
            self._owed = None if self._upgraded else owed(self._owed, data, came)
        if came and not self._upgraded and self._owed != 0:
            message, payload = came[-1]
            if not isinstance(message, _ErrInfo) and message.upgrade:
                # aiohttp has dropped what came behind a request for a protocol that it does not know
                self._messages[-1] = message._replace(should_close=True), payload
        if came:
            self._weigh()
        if self._messages:
            last, self._last_body = self._messages[-1]
            self._is_paced = self._min_body_rate > 0 and not is_patient(getattr(last, "path", ""))
            self._await_no_head()
        elif self._head_timer is None and self._is_idle():
            self._head_timer = self._loop.call_later(HEAD_SECONDS, self._head_is_late)
        if self._is_paced and self._last_body is not None and not self._last_body.is_eof():
            if self._pace_timer is None:
                self._watch_pace()
            self._arrived += len(data)

    def pause_reading(self) -> None:
        self._was_held_up = True
        super().pause_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp returns nothing
        """A client that has sent all it wants to send (`printf ... | nc`) still gets its answers."""
        if self._short is not None:
            self._half_closed = True
            return True
        if self._is_idle() or self._last_body is None or not self._last_body.is_eof():
            return False
        self._half_closed = True
        if self._current_request is None and not self._messages:
            self.close()  # the last answer is being written already, or was a moment ago
        return True

    def _answer_at_once(self, answer: bytes, stays: bool) -> None:
        assert self.transport is not None  # noqa: S101  (something has come from there)
        self._await_no_head()
        self.transport.write(answer)
        self._moved = True
        self._await_reading()
        (self._stay if stays else self.force_close)()

    def _finish_short(self, answer: bytes, stays: bool) -> None:
        """What aiohttp does after an answer; without one the connection ends."""
        self._short = None
        self.begun()
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self.transport is None:
            return
        self.transport.write(answer)
        self._moved = True
        self._await_reading()
        behind, self._behind = self._behind, b""
        if not stays or self._close or self._force_close or (self._half_closed and not behind):
            self.force_close()
            return
        self._stay()
        if behind:
            self._resume_reading_for_buffer()
            self.data_received(behind)

    def _process_keepalive(self) -> None:
        if self._short is None:
            super()._process_keepalive()
        else:
            self._keepalive_handle = None  # it is not idle, though aiohttp knows of no request

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._moved = True

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            # the middleware turns these into documents: this one comes from before it
            resp = self._refusal(problems.describe_http(resp, secrets.token_hex(8)))
        if self._half_closed and not self._messages:
            self.close()
        self.begun()
        self._moved = True
        finished = await super().finish_response(request, resp, start_time)
        if self._on_answered is not None and self._wire is not None:
            self._on_answered(request, finished[0])
        self._await_reading()
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what could not be parsed, and to what failed outside of every handler.

        Raises ConnectionError where there is nobody to answer, or half an answer was sent.
        """
        if isinstance(exc, ConnectionError):
            raise exc
        request_id = secrets.token_hex(8)
        if isinstance(exc, HttpProcessingError):
            log.info("a connection sent what is no request: %s", type(exc).__name__)
            document = problems.describe(_explained(exc), request_id)
        elif isinstance(exc, PastebinError):
            log.info("a connection was given up: %s", exc)
            document = problems.describe(exc, request_id)
        else:
            where = traceback.extract_tb(exc.__traceback__)[-1:] if exc is not None else []
            at = ", ".join(f"{frame.filename}:{frame.lineno}" for frame in where)
            extra = {"request_id": request_id, "at": at}
            log.error("unforeseen %s outside of every handler", type(exc).__name__, extra=extra)
            document = problems.describe_crash(request_id)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was on its way already")
        return self._refusal(document)

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Say what kind of error ended the connection. Its text and its trace can hold bytes of the request."""
        log.info("a connection ended with %s", type(kwargs.get("exc_info")).__name__)

    def _refusal(self, document: Document) -> web.Response:
        self._on_refused(document.status)
        response = web.Response(
            status=document.status,
            body=document.as_json(),
            content_type=problems.MEDIA_TYPE,
            headers=problems.closing(document),
        )
        response.force_close()
        return response

    def _is_idle(self) -> bool:
        """Whether it waits for the head of a request, of which something may be here."""
        return self._waiter is not None and not self._waiter.done()

    def _await_no_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._heard:
            self.force_close()  # browsers connect ahead of time, and take any answer for that of their next request
        elif self._waiter is not None and self._is_idle():
            late = UploadTooSlow(f"The head of a request has to arrive within {HEAD_SECONDS:g} seconds.")
            self._messages.append((_ErrInfo(status=408, exc=late, message=""), EMPTY_PAYLOAD))
            self._waiter.set_result(None)

    def _turn_away(self, transport: asyncio.Transport) -> None:
        """Answer what has not been asked yet, for whoever listens, and keep nothing of the connection."""
        document = problems.describe(Overloaded("There are too many connections."), secrets.token_hex(8))
        self._on_refused(document.status)
        body = document.as_json()
        fields = {"Content-Type": problems.MEDIA_TYPE, "Content-Length": str(len(body)), **problems.closing(document)}
        lines = [f"HTTP/1.1 {document.status} {document.title}", *(f"{name}: {fields[name]}" for name in fields)]
        transport.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
        transport.close()

    def _watch_pace(self) -> None:
        """Look in `write_seconds` how much of the body has arrived by then."""
        self._arrived = 0
        self._was_held_up = self._reading_paused
        self._pace_timer = self._loop.call_later(self._write_seconds, self._pace_is_due)

    def _pace_is_due(self) -> None:
        self._pace_timer = None
        if not self._is_paced or self._last_body is None or self._last_body.is_eof():
            return
        if self._was_held_up or self._arrived >= self._min_body_rate * self._write_seconds:
            self._watch_pace()
        else:
            slow = f"Of the body less than {self._min_body_rate} bytes a second arrived for {self._write_seconds:g} s."
            self._last_body.set_exception(UploadTooSlow(slow))

    def _await_reading(self) -> None:
        """Look again in `write_seconds`, if there is something that the client has not read."""
        if self._write_timer is None and self._wire is not None:
            self._unread = self._wire.get_write_buffer_size()
            self._moved = False
            if self._unread:
                self._write_timer = self._loop.call_later(self._write_seconds, self._reading_is_late)

    def _reading_is_late(self) -> None:
        self._write_timer = None
        if self._wire is None:
            return
        if not self._moved and self._wire.get_write_buffer_size() >= self._unread:
            log.info("a connection was cut: nothing was read from it for %g s", self._write_seconds)
            self._wire.abort()
        else:
            self._await_reading()


def _explained(error: HttpProcessingError) -> UnreadableRequest:
    """Without the error's own text, which repeats what was sent."""
    if isinstance(error, LineTooLong):
        return UnreadableRequest("A line in the head of the request is too long.")
    return UnreadableRequest("This is not a request of HTTP/1.1 (RFC 9112).")
