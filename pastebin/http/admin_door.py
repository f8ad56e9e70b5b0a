"""The door to the administrator's pages: signing in and out, on every node that has such a page."""

from __future__ import annotations

import logging

from aiohttp import web

from pastebin.errors import AdminRefused
from pastebin.http import asking, bodies, caching
from pastebin.http.addresses import Addresses
from pastebin.http.administrators import Administrators
from pastebin.http.app import Routes
from pastebin.http.pages import Pages, html_response

log = logging.getLogger(__name__)

_FORM_BYTES = 4096
_PAGES = {"analytics": "/admin/analytics", "topology": "/admin/topology"}


class AdminDoor:
    """Shows the form to whoever is no administrator. `first` is the page that comes after it, unless another is
    asked for."""

    def __init__(
        self, administrators: Administrators, pages: Pages, addresses: Addresses, idle_seconds: float, first: str
    ) -> None:
        self._administrators = administrators
        self._pages = pages
        self._addresses = addresses
        self._idle_seconds = idle_seconds
        self._first = first

    def routes(self) -> Routes:
        return [web.get("/admin", self.door), web.post("/admin", self.enter)]

    async def door(self, request: web.Request) -> web.Response:
        return self.shown(request)

    async def enter(self, request: web.Request) -> web.Response:
        """Sign in, with a cookie to keep it, or out."""
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        fields = bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))
        is_secure = base.startswith("https:")
        if fields.get("action") == "leave":
            response = elsewhere("/admin")
            self._administrators.forget(response, secure=is_secure)
            log.info("the administrator has signed out")
            return response
        wanted = fields.get("page", "")
        try:
            self._administrators.check_token(request, fields.get("token", "").strip())
        except AdminRefused as error:
            return self.shown(request, error.detail, 403, wanted)
        response = elsewhere(_PAGES.get(wanted, self._first))
        self._administrators.remember(response, secure=is_secure)
        log.info("the administrator has signed in")
        return response

    def shown(self, request: web.Request, problem: str = "", status: int = 200, page: str = "") -> web.Response:
        """The form, or where to go from here; `page` is what whoever signs in wants to see."""
        text = self._pages.render(
            "admin.html",
            is_known=self._administrators.is_remembered(request),
            problem=problem,
            page=page if page in _PAGES else "",
            site_url=self._addresses.base(request),
        )
        return html_response(text, status, caching.secret())


def elsewhere(path: str) -> web.Response:
    """Send a browser there."""
    return web.Response(status=303, headers={"Location": path, **caching.secret()})
