"""The page that tells of the keys of other pages; a module shows it as a dialog."""

from __future__ import annotations

from aiohttp import web

from pastebin.http import caching
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.pages import Pages, html_response

_SECONDS = 3600


class KeysPage:
    """The same for everybody who reads the same language."""

    def __init__(self, pages: Pages, addresses: Addresses) -> None:
        self._pages = pages
        self._addresses = addresses

    def routes(self) -> Routes:
        return [web.get("/keys", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        text = self._pages.render("keys.html", site_url=self._addresses.base(request))
        return html_response(text, headers=caching.of_site(_SECONDS))
