"""The page on which a reader chooses the language of the others."""

from __future__ import annotations

import re

from aiohttp import web

from pastebin.catalogues import LANGUAGES
from pastebin.http import asking, bodies, caching, languages
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.pages import Pages, html_response
from pastebin.languages import direction
from pastebin.resources import Resources

_FORM_BYTES = 16 * 1024
# An address of this site: `//` and `/\` begin the name of another one.
_BACK = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]{0,4000}")


class LanguagePage:
    """The choice is kept by the browser, in a cookie; a form posts it, so that it works without a script."""

    def __init__(self, pages: Pages, addresses: Addresses, idle_seconds: float) -> None:
        self._pages = pages
        self._addresses = addresses
        self._idle_seconds = idle_seconds

    @classmethod
    def of(cls, resources: Resources) -> LanguagePage:
        return cls(resources.pages, resources.addresses, resources.config.doors.body_idle_seconds)

    def routes(self) -> Routes:
        return [web.get("/language", self.show), web.post("/language", self.choose)]

    async def show(self, request: web.Request) -> web.Response:
        text = self._pages.render(
            "language.html",
            languages=[(language, name, direction(language)) for language, name in LANGUAGES.items()],
            chosen=languages.chosen(request) or "",
            back=back(request.query.get("back", "/")),
            site_url=self._addresses.base(request),
        )
        return html_response(text, headers=caching.secret())

    async def choose(self, request: web.Request) -> web.Response:
        """Keep the choice and lead back to the page that it was made for."""
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        fields = bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))
        headers = {"Location": back(fields.get("back", "/")), **caching.secret()}
        response = web.Response(status=303, headers=headers)
        languages.remember(response, fields.get("language", ""), secure=base.startswith("https:"))
        return response


def back(address: str) -> str:
    """The address, if it is one of this site; else that of the front page."""
    return address if address.isascii() and _BACK.fullmatch(address) else "/"
