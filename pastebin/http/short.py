"""The short road: a small request that is here as a whole is answered without aiohttp's machinery for requests.

The same services give the same answers to the byte, with the same figures and sessions. Only the plainest requests are
let in: one exact request line, headers that mean nothing to a handler or just one thing, a body of known length. What
is any less plain, and whatever a handler declines before it has changed something, takes the full road.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from aiohttp import hdrs
from aiohttp.helpers import parse_content_type, rfc822_formatted_time
from aiohttp.http_writer import _serialize_headers
from aiohttp.web_response import REASON_PHRASES
from multidict import CIMultiDict

from pastebin.errors import PastebinError
from pastebin.http import caching, dialects, middleware, problems
from pastebin.http.consistency import Tokens, put_token
from pastebin.http.middleware import Observer
from pastebin.http.roads import Finish
from pastebin.log import REQUEST_ID
from pastebin.positions import Position
from pastebin.sections import Dialect

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
_HEAD_BYTES = 4096
_FIELDS = 48

_PATH, _HOST, _LENGTH, _TYPE, _ACCEPT, _ID = range(1, 7)

_VALUE = rb"[ -~]*+"
# Both spellings that occur; a field that is read may not be there twice: a group that has matched, (?(N)(?!)), may not
# match again. Those that are not read mean nothing here: whoever gives one of them another meaning takes it off this
# list, then such requests take the full road.
_FIELD = (
    rb"(?:"
    rb"[Hh]ost:(?(2)(?!))(%(value)b)"
    rb"|[Cc]ontent-(?:[Ll]ength:(?(3)(?!)) *+([0-9]++) *+|[Tt]ype:(?(4)(?!))(%(value)b))"
    rb"|[Aa]ccept(?::(?(5)(?!))(%(value)b)|-(?:[Ee]ncoding|[Ll]anguage):%(value)b)"
    rb"|[Xx]-(?:[Rr]equest-[Ii][Dd]:(?(6)(?!))(%(value)b)"
    rb"|(?:[Ff]orwarded-(?:[Ff]or|[Hh]ost|[Pp]roto)|[Rr]eal-[Ii][Pp]):%(value)b)"
    rb"|(?:[Uu]ser-[Aa]gent|[Vv]ia|[Ff]orwarded):%(value)b"
    rb"|[Cc]onnection: *+[Kk]eep-[Aa]live *+"
    rb")\r\n"
) % {b"value": _VALUE}
_HEAD = re.compile(rb"POST (/[A-Za-z0-9/._-]*+) HTTP/1\.1\r\n(?:%b){1,%d}+\r\n" % (_FIELD, _FIELDS))


class Short(NamedTuple):
    """A request of the short road; fields that were not sent are None."""

    path: str
    host: str
    content_type: str | None
    accept: str | None
    request_id: str | None
    body: bytes

    @property
    def media_type(self) -> str:
        """As `web.Request.content_type`."""
        given = self.content_type
        return "application/octet-stream" if given is None else parse_content_type(given)[0]


class Said(NamedTuple):
    """An answer, and where in the history of the database its client is with it.

    The headers have their usual spelling, and are this answer's own: others are added.
    """

    status: int
    headers: CIMultiDict[str] | dict[str, str]
    body: bytes
    seen: Position | None = None


# What stands before the application is told of an answer: host, target, status, and headers to add to (see `offer`).
Changed = Callable[[str, str, int, CIMultiDict[str]], None]

# Hears what is to be answered, once, and never before the handler has returned.
Tell = Callable[[Said | Exception], None]
# Begins what answers a request: returns what ends it early, so that nobody is told. None where the full road has to
# answer: then nothing was changed.
Handler = Callable[[Short, Tell], Callable[[], None] | None]


def read(data: bytes) -> Short | None:
    """The request, if `data` is one plain request and nothing else."""
    head = _HEAD.match(data)
    if head is None or (end := head.end()) > _HEAD_BYTES:
        return None
    path, host, length, kind, accept, request_id = head.groups()
    body = data[end:]
    if not host or length != b"%d" % len(body) or len(body) > MAX_BODY_BYTES:
        return None
    return Short(path.decode(), _text(host) or "", _text(kind), _text(accept), _text(request_id), body)


def _text(value: bytes | None) -> str | None:
    """Spaces at its ends are not part of it (RFC 9110, 5.5)."""
    return None if value is None else value.strip(b" ").decode()


class ShortRoad:
    """The short road through one door; `handlers` are by path, and for POST."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        observer: Observer,
        tokens: Tokens | None,
        is_draining: Callable[[], bool],
        changed: Changed | None = None,
        spoken: Collection[Dialect] = (),
        takes: Callable[[str], bool] | None = None,
    ) -> None:
        self._handlers = handlers
        self._first_lines = tuple(f"POST {path} HTTP/1.1\r\n".encode() for path in handlers)
        self.observer = observer
        self._tokens = tokens
        self._is_draining = is_draining
        self._changed = changed
        self._spoken = spoken
        self._takes = takes

    def may_take(self, data: bytes) -> bool:
        """See `roads.ShortRoad`."""
        return data.startswith(self._first_lines)

    def begin(self, data: bytes, finish: Finish) -> object | None:
        """See `roads.ShortRoad`."""
        if not data.startswith(self._first_lines) or (request := read(data)) is None:
            return None
        if self._takes is not None and not self._takes(request.host):
            return None
        answering = _Answering(self, request, finish)
        try:
            stop = self._handlers[request.path](request, answering.tell)
        except PastebinError:
            return None  # the full road will tell
        if stop is None:
            return None
        answering.stop = stop
        self.observer.traffic.enter(answering)
        return answering

    def described(self, error: Exception, path: str, request_id: str) -> Said:
        """What is said of an error, as the middleware does."""
        reset = REQUEST_ID.set(request_id)
        try:
            if isinstance(error, PastebinError):
                document = middleware.document_of(error, hdrs.METH_POST, path, request_id)
            else:
                log.error("unforeseen error in POST %s", path, exc_info=error)
                document = problems.describe_crash(request_id)
        finally:
            REQUEST_ID.reset(reset)
        response = middleware.as_json(document, path)
        assert isinstance(response.body, bytes)  # noqa: S101  (other kinds are for streams)
        return Said(response.status, response.headers, response.body)

    def encoded(self, said: Said, path: str, host: str, request_id: str) -> tuple[bytes, bool]:
        """What aiohttp makes of it, in the same order, with what is added to every answer; whether more may come."""
        status, body = said.status, said.body
        headers = said.headers
        stays = not self._is_draining()
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        headers[hdrs.DATE] = rfc822_formatted_time()
        headers[hdrs.SERVER] = middleware.SERVER
        headers.setdefault(middleware.REQUEST_ID_HEADER, request_id)
        if not stays:
            headers[hdrs.CONNECTION] = "close"
        if self._tokens is not None:
            caching.guard(path, headers, in_session=False)  # who has a session takes the full road
            put_token(headers, status, said.seen, self._tokens, now=time.time())
        if self._changed is not None or self._spoken:
            headers = self._told(CIMultiDict(headers), path, host, status)
        line = f"HTTP/1.1 {status} {REASON_PHRASES[status]}"
        return _serialize_headers(line, headers) + body, stays  # type: ignore[arg-type]  # any mapping will do

    def _told(self, headers: CIMultiDict[str], path: str, host: str, status: int) -> CIMultiDict[str]:
        """The headers after whoever stands before the application has heard of them."""
        if self._changed is not None:
            self._changed(host, path, status, headers)
        if self._spoken:
            dialects.translate(headers, self._spoken)
        return headers


