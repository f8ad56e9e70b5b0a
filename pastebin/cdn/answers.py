"""The full road of the edge: what becomes of a request that the short cut does not take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from pastebin.cdn.origins import Origins
from pastebin.sections import EdgeSection

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

_STATUS = web.RequestKey("cache-status", str)


class Edge:
    """A shared cache (RFC 9111) before its origins."""

    def __init__(self, section: EdgeSection, origins: Origins) -> None:
        self._section = section
        self._origins = origins

    def middleware(self) -> Middleware:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method not in ("GET", "HEAD"):
                request[_STATUS] = "pastebin; fwd=method"
                return await handler(request)
            return await self.answer(request, handler)

        return middleware

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer to a GET or HEAD; `handler` is where it goes if it is no matter for a cache."""
        request[_STATUS] = "pastebin; fwd=miss"
        return await handler(request)

    def sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say on an answer that comes past the cache that it did."""
        response.headers.popall("Surrogate-Key", None)
        if status := request.get(_STATUS):
            response.headers["Cache-Status"] = status

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on to the origin, and its answer back, both as they come."""
        raise NotImplementedError
