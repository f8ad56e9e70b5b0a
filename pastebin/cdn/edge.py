"""The role `edge`: a cache before the node's own application, or before upstreams elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from aiohttp import web

from pastebin.cdn.answers import Edge
from pastebin.cdn.local import LocalOrigin
from pastebin.cdn.origins import Origins, RemoteOrigin
from pastebin.config import Config
from pastebin.http.offer import Offer
from pastebin.http.protocol import Connection
from pastebin.resources import Resources

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Answer from the cache what may be, and fetch the rest."""
    config = resources.config
    local = LocalOrigin() if config.edge.origin == "local" else None
    origins = Origins([local] if local else [*_remote(config)], config.edge, is_limited=local is None)
    edge = Edge(config.edge, origins)
    try:
        routes = [] if local else [web.route("*", "/{path:.*}", edge.forward)]
        yield Offer(routes, front=EdgeFront(edge, local, config))
    finally:
        origins.close()


class EdgeFront:
    """What the edge puts before the application of its door."""

    def __init__(self, edge: Edge, local: LocalOrigin | None, config: Config) -> None:
        self._edge = edge
        self._local = local
        self._config = config

    @property
    def middleware(self) -> Middleware:
        return self._edge.middleware()

    async def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        self._edge.sign(request, response)

    def connection(self, manager: web.Server, **options: Any) -> Connection:
        return Connection(manager, **options)

    def serving(self, build: Callable[[], web.Application]) -> AbstractAsyncContextManager[None]:
        if self._local is None:
            return nullcontext()
        return self._local.serving(build(), self._config.doors, self._config.node.shutdown_seconds)


def _remote(config: Config) -> list[RemoteOrigin]:
    urls = config.edge.origin
    return [RemoteOrigin(url) for url in ([urls] if isinstance(urls, str) else urls)]