class _Answering:
    """A request that is being answered."""

    __slots__ = ("_finish", "_host", "_path", "_request_id", "_road", "_started", "stop")

    stop: Callable[[], None]

    def __init__(self, road: ShortRoad, request: Short, finish: Finish) -> None:
        self._road = road
        self._path = request.path
        self._host = request.host
        self._request_id = middleware.request_id(request.request_id)
        self._finish = finish
        self._started = time.perf_counter()

    def tell(self, outcome: Said | Exception) -> None:
        """See `Tell`."""
        road, path = self._road, self._path
        answer, stays, status = b"", False, middleware.WENT_AWAY
        try:
            said = outcome if isinstance(outcome, Said) else road.described(outcome, path, self._request_id)
            status = said.status
            answer, stays = road.encoded(said, path, self._host, self._request_id)
        finally:
            self._leave(status, answer, stays)

    def cancel(self) -> None:
        """Give it up; what is on its way to the database may still happen."""
        self.stop()
        self._leave(middleware.WENT_AWAY, b"", stays=False)

    def _leave(self, status: int, answer: bytes, stays: bool) -> None:
        del self.stop  # which leads back here: nothing is to be left to the collector of cycles
        observer = self._road.observer
        observer.traffic.leave(self)
        observer.note(self._path, hdrs.METH_POST, status, self._started)
        self._finish(answer, stays)
