"""Which requests are readings that say how hot a paste is."""

from __future__ import annotations

from aiohttp import hdrs, web

from pastebin.http import caching
from pastebin.models import Paste
from pastebin.origin import tokens
from pastebin.services.warming import Warming


def note(warming: Warming, request: web.Request, paste: Paste) -> None:
    """Count a reading of what edges may keep, under the address that they would keep it by.

    An edge says that it is one as every gateway has to, by Via (RFC 9110, 7.6.3). Who fetches ahead of the asking, as
    an edge does that was told to, is no reader.
    """
    if request.method != hdrs.METH_GET or request.query_string or tokens.brings_token(request):
        return
    if "prefetch" in request.headers.get("Sec-Purpose", ""):
        return
    if caching.is_for_all(paste):
        warming.note(paste.slug, request.rel_url.raw_path, is_fill=hdrs.VIA in request.headers)
