"""The administrator's pages: the door, and the statistics of the whole service."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

from aiohttp import web

from pastebin.analytics import questions
from pastebin.analytics.reporting import Reporting
from pastebin.analytics.reports import PREFIX
from pastebin.errors import AdminRefused, InvalidQuestion, Problem
from pastebin.http import asking, bodies, caching
from pastebin.http.addresses import Addresses
from pastebin.http.administrators import Administrators
from pastebin.http.app import Routes
from pastebin.http.assets import Assets
from pastebin.http.pages import SCRIPTED, Pages, html_response
from pastebin.reports import ReportQuery
from pastebin.services import choosing, panels
from pastebin.services.panels import Shown

log = logging.getLogger(__name__)

_FORM_BYTES = 4096


class DashboardHandlers:
    """Pages for the administrator; whoever is none is shown the door."""

    def __init__(
        self,
        reporting: Reporting,
        administrators: Administrators,
        pages: Pages,
        assets: Assets,
        addresses: Addresses,
        longest: timedelta,
        idle_seconds: float,
        now: Callable[[], datetime],
    ) -> None:
        self._reporting = reporting
        self._administrators = administrators
        self._pages = pages
        self._assets = assets
        self._addresses = addresses
        self._longest = longest
        self._idle_seconds = idle_seconds
        self._now = now

    def routes(self) -> Routes:
        return [
            web.get("/admin", self.door),
            web.post("/admin", self.enter),
            web.get("/admin/analytics", self.show),
        ]

    async def door(self, request: web.Request) -> web.Response:
        return self._door(request)

    async def enter(self, request: web.Request) -> web.Response:
        """Sign in, with a cookie to keep it, or out."""
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        fields = bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))
        is_secure = base.startswith("https:")
        if fields.get("action") == "leave":
            response = _elsewhere("/admin")
            self._administrators.forget(response, secure=is_secure)
            log.info("the administrator has signed out")
            return response
        try:
            self._administrators.check_token(request, fields.get("token", "").strip())
        except AdminRefused as error:
            return self._door(request, error.detail, 403)
        response = _elsewhere("/admin/analytics")
        self._administrators.remember(response, secure=is_secure)
        log.info("the administrator has signed in")
        return response

    async def show(self, request: web.Request) -> web.Response:
        if not self._administrators.is_remembered(request):
            return _elsewhere("/admin")
        query = dict(request.query)
        problems: list[Problem] = []
        shown: Shown | None = None
        try:
            _, question = questions.read(ReportQuery, query, self._now(), self._longest)
            report = await self._reporting.stats(question, of_service=True)
            world = self._assets.url("world.svg")
            shown = panels.shown(report, world, lambda name: csv_address(name, query), of_service=True)
        except InvalidQuestion as error:
            problems = error.problems
        text = self._pages.render(
            "analytics.html",
            choices=choosing.choices(query),
            problems=problems,
            shown=shown,
            site_url=self._addresses.base(request),
        )
        headers = {**caching.secret(), "Content-Security-Policy": SCRIPTED}
        return html_response(text, 422 if problems else 200, headers)

    def _door(self, request: web.Request, problem: str = "", status: int = 200) -> web.Response:
        text = self._pages.render(
            "admin.html",
            is_known=self._administrators.is_remembered(request),
            problem=problem,
            site_url=self._addresses.base(request),
        )
        return html_response(text, status, caching.secret())


def csv_address(report: str, query: Mapping[str, str]) -> str:
    """A table of the page, with the same range, as CSV."""
    further = {} if report in ("timeseries", "storage") else {"limit": "1000"}
    if report == "kinds":
        report, further = "top", {"by": "kind", **further}
    return f"{PREFIX}/{report}?{urlencode({**query, **further, 'format': 'csv'})}"


def _elsewhere(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path, **caching.secret()})
