"""The role `gateway`: before the nodes of all regions, a reverse proxy that sends each request where it belongs."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

from aiohttp import hdrs, web
from multidict import CIMultiDict

from pastebin import keyring
from pastebin.errors import BadUpstream, UpstreamTimeout, UpstreamUnavailable
from pastebin.gateway import grammar
from pastebin.gateway.announced import Announced
from pastebin.gateway.arriving import GatewayConnection
from pastebin.gateway.express import Express, Told
from pastebin.gateway.figures import Figures
from pastebin.gateway.fleet import Fleet
from pastebin.gateway.routing import Means, Route
from pastebin.gateway.wants import wanted
from pastebin.geo import Geo
from pastebin.http import counted, forwarding, problems
from pastebin.http.clients import Clients
from pastebin.http.middleware import REQUEST_ID_HEADER, Observer
from pastebin.http.offer import Offer
from pastebin.http.passing import UNTYPED, Ending, Passing, own_answer
from pastebin.http.protocol import Connection
from pastebin.log import REQUEST_ID
from pastebin.resources import Resources

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

_REMEMBERED = 1024
_THEIR_FAULT = (BadUpstream, UpstreamTimeout, UpstreamUnavailable)


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Pass on whatever comes to the node of the region that suits it."""
    config, section = resources.config, resources.config.gateway
    async with AsyncExitStack() as stack:
        geo = stack.enter_context(Geo.opened(config.geo))
        await stack.enter_async_context(resources.loops.running(geo.watch(), name="gateway-geo"))
        figures = Figures(resources.metrics.registry)
        secrets = keyring.fingerprints(config)
        fleet = Fleet(section, config.regions, config.node.region, geo, figures, secrets, resources.strangers)
        resources.checks["secret"] = fleet.check
        stack.callback(fleet.close)
        await stack.enter_async_context(resources.loops.running(fleet.probe(), name="gateway-probes"))
        for region, node in fleet.named():
            resolving = fleet.resolve(region, node)
            await stack.enter_async_context(resources.loops.running(resolving, name=f"resolving {region}/{node.name}"))
        resources.parts["upstreams"] = fleet.portrait
        doors = config.doors
        means = Means(section, fleet, figures, resources.tokens)
        gateway = Gateway(means, doors.body_idle_seconds, Clients(doors.trusted_proxies))
        yield Offer(
            [web.route("*", "/{path:.*}", gateway.forward)], front=GatewayFront(gateway, section.proxy_protocol)
        )


class Gateway:
    """Passes requests on."""

    def __init__(self, means: Means, idle_seconds: float, clients: Clients) -> None:
        self.means = means
        self._idle_seconds = idle_seconds
        self._clients = clients
        self.ending: Ending | None = None
        self._introduction = functools.lru_cache(_REMEMBERED)(self._introduce_anew)

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Any request. Raises BadUpstream, UpstreamUnavailable, UpstreamTimeout, UnreadableRequest."""
        if (answer := own_answer(request)) is not None:
            return answer
        route = self._handed(request)
        if route is None:
            want = wanted(request.method, forwarding.target_of(request.raw_path))
            route = Route(self.means, want, request.remote or "")
        seconds = self.means.section.deadline_seconds
        passing = Passing(route, self._idle_seconds, seconds, sign=self._sign, on_head=route.headed, ending=self.ending)
        is_their_fault = False
        try:
            return await passing.forward(request)
        except _THEIR_FAULT:
            is_their_fault = True
            raise
        finally:
            route.end(is_their_fault=is_their_fault)

    def tell(self, fields: bytes, peer: str) -> Told | None:
        """What a node is told by a request of the fast road; None if that is none."""
        asked = grammar.asked(fields)
        if asked is None:
            return None
        forwarded_for = () if asked.forwarded_for is None else (asked.forwarded_for,)
        address = self._clients.address(peer, forwarded_for)
        return Told(
            asked.kept + self._introduction(peer, address, asked.forwarded_proto, asked.host), asked.identity, address
        )

    def _introduce_anew(self, peer: str, address: str, given_proto: str, host: str) -> bytes:
        """Everything that is said of a request whose fields do not matter, up to its id."""
        headers: CIMultiDict[str] = CIMultiDict()
        forwarding.introduce(headers, address, host, is_counted=False)
        self._introduce(headers, given_proto, peer, address, host)
        headers[forwarding.TIMEOUT] = f"{self.means.section.deadline_seconds:.3f}"
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        return "".join([*lines, f"{REQUEST_ID_HEADER}: "]).encode("ascii")

    def _handed(self, request: web.Request) -> Route | None:
        """The route of a request that comes from the fast road."""
        connection = request.protocol
        handed = connection.handed() if isinstance(connection, GatewayConnection) else None
        if handed is None:
            return None
        route, request[counted.STARTED] = handed
        return route

    def _sign(self, request: web.Request, headers: CIMultiDict[str]) -> None:
        peername = request.transport.get_extra_info("peername") if request.transport is not None else None
        peer = str(peername[0]) if isinstance(peername, tuple) else ""
        headers.pop(counted.COUNTED, None)
        headers[REQUEST_ID_HEADER] = REQUEST_ID.get() or ""
        asked = request.headers
        given = asked.get("X-Forwarded-Proto", "")
        self._introduce(headers, given, peer, request.remote or "", asked.get(hdrs.HOST, ""))

    def _introduce(self, headers: CIMultiDict[str], given_proto: str, peer: str, address: str, host: str) -> None:
        """Say who asks, once: what was said before was taken off. A trusted proxy knows how its client has asked."""
        given = given_proto.lower()
        if given in ("http", "https") and self._clients.is_trusted(peer):
            headers["X-Forwarded-Proto"] = given
        headers["Forwarded"] = forwarding.forwarded(address, headers["X-Forwarded-Proto"], host)


class GatewayFront:
    """What the gateway puts before the application of its door."""

    def __init__(self, gateway: Gateway, is_announced: bool) -> None:
        self._is_announced = is_announced
        self._gateway = gateway
        self._express: Express | None = None
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

    def watch(self, observer: Observer) -> None:
        self._express = Express(self._gateway.means, observer)
        self._gateway.ending = observer.traffic.ending

    def connection(self, is_draining: Callable[[], bool], manager: web.Server, **options: Any) -> Connection:
        assert self._express is not None  # noqa: S101  (the application of the door is made before its connections)
        self._express.is_draining = is_draining
        make = functools.partial(GatewayConnection, manager, express=self._express, tell=self._gateway.tell, **options)
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
