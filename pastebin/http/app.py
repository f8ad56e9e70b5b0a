"""One `web.Application` per door, made of the routes that the roles behind it yield."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict

from pastebin.errors import StartError, UnreadableRequest
from pastebin.http import bodies, counted, languages, runner, weighed
from pastebin.http.consistency import Tokens, answering, consistent
from pastebin.http.dialects import speaking
from pastebin.http.door import Traffic
from pastebin.http.forwarding import TIMEOUT
from pastebin.http.middleware import AMBIGUOUS, ErrorPage, Observer, closing, observed, sign
from pastebin.http.short import ShortRoad
from pastebin.http.timeliness import Timeliness, begun
from pastebin.metrics import Metrics
from pastebin.sections import Dialect, LimitsSection

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)", re.ASCII | re.IGNORECASE)

Routes = Sequence[web.RouteDef]


class Fronted(Protocol):
    """What an application needs of a Front (see `offer`)."""

    @property
    def middleware(self) -> Middleware: ...

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None: ...

    def changed(self, host: str, target: str, status: int, headers: CIMultiDict[str]) -> None: ...

    def takes(self, host: str) -> bool: ...

    def watch(self, observer: Observer) -> None: ...


def build(
    door: str,
    routes: Routes,
    traffic: Traffic,
    metrics: Metrics,
    error_page: ErrorPage,
    is_draining: Callable[[], bool],
    limits: LimitsSection | None,
    tokens: Tokens | None = None,
    front: Fronted | None = None,
    dialects: Collection[Dialect] = (),
    timeliness: Timeliness | None = None,
) -> web.Application:
    """With `tokens` its requests have sessions; without `limits` it asks for no body, for others take it.

    `front` comes before the session and the handler; `dialects` as in `pastebin.http.dialects`. The handlers called
    `short` of routes answer on the short road. Raises StartError if two routes claim one method and path.
    """
    seen: set[tuple[str, str]] = set()
    for route in routes:
        if (route.method, route.path) in seen:
            raise StartError(f"door {door}: two roles claim {route.method} {route.path}")
        seen.add((route.method, route.path))
    observer = Observer(door, traffic, metrics)
    middlewares = [languages.speaking(), observed(observer, error_page), _admitted(limits, timeliness)]
    if front is not None:
        middlewares.append(front.middleware)
    if tokens is not None:
        middlewares.append(consistent(tokens))
    application = web.Application(middlewares=middlewares, client_max_size=1)
    application[runner.REFUSED] = _counting(metrics, door)
    application.on_response_prepare.extend((weighed.begun, sign, languages.tell, closing(is_draining)))
    if timeliness is not None:
        application.on_response_prepare.append(begun)
    if tokens is not None:
        application.on_response_prepare.append(answering(tokens))
    if front is not None:
        front.watch(observer)
        application.on_response_prepare.append(front.sign)
    elif door != "local":  # of which the edge before it wants to hear
        application.on_response_prepare.append(counted.sign)
    if dialects:
        application.on_response_prepare.append(speaking(dialects))
    short = {}
    for route in routes:
        options = {**route.kwargs, "expect_handler": _expected}
        if (handler := options.pop("short", None)) is not None:
            short[route.path] = handler
        web.RouteDef(route.method, route.path, route.handler, options).register(application.router)
    if short:
        changed, takes = (front.changed, front.takes) if front is not None else (None, None)
        application[runner.SHORT_ROAD] = ShortRoad(short, observer, tokens, is_draining, changed, dialects, takes)
    return application


def _counting(metrics: Metrics, door: str) -> Callable[[int], None]:
    """Count what was refused before there was a route, in the figures of those that had one."""

    def count(status: int) -> None:
        metrics.requests.labels(door, "unreadable", "other", str(status)).observe(0.0)

    return count


async def _expected(_request: web.Request) -> None:
    """Leave `Expect` to the middleware: what aiohttp asks here would be answered without an id and without figures."""


def _admitted(limits: LimitsSection | None, timeliness: Timeliness | None) -> Middleware:
    """Refuse what is ambiguous between this server and what stands before it; ask for a body that may be sent.

    What has a deadline is answered by then or not begun.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        _check_head(request)
        found = request.match_info.http_exception is None
        if limits is not None and found and request.version >= HttpVersion11 and hdrs.EXPECT in request.headers:
            await _ask_for_body(request, limits)
        if timeliness is not None and TIMEOUT in request.headers:
            return await timeliness.handled(request, handler)
        return await handler(request)

    return middleware


def _check_head(request: web.Request) -> None:
    """RFC 9112, sections 6.1 and 3.2.2. Raises UnreadableRequest."""
    codings = request.headers.getall(hdrs.TRANSFER_ENCODING, ())
    if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
        request[AMBIGUOUS] = True
        raise UnreadableRequest("No transfer coding but 'chunked' is known here.")
    absolute = _ABSOLUTE.match(request.raw_path)
    if absolute is not None and absolute[1].lower() != request.headers.get(hdrs.HOST, "").lower():
        request[AMBIGUOUS] = True
        raise UnreadableRequest("The address of the request and its Host header name different servers.")


async def _ask_for_body(request: web.Request, limits: LimitsSection) -> None:
    """`Expect: 100-continue` (RFC 9110, 10.1.1). Raises PasteTooLarge, UnsupportedMedia, HTTPExpectationFailed."""
    if request.headers[hdrs.EXPECT].lower() != "100-continue":
        raise web.HTTPExpectationFailed
    bodies.check_length(request, limits)
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # aiohttp counts these bytes as part of the response otherwise
    request.writer.output_size = 0
    await request.writer.drain()
