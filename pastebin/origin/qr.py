"""The link to a paste as a QR code (ISO/IEC 18004), for the telephone that looks at the screen."""

from __future__ import annotations

import hashlib
import io
import time

import segno
from aiohttp import hdrs, web

from pastebin.http import caching
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.representations import Representations
from pastebin.origin import tokens
from pastebin.origin.raw import SECURITY_HEADERS
from pastebin.resources import Resources
from pastebin.services.reading import Reading

_QUIET_MODULES = 4
_SCALE = 8


class QrHandlers:
    """Shows the code of what whoever asks may know of. Nothing is used up: it says the address and nothing else."""

    def __init__(self, reading: Reading, made: Representations, addresses: Addresses) -> None:
        self._reading = reading
        self._representations = made
        self._addresses = addresses

    @classmethod
    def of(cls, resources: Resources) -> QrHandlers:
        """With what a node has."""
        return cls(resources.reading, resources.representations, resources.addresses)

    def routes(self) -> Routes:
        return [web.get("/{slug:[A-Za-z0-9_-]+}/qr.svg", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        slug = request.match_info["slug"]
        paste = await self._reading.find(slug, tokens.presented(request))
        body = drawn(f"{self._addresses.base(request)}/{paste.slug}")
        headers = {
            **SECURITY_HEADERS,
            **caching.of_paste(paste, is_personal=tokens.brings_token(request), now=time.monotonic()),
            hdrs.CONTENT_TYPE: "image/svg+xml",
        }
        etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        return await self._representations.answer(request, body, headers, etag=etag)


def drawn(text: str) -> bytes:
    """An SVG of `text`: dark on light with the quiet zone of the standard, so that it can be read off any page."""
    out = io.BytesIO()
    code = segno.make_qr(text, error="m")
    code.save(out, kind="svg", scale=_SCALE, border=_QUIET_MODULES, dark="#000", light="#fff", xmldecl=False)
    return out.getvalue()
