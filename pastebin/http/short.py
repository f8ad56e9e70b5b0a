"""The short road: a small request that is here as a whole is answered without aiohttp's machinery for requests.

The same services give the same answers to the byte, with the same figures and sessions. Only the plainest requests are
let in: one exact request line, headers that mean nothing to a handler or just one thing, a body of known length. What
is any less plain, and whatever a handler declines before it has changed something, takes the full road.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.helpers import parse_content_type, rfc822_formatted_time
from aiohttp.http_writer import _serialize_headers
from multidict import CIMultiDict

from pastebin.errors import PastebinError
from pastebin.http import caching, dialects, middleware, problems
from pastebin.http.consistency import Tokens, token_for
from pastebin.http.middleware import Observer
from pastebin.http.protocol import Finish
from pastebin.log import REQUEST_ID
from pastebin.positions import SESSION, Session
from pastebin.sections import Dialect

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
_HEAD_BYTES = 4096
# Whoever gives one of them another meaning takes it off this list: then such requests take the full road.
_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "connection", "content-length", "content-type", "host"),
        *("user-agent", "via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"),
        "x-request-id",
    }
)


class Short(NamedTuple):
    """A request of the short road; names of headers are in lower case, none is there twice."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def host(self) -> str:
        return self.headers["host"]

    @property
    def media_type(self) -> str:
        """As `web.Request.content_type`."""
        given = self.headers.get("content-type")
        return "application/octet-stream" if given is None else parse_content_type(given)[0]


# What stands before the application is told of an answer: host, target, status, and headers to add to (see `offer`).
Changed = Callable[[str, str, int, CIMultiDict[str]], None]

# Looks at a request without changing anything, and says what would answer it: None where the full road has to.
Handler = Callable[[Short], Callable[[], Awaitable[web.Response]] | None]


def read(data: bytes) -> tuple[str, Short] | None:
    """The request line and the request, if `data` is one plain request and nothing else."""
    end = data.find(b"\r\n\r\n", 0, _HEAD_BYTES)
    if end < 0:
        return None
    try:
        line, *fields = data[:end].decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        return None
    headers: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        name = name.lower()
        if not colon or name not in _HEADERS or name in headers or not field.isprintable():
            return None
        headers[name] = value.strip(" ")
    body = data[end + 4 :]
    if not headers.get("host") or headers.get("content-length") != str(len(body)) or len(body) > MAX_BODY_BYTES:
        return None
    if headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    return line, Short(headers, body)


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
        self._handlers = {f"POST {path} HTTP/1.1": (path, handler) for path, handler in handlers.items()}
        self._first_lines = tuple(line.encode() + b"\r\n" for line in self._handlers)
        self._loop = asyncio.get_running_loop()
        self._observer = observer
        self._tokens = tokens
        self._is_draining = is_draining
        self._changed = changed
        self._spoken = spoken
        self._takes = takes

    def begin(self, data: bytes, finish: Finish) -> asyncio.Task[None] | None:
        """See `protocol.ShortRoad`."""
        if not data.startswith(self._first_lines) or (found := read(data)) is None:
            return None
        line, request = found
        if self._takes is not None and not self._takes(request.host):
            return None
        path, handler = self._handlers[line]
        try:
            work = handler(request)
        except PastebinError:
            return None  # the full road will tell
        if work is None:
            return None
        request_id = middleware.request_id(request.headers.get("x-request-id"))
        return self._loop.create_task(self._answer(path, request.host, request_id, work, finish))

    async def _answer(
        self, path: str, host: str, request_id: str, work: Callable[[], Awaitable[web.Response]], finish: Finish
    ) -> None:
        REQUEST_ID.set(request_id)  # for this task alone
        session = Session()
        SESSION.set(session if self._tokens is not None else None)
        answer, stays, status = b"", False, middleware.WENT_AWAY
        started = time.perf_counter()
        task = self._observer.traffic.enter()
        try:
            try:
                response = await work()
            except PastebinError as error:
                document = middleware.document_of(error, hdrs.METH_POST, path, request_id)
                response = middleware.as_json(document, path)
            except Exception:
                log.exception("unforeseen error in POST %s", path)
                response = middleware.as_json(problems.describe_crash(request_id), path)
            status = response.status
            answer, stays = self._encoded(response, path, host, request_id, session)
        finally:
            self._observer.traffic.leave(task)
            self._observer.note(path, hdrs.METH_POST, status, started)
            finish(answer, stays)

    def _encoded(
        self, response: web.Response, path: str, host: str, request_id: str, session: Session
    ) -> tuple[bytes, bool]:
        """What aiohttp makes of it, in the same order, with what is added to every answer."""
        headers, body = response.headers, response.body
        assert isinstance(body, bytes)  # noqa: S101  (other kinds are for streams)
        stays = response.keep_alive is not False and not self._is_draining()
        headers[hdrs.CONTENT_LENGTH] = str(len(body))
        headers[hdrs.DATE] = rfc822_formatted_time()
        headers[hdrs.SERVER] = middleware.SERVER
        if response.keep_alive is False:
            headers[hdrs.CONNECTION] = "close"
        headers.setdefault(middleware.REQUEST_ID_HEADER, request_id)
        if not stays:
            headers[hdrs.CONNECTION] = "close"
        if self._tokens is not None:
            caching.guard(path, headers, in_session=False)  # who has a session takes the full road
            token_for(session, response, self._tokens, now=time.time())
        if self._changed is not None:
            self._changed(host, path, response.status, headers)
        if self._spoken:
            dialects.translate(headers, self._spoken)
        return _serialize_headers(f"HTTP/1.1 {response.status} {response.reason}", headers) + body, stays
