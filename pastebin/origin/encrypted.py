"""The page of a paste that is encrypted by its author in a way that the page's script can undo."""

from __future__ import annotations

import hashlib
import time

import orjson
from aiohttp import hdrs, web

from pastebin import sealed
from pastebin.http import caching, counted
from pastebin.http.pages import SCRIPTED, Pages, page_body, page_headers
from pastebin.http.representations import Representations
from pastebin.models import Paste
from pastebin.origin import tokens
from pastebin.sealed import Sealed


def sealing_of(paste: Paste) -> Sealed | None:
    """How the only file of a paste is encrypted; None where this page could not open it.

    A password that is no verifier is for the server, and takes the server's own page.
    """
    if len(paste.files) != 1:
        return None
    found = sealed.find(paste.encryption)
    if found is None or (paste.password_hash is not None and not found.has_verifier):
        return None
    return found


async def answer(
    request: web.Request,
    pages: Pages,
    made: Representations,
    paste: Paste,
    sealing: Sealed,
    base: str,
    *,
    created: bool = False,
) -> web.Response:
    """The page holds nothing of the content, so it consumes no reading; `created` greets the owner who has made it.

    Shared caches keep it for a moment only: its scripts have to be those of the same version.
    """
    text = pages.render(
        "encrypted.html",
        paste=paste,
        parameters=orjson.dumps(sealing.parameters()).decode(),
        created=created,
        site_url=base,
    )
    is_personal = tokens.brings_token(request) or "created" in request.query
    headers = {
        **page_headers("no-referrer"),
        "Content-Security-Policy": SCRIPTED,
        **caching.of_paste(paste, is_personal=is_personal, now=time.monotonic(), is_stable=False),
    }
    if paste.needs_reveal:
        headers[counted.ANALYTICS] = counted.OFF  # the reading comes with the button
    body = page_body(text)
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    return await made.answer(request, body, headers, etag=etag, vary=(hdrs.ACCEPT,))
