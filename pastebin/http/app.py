"""One `web.Application` per door, made of the routes that the roles behind it yield."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import hdrs, web

from pastebin.errors import PastebinError, StartError
from pastebin.http import bodies, problems
from pastebin.http.consistency import Tokens, answering, consistent
from pastebin.http.door import Traffic
from pastebin.http.middleware import ErrorPage, observed, sign
from pastebin.http.problems import Document
from pastebin.metrics import Metrics
from pastebin.sections import LimitsSection

Routes = Sequence[web.RouteDef]


def build(
    door: str,
    routes: Routes,
    traffic: Traffic,
    metrics: Metrics,
    error_page: ErrorPage,
    is_draining: Callable[[], bool],
    limits: LimitsSection,
    tokens: Tokens | None = None,
) -> web.Application:
    """With `tokens` its requests have sessions. Raises StartError if two routes claim one method and path."""
    seen: set[tuple[str, str]] = set()
    for route in routes:
        if (route.method, route.path) in seen:
            raise StartError(f"door {door}: two roles claim {route.method} {route.path}")
        seen.add((route.method, route.path))
    middlewares = [observed(door, traffic, metrics, error_page, is_draining)]
    if tokens is not None:
        middlewares.append(consistent(tokens))
    application = web.Application(middlewares=middlewares, client_max_size=1)
    application.on_response_prepare.append(sign)
    if tokens is not None:
        application.on_response_prepare.append(answering(tokens))
    expect = _expecting(limits)
    for route in routes:
        web.RouteDef(route.method, route.path, route.handler, {**route.kwargs, "expect_handler": expect}).register(
            application.router
        )
    return application


def _expecting(limits: LimitsSection) -> Callable[[web.Request], object]:
    """Answer `Expect: 100-continue` (RFC 9110, 10.1.1), or refuse a body that is announced as too large."""

    async def expect(request: web.Request) -> web.StreamResponse | None:
        if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
            return _refusal(problems.describe_http(web.HTTPExpectationFailed(), "-"))
        try:
            bodies.check_length(request, limits.max_paste_bytes)
        except PastebinError as error:
            return _refusal(problems.describe(error, "-"))
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # aiohttp counts these bytes as part of the response otherwise
        request.writer.output_size = 0
        return None

    return expect


def _refusal(document: Document) -> web.Response:
    response = web.Response(status=document.status, body=document.as_json(), content_type=problems.MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    response.force_close()
    return response
