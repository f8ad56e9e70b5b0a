"""What every request of a door goes through: an id, figures, and one place where errors become answers."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from prometheus_client import Histogram

from pastebin import surrogates
from pastebin.errors import PastebinError, PasteNotFound, Unavailable
from pastebin.http import caching, problems
from pastebin.http.door import Traffic
from pastebin.http.negotiation import prefers_html
from pastebin.http.problems import Document
from pastebin.log import REQUEST_ID
from pastebin.metrics import Metrics

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

log = logging.getLogger(__name__)

ErrorPage = Callable[[Document], web.Response]

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_ID = web.RequestKey("request_id", str)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observed(door: str, traffic: Traffic, metrics: Metrics, error_page: ErrorPage) -> Middleware:
    """The outermost middleware of a door. Nothing that a handler raises gets past it as a traceback."""

    in_flight = metrics.in_flight.labels(door)
    # by route, method and status, as bounded as these are
    durations: dict[tuple[str, str, str], Histogram] = {}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[_ID] = _request_id(request)
        reset = REQUEST_ID.set(request_id)
        started = time.perf_counter()
        status = 499  # the client went away before there was an answer
        in_flight.inc()
        try:
            try:
                with traffic:
                    response = await handler(request)
            except (PastebinError, web.HTTPException) as error:
                response = _answer(request, error, request_id, error_page)
            except ConnectionError:
                raise
            except Exception:
                log.exception("unforeseen error in %s %s", request.method, _route(request))
                response = _shown(request, problems.describe_crash(request_id), error_page)
            status = response.status
            return response
        finally:
            in_flight.dec()
            kind = (_route(request), request.method if request.method in _METHODS else "other", str(status))
            if (duration := durations.get(kind)) is None:
                duration = durations[kind] = metrics.requests.labels(door, *kind)
            duration.observe(time.perf_counter() - started)
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
    response.headers.setdefault("X-Request-Id", request.get(_ID) or _request_id(request))
    response.headers["Server"] = "pastebin"


def _answer(
    request: web.Request, error: PastebinError | web.HTTPException, request_id: str, error_page: ErrorPage
) -> web.StreamResponse:
    if isinstance(error, PastebinError):
        document = problems.describe(error, request_id)
        if document.status >= 500:
            # an outage is told by whoever met it; its trace, repeated for every request, tells nothing more
            cause = None if isinstance(error, Unavailable) else error.__cause__
            log.warning("%s %s: %s", request.method, _route(request), document.detail, exc_info=cause)
        is_absence = isinstance(error, PasteNotFound) and request.method in ("GET", "HEAD")
        return _shown(request, document, error_page, caching.of_absence() if is_absence else None)
    if error.status < 400:
        raise error
    if isinstance(error, web.HTTPNotFound):
        # an address that cannot name a paste looks like one that names none
        return _shown(request, problems.describe(PasteNotFound(), request_id), error_page)
    return _shown(request, problems.describe_http(error, request_id), error_page)


def _shown(
    request: web.Request, document: Document, error_page: ErrorPage, kept: caching.Headers | None = None
) -> web.Response:
    """As a page for who prefers one, else as JSON. A refused body is not read to its end, so the connection closes.

    `kept` says what caches may do with the answer, if nothing in the request says who asks.
    """
    is_for_programs = request.path.startswith("/api/")
    if prefers_html(request.headers.get("Accept")) and not is_for_programs:
        response = error_page(document)
    else:
        response = web.Response(status=document.status, body=document.as_json(), content_type=problems.MEDIA_TYPE)
    response.headers.update(document.headers or {})
    response.headers["X-Content-Type-Options"] = "nosniff"
    vary = [] if is_for_programs else [hdrs.ACCEPT]
    if kept and caching.is_anonymous(request) and surrogates.of_path(request.rel_url.raw_path):
        response.headers.update(kept)
        vary.append(hdrs.COOKIE)
    else:
        response.headers.update({hdrs.CACHE_CONTROL: "no-store", caching.SHARED: "no-store"})
    if vary:
        response.headers[hdrs.VARY] = ", ".join(vary)
    if not request.content.at_eof() and document.status in (400, 408, 413, 415, 417, 503):
        response.force_close()
    return response


def _request_id(request: web.Request) -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(8)


def _route(request: web.Request) -> str:
    """The pattern, never the path: paths hold slugs and are without bound."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"
