"""The administrator's page of statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

from aiohttp import web

from pastebin.analytics import questions
from pastebin.analytics.reporting import Reporting
from pastebin.analytics.reports import PREFIX
from pastebin.errors import InvalidQuestion, Problem
from pastebin.http import caching
from pastebin.http.addresses import Addresses
from pastebin.http.admin_door import elsewhere
from pastebin.http.administrators import Administrators
from pastebin.http.app import Routes
from pastebin.http.assets import Assets
from pastebin.http.pages import SCRIPTED, Pages, html_response
from pastebin.reports import ReportQuery
from pastebin.services import choosing, panels
from pastebin.services.panels import Shown


class DashboardHandlers:
    """A page for the administrator; whoever is none is sent to the door."""

    def __init__(
        self,
        reporting: Reporting,
        administrators: Administrators,
        pages: Pages,
        assets: Assets,
        addresses: Addresses,
        longest: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._reporting = reporting
        self._administrators = administrators
        self._pages = pages
        self._assets = assets
        self._addresses = addresses
        self._longest = longest
        self._now = now

    def routes(self) -> Routes:
        return [web.get("/admin/analytics", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        if not self._administrators.is_remembered(request):
            return elsewhere("/admin")
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


def csv_address(report: str, query: Mapping[str, str]) -> str:
    """A table of the page, with the same range, as CSV."""
    further = {} if report in ("timeseries", "storage") else {"limit": "1000"}
    if report == "kinds":
        report, further = "top", {"by": "kind", **further}
    return f"{PREFIX}/{report}?{urlencode({**query, **further, 'format': 'csv'})}"
