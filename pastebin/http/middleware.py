"""What every request of a door goes through: an id, figures, and one place where errors become answers."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from prometheus_client import Histogram

from pastebin import surrogates
from pastebin.errors import PastebinError, PasteNotFound, Unavailable
from pastebin.http import caching, problems
from pastebin.http.counted import STARTED
from pastebin.http.door import Traffic
from pastebin.http.negotiation import prefers_html
from pastebin.http.problems import Document
from pastebin.log import REQUEST_ID
from pastebin.metrics import Metrics

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

log = logging.getLogger(__name__)

ErrorPage = Callable[[Document], web.Response]

SERVER = "pastebin"
REQUEST_ID_HEADER = "X-Request-Id"
WENT_AWAY = 499  # the client, before there was an answer

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_ID = web.RequestKey("request_id", str)
# Of an application that changes nothing, as its node has not the role for that.
READS_ONLY = web.AppKey("reads-only", bool)
_CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ELSEWHERE = "This node takes no changes: they go to nodes with the role write."
# Set on what others may read as another request: nothing behind it is read.
AMBIGUOUS = web.RequestKey("ambiguous", bool)
# Those who ask here are nodes, or have been counted already.
_OWN_DOORS = frozenset({"internal", "local"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observer:
    """The requests inside a door and the figures of all that went through."""

    def __init__(self, door: str, traffic: Traffic, metrics: Metrics) -> None:
        self.traffic = traffic
        self._door = door
        self._metrics = metrics
        self.noted = 0
        if door not in _OWN_DOORS:
            metrics.pace.counts.append(lambda: self.noted)
        metrics.in_flight.labels(door).set_function(lambda: traffic.inside)
        # by route, method and status, as bounded as these are
        self._durations: dict[tuple[str, str, int], Histogram] = {}

    def note(self, route: str, method: str, status: int, started: float) -> None:
        """Count a request that has ended, whatever became of it; `started` is a time of `perf_counter`."""
        kind = (route, method if method in _METHODS else "other", status)
        if (duration := self._durations.get(kind)) is None:
            duration = self._durations[kind] = self._metrics.requests.labels(self._door, *kind)
        duration.observe(time.perf_counter() - started)
        self.noted += 1


def observed(observer: Observer, error_page: ErrorPage) -> Middleware:
    """The outermost middleware of a door. Nothing that a handler raises gets past it as a traceback."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        identity = request[_ID] = request_id(request.headers.get(REQUEST_ID_HEADER))
        reset = REQUEST_ID.set(identity)
        status = WENT_AWAY
        request[STARTED] = time.perf_counter()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (requests are tasks)
        observer.traffic.enter(task)
        try:
            try:
                response = await handler(request)
            except (PastebinError, web.HTTPException) as error:
                response = _answer(request, error, identity, error_page)
            except ConnectionError:
                raise
            except Exception:
                log.exception("unforeseen error in %s %s", request.method, _route(request))
                response = _shown(request, problems.describe_crash(identity), error_page)
            status = response.status
            return response
        finally:
            observer.traffic.leave(task)
            observer.note(_route(request), request.method, status, request[STARTED])
            REQUEST_ID.reset(reset)

    return middleware


def closing(is_draining: Callable[[], bool]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What ends every connection with its next answer, streamed or not, once the door drains."""

    async def close(_request: web.Request, response: web.StreamResponse) -> None:
        if is_draining():
            # aiohttp has written the header already when it asks
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"

    return close


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """Put the request's id on every answer, also on one that is streamed; say nothing of the program's version."""
    identity = request.get(_ID) or request_id(request.headers.get(REQUEST_ID_HEADER))
    response.headers.setdefault(REQUEST_ID_HEADER, identity)
    response.headers["Server"] = SERVER


def _answer(
    request: web.Request, error: PastebinError | web.HTTPException, identity: str, error_page: ErrorPage
) -> web.StreamResponse:
    if isinstance(error, PastebinError):
        document = document_of(error, request.method, _route(request), identity)
        is_absence = isinstance(error, PasteNotFound) and request.method in ("GET", "HEAD")
        return _shown(request, document, error_page, caching.of_absence() if is_absence else None)
    if error.status < 400:
        raise error
    if error.status in (404, 405) and request.method in _CHANGES and request.app.get(READS_ONLY):
        refused = problems.describe_http(web.HTTPMethodNotAllowed(request.method, ("GET", "HEAD")), identity)
        return _shown(request, replace(refused, detail=_ELSEWHERE), error_page)
    if isinstance(error, web.HTTPNotFound):
        # an address that cannot name a paste looks like one that names none
        return _shown(request, problems.describe(PasteNotFound(), identity), error_page)
    return _shown(request, problems.describe_http(error, identity), error_page)


def document_of(error: PastebinError, method: str, route: str, identity: str) -> Document:
    """What to tell a client of the error; what an operator should know is logged."""
    document = problems.describe(error, identity)
    if document.status >= 500:
        # an outage is told by whoever met it; its trace, repeated for every request, tells nothing more
        cause = None if isinstance(error, Unavailable) else error.__cause__
        log.warning("%s %s: %s", method, route, document.detail, exc_info=cause)
    return document


def _shown(
    request: web.Request, document: Document, error_page: ErrorPage, kept: caching.Headers | None = None
) -> web.Response:
    """As a page for who prefers one, else as JSON. A refused body is not read to its end, so the connection closes.

    `kept` says what caches may do with the answer, if nothing in the request says who asks.
    """
    if kept and not (caching.is_anonymous(request) and surrogates.of_path(request.rel_url.raw_path)):
        kept = None
    if kept:
        document = replace(document, request_id="")  # whoever gets it next has another one, in the header
    if prefers_html(request.headers.get("Accept")) and not _is_for_programs(request.path):
        response = error_page(document)
    else:
        response = _in_json(document)
    _headed(response, document, request.path, kept)
    if AMBIGUOUS in request or (not request.content.at_eof() and document.status in (400, 408, 413, 415, 417, 503)):
        response.force_close()
    return response


def as_json(document: Document, path: str) -> web.Response:
    """A problem document for a program that asked for this path."""
    return _headed(_in_json(document), document, path)


def _in_json(document: Document) -> web.Response:
    return web.Response(status=document.status, body=document.as_json(), content_type=problems.MEDIA_TYPE)


def _headed(response: web.Response, document: Document, path: str, kept: caching.Headers | None = None) -> web.Response:
    response.headers.update(document.headers or {})
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.update(kept or {hdrs.CACHE_CONTROL: "no-store", caching.SHARED: "no-store"})
    vary = [] if _is_for_programs(path) else [hdrs.ACCEPT]
    if kept:
        vary.append(hdrs.COOKIE)
    if vary:
        response.headers[hdrs.VARY] = ", ".join(vary)
    return response


def _is_for_programs(path: str) -> bool:
    return path.startswith("/api/")


def request_id(given: str | None) -> str:
    """The id that the client, or whoever stands before this node, has given, if it is one; else a new one."""
    if given is not None and _GIVEN_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(64):016x}"


def _route(request: web.Request) -> str:
    """The pattern, never the path: paths hold slugs and are without bound."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"
