"""How pages look to one reader: a form, and the style sheet that every page names.

The cookie goes to these addresses and to no other, so that the pages themselves stay the same for everybody, and
caches keep them.
"""

from __future__ import annotations

import hashlib
import re

from aiohttp import hdrs, web

from pastebin.http import asking, bodies, caching
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.looks import COOKIE, Look
from pastebin.http.negotiation import prefers_html
from pastebin.http.pages import Pages, html_response
from pastebin.http.representations import Representations
from pastebin.resources import Resources
from pastebin.services import syntaxes

_PATH = "/look"
_COOKIE_SECONDS = 365 * 86_400
_SHEET_SECONDS = 86_400
_FORM_BYTES = 8192
_LONGEST = 2048
# An address of this site: what browsers read as another server begins with two slashes, of whichever kind.
_OWN = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_PASTE = re.compile(r"/([A-Za-z0-9_-]+)(?:(?:\.|\?syntax=)([A-Za-z0-9_+#-]+))?")


class LookHandlers:
    """GET shows, POST keeps; a page that knows where it is goes back there afterwards."""

    def __init__(self, pages: Pages, made: Representations, addresses: Addresses, idle_seconds: float) -> None:
        self._pages = pages
        self._representations = made
        self._addresses = addresses
        self._idle_seconds = idle_seconds

    @classmethod
    def of(cls, resources: Resources) -> LookHandlers:
        """With what a node has."""
        return cls(
            resources.pages,
            resources.representations,
            resources.addresses,
            resources.config.doors.body_idle_seconds,
        )

    def routes(self) -> Routes:
        """What is read; `change` is for who writes, as every POST is."""
        return [web.get(_PATH, self.show), web.get(f"{_PATH}/style.css", self.sheet)]

    def changing(self) -> Routes:
        return [web.post(_PATH, self.change)]

    async def show(self, request: web.Request) -> web.Response:
        back = own_address(request.query.get("back"))
        text = self._pages.render(
            "look.html",
            look=_look(request),
            back=back,
            done="done" in request.query,
            site_url=self._addresses.base(request),
            **_of_paste(back),
        )
        return html_response(text, headers=caching.secret())

    async def sheet(self, request: web.Request) -> web.Response:
        """What every page asks for: the same for all who have chosen nothing, so that shared caches answer them."""
        body = _look(request).css.encode()
        headers = {hdrs.CONTENT_TYPE: "text/css; charset=utf-8", "X-Content-Type-Options": "nosniff"}
        if COOKIE in request.cookies:
            headers |= {hdrs.CACHE_CONTROL: "private, no-cache", caching.SHARED: "no-store"}
        else:
            headers |= caching.of_site(_SHEET_SECONDS)
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        return await self._representations.answer(request, body, headers, etag=etag, vary=(hdrs.COOKIE,))

    async def change(self, request: web.Request) -> web.Response:
        """Keep what is asked, and leave the rest as it was."""
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        fields = bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))
        look = _look(request).changed(fields)
        if prefers_html(request.headers.get("Accept")):
            back = own_address(fields.get("back")) or f"{_PATH}?done"
            response = web.Response(status=303, headers={**caching.secret(), hdrs.LOCATION: back})
        else:
            response = web.Response(status=204, headers=caching.secret())
        if look.cookie:
            response.set_cookie(
                COOKIE,
                look.cookie,
                path=_PATH,
                max_age=_COOKIE_SECONDS,
                httponly=True,
                samesite="Lax",
                secure=base.startswith("https:"),
            )
        else:
            response.del_cookie(COOKIE, path=_PATH, httponly=True, samesite="Lax")
        return response


def own_address(asked: str | None) -> str | None:
    """`asked`, if it is a path on this site."""
    return asked if asked and len(asked) <= _LONGEST and _OWN.fullmatch(asked) else None


def _look(request: web.Request) -> Look:
    return Look.of(request.cookies.get(COOKIE))


def _of_paste(back: str | None) -> dict[str, object]:
    """What the form needs to show the paste that the reader came from in another syntax."""
    found = _PASTE.fullmatch(back or "")
    chosen = syntaxes.find(found[2]) if found and found[2] else None
    return {
        "slug": found[1] if found else None,
        "syntaxes": [(syntax.name, syntax.label) for syntax in syntaxes.ALL] if found else [],
        "chosen": chosen.name if chosen else "",
    }
