"""An answer whose bytes are in memory: the right representation of them, or only the news that the client has it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from aiohttp import hdrs, web

from pastebin.errors import PreconditionFailed
from pastebin.http.caching import ANALYTICS, Headers, is_shared
from pastebin.http.compression import PLAIN, Compression, Variant
from pastebin.http.conditions import Conditions, evaluate

# RFC 9110, 15.4.5, and what shared caches go by.
_OF_304 = frozenset(
    {
        "ETag",
        "Cache-Control",
        "CDN-Cache-Control",
        "Surrogate-Key",
        "Content-Location",
        "Last-Modified",
        "Vary",
        ANALYTICS,
    }
)


class Representations:
    """Weighs Accept-Encoding and conditions for handlers that have made, or are about to make, a body."""

    def __init__(self, compression: Compression) -> None:
        self._compression = compression

    def variant(self, request: web.Request, headers: Headers, size: int | None = None) -> Variant:
        """Which representation of a body with these headers the request gets; `size` as in Compression."""
        if not is_shared(headers):
            return PLAIN
        return self._compression.variant(request.headers, headers.get(hdrs.CONTENT_TYPE, ""), size)

    async def answer(
        self,
        request: web.Request,
        body: bytes,
        headers: Headers,
        *,
        etag: str | None = None,
        modified: datetime | None = None,
        vary: Iterable[str] = (),
    ) -> web.Response:
        """200, or 304; `etag` is that of the plain bytes, `vary` what else the choice of the answer went by.

        Raises PreconditionFailed.
        """
        variant = self.variant(request, headers, len(body))
        headers = {**headers, **described(variant, etag, modified, vary)}
        if etag is not None and (known := unchanged(request, headers, modified)) is not None:
            return known
        return await self.send(body, headers, variant)

    async def send(self, body: bytes, headers: Headers, variant: Variant) -> web.Response:
        """200 with the body in that representation."""
        if variant.is_coded:
            headers = {**headers, hdrs.CONTENT_ENCODING: "gzip"}
        return web.Response(body=await self._compression.encode(body, variant), headers=headers)


def described(variant: Variant, etag: str | None, modified: datetime | None, vary: Iterable[str]) -> Headers:
    """The validators of a representation and what it was chosen by."""
    headers = variant.vary(vary)
    if etag is not None:
        headers["ETag"] = variant.etag(etag)
    if modified is not None:
        headers[hdrs.LAST_MODIFIED] = modified.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return headers


def unchanged(request: web.Request, headers: Headers, modified: datetime | None = None) -> web.Response | None:
    """304 if the client has the representation whose headers these are. Raises PreconditionFailed."""
    outcome = evaluate(Conditions.of(request.headers), etag=headers["ETag"], modified=modified)
    if outcome == "failed":
        raise PreconditionFailed
    if outcome == "not-modified":
        return web.Response(status=304, headers={name: headers[name] for name in headers if name in _OF_304})
    return None
