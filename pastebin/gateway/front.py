"""The role `gateway`: before the nodes of all regions, a reverse proxy that sends each request where it belongs."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

from aiohttp import hdrs, web
from multidict import CIMultiDict

from pastebin.errors import BadUpstream, UpstreamTimeout, UpstreamUnavailable
from pastebin.gateway.announced import Announced
from pastebin.gateway.figures import Figures
from pastebin.gateway.fleet import Fleet
from pastebin.gateway.routing import Means, Route
from pastebin.gateway.wants import wanted
from pastebin.geo import Geo
from pastebin.http import counted, forwarding, problems
from pastebin.http.clients import Clients
from pastebin.http.middleware import REQUEST_ID_HEADER
from pastebin.http.offer import Offer
from pastebin.http.passing import UNTYPED, Passing, own_answer
from pastebin.http.protocol import Connection
from pastebin.log import REQUEST_ID
from pastebin.resources import Resources

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

_THEIR_FAULT = (BadUpstream, UpstreamTimeout, UpstreamUnavailable)


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Pass on whatever comes to the node of the region that suits it."""
    config, section = resources.config, resources.config.gateway
    async with AsyncExitStack() as stack:
        geo = stack.enter_context(Geo.opened(config.geo))
        await stack.enter_async_context(resources.loops.running(geo.watch(), name="gateway-geo"))
        figures = Figures(resources.metrics.registry)
        fleet = Fleet(section, config.regions, config.node.region, geo, figures)
        stack.callback(fleet.close)
        await stack.enter_async_context(resources.loops.running(fleet.probe(), name="gateway-probes"))
        for region, node in fleet.named():
            resolving = fleet.resolve(region, node)
            await stack.enter_async_context(resources.loops.running(resolving, name=f"resolving {region}/{node.name}"))
        doors = config.doors
        means = Means(section, fleet, figures, resources.tokens)
        gateway = Gateway(means, doors.body_idle_seconds, Clients(doors.trusted_proxies))
        yield Offer(
            [web.route("*", "/{path:.*}", gateway.forward)], front=GatewayFront(gateway, section.proxy_protocol)
        )


class Gateway:
    """Passes requests on."""

    def __init__(self, means: Means, idle_seconds: float, clients: Clients) -> None:
        self._means = means
        self._idle_seconds = idle_seconds
        self._clients = clients

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Any request. Raises BadUpstream, UpstreamUnavailable, UpstreamTimeout, UnreadableRequest."""
        if (answer := own_answer(request)) is not None:
            return answer
        want = wanted(request.method, forwarding.target_of(request.raw_path))
        route = Route(self._means, want, request.remote or "")
        seconds = self._means.section.deadline_seconds
        passing = Passing(route, self._idle_seconds, seconds, sign=self._introduce, on_head=route.headed)
        is_their_fault = False
        try:
            return await passing.forward(request)
        except _THEIR_FAULT:
            is_their_fault = True
            raise
        finally:
            route.end(is_their_fault=is_their_fault)

    def _introduce(self, request: web.Request, headers: CIMultiDict[str]) -> None:
        """Say who asks, once: what was said before was taken off. A trusted proxy knows how its client has asked."""
        headers.pop(counted.COUNTED, None)
        headers[REQUEST_ID_HEADER] = REQUEST_ID.get() or ""
        peername = request.transport.get_extra_info("peername") if request.transport is not None else None
        peer = str(peername[0]) if isinstance(peername, tuple) else ""
        given = request.headers.get("X-Forwarded-Proto", "").lower()
        if given in ("http", "https") and self._clients.is_trusted(peer):
            headers["X-Forwarded-Proto"] = given
        headers["Forwarded"] = forwarding.forwarded(
            request.remote or "", headers["X-Forwarded-Proto"], request.headers.get(hdrs.HOST, "")
        )


class GatewayFront:
    """What the gateway puts before the application of its door."""

    def __init__(self, gateway: Gateway, is_announced: bool) -> None:
        self._is_announced = is_announced
        self.middleware: Middleware = _claiming(gateway)

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Take off the type that aiohttp makes up, and what was for the gateway."""
        response.headers.popall(problems.BEHIND, None)
        if UNTYPED in request:
            response.headers.popall(hdrs.CONTENT_TYPE, None)

    def changed(self, host: str, target: str, status: int, headers: CIMultiDict[str]) -> None:
        """Nothing is answered past the gateway."""

    def takes(self, host: str) -> bool:
        """The nodes know their hosts."""
        return True

    def connection(self, is_draining: Callable[[], bool], manager: web.Server, **options: Any) -> Connection:
        make = functools.partial(Connection, manager, **options)
        return cast(Connection, Announced(make)) if self._is_announced else make()

    def serving(self, build: Callable[[], web.Application]) -> AbstractAsyncContextManager[None]:
        return nullcontext()


def _claiming(gateway: Gateway) -> Middleware:
    """Also what no route of aiohttp matches, such as `OPTIONS *`."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        del handler
        return await gateway.forward(request)

    return middleware
