"""How often a paste is read, for its owner, or for everybody if the owner wants it so."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
from aiohttp import hdrs, web

from pastebin.decoding import UNREADABLE
from pastebin.errors import EditForbidden, InvalidQuestion, Problem, TokenRequired, Unavailable
from pastebin.http import asking, bodies, caching
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.assets import Assets
from pastebin.http.negotiation import quality
from pastebin.http.pages import SCRIPTED, Pages, html_response
from pastebin.models import Paste
from pastebin.origin import tokens
from pastebin.reports import Moment, StatsQuestion, StatsReport, Value
from pastebin.resources import Resources
from pastebin.services import choosing, panels, tables
from pastebin.services.panels import Shown
from pastebin.services.reading import Reading
from pastebin.services.statistics import Statistics
from pastebin.visits import STATISTICS

_SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_FORM_BYTES = 4096
# The tables of a page by the names that its panels know them under.
_TABLES = {
    "timeseries": "series",
    "countries": "countries",
    "referrers": "referrers",
    "clients": "clients",
    "kinds": "kinds",
}


class _Refusal(msgspec.Struct, frozen=True):
    """What is read of a problem document."""

    errors: list[Problem] = []


class StatsHandlers:
    """Asks the analytics service, wherever it is, on behalf of whoever may know."""

    def __init__(self, reading: Reading, statistics: Statistics) -> None:
        self._reading = reading
        self._statistics = statistics

    def routes(self) -> Routes:
        return [web.get("/api/v1/pastes/{slug}/stats", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        slug, token = request.match_info["slug"], asking.bearer(request)
        check(await self._reading.find(slug, token), token)
        return await self.answer(request, slug)

    async def answer(self, request: web.Request, slug: str) -> web.Response:
        """For somebody who may know: JSON, or one table as CSV. Raises InvalidQuestion, Unavailable."""
        query = dict(request.query)
        body = await self.ask(slug, query)
        accept = request.headers.get(hdrs.ACCEPT)
        as_table = quality(accept, "text/csv") > quality(accept, "application/json")
        headers = {**_SAFE, **caching.secret(), hdrs.VARY: hdrs.ACCEPT}
        chosen = query.get("format")
        if chosen == "csv" or (not chosen and as_table):
            headers |= {
                hdrs.CONTENT_TYPE: tables.MEDIA_TYPE,
                hdrs.CONTENT_DISPOSITION: "attachment; filename=stats.csv",
            }
            return web.Response(body=_table(_report(body), query.get("table") or "series"), headers=headers)
        return web.Response(body=body, headers={**headers, hdrs.CONTENT_TYPE: "application/json"})

    async def report(self, slug: str, query: Mapping[str, str]) -> StatsReport:
        """As `ask`, decoded."""
        return _report(await self.ask(slug, query))

    async def ask(self, slug: str, query: Mapping[str, str]) -> bytes:
        """A StatsReport as JSON. Raises InvalidQuestion, Unavailable."""
        try:
            answer = await self._statistics.send(STATISTICS, msgspec.json.encode(StatsQuestion(slug, dict(query))))
        except Unavailable as error:
            raise Unavailable(f"Statistics cannot be had at the moment: {error.detail}") from error
        if answer.status == 200:
            return answer.body
        if 400 <= answer.status < 500:
            try:
                told = msgspec.json.decode(answer.body, type=_Refusal).errors
            except UNREADABLE:
                told = []
            if told:
                raise InvalidQuestion(told)
        raise Unavailable("Statistics cannot be had at the moment.")


class StatsPages:
    """The same as a page; the owner token comes from the cookie, or by a form that sets it."""

    def __init__(
        self,
        handlers: StatsHandlers,
        reading: Reading,
        pages: Pages,
        assets: Assets,
        addresses: Addresses,
        idle_seconds: float,
    ) -> None:
        self._handlers = handlers
        self._reading = reading
        self._pages = pages
        self._assets = assets
        self._addresses = addresses
        self._idle_seconds = idle_seconds

    @classmethod
    def of(cls, resources: Resources) -> StatsPages:
        """With what a node has."""
        return cls(
            StatsHandlers(resources.reading, resources.statistics),
            resources.reading,
            resources.pages,
            resources.assets,
            resources.addresses,
            resources.config.doors.body_idle_seconds,
        )

    def routes(self) -> Routes:
        return [
            web.get("/{slug:[A-Za-z0-9_-]+}/stats", self.show),
            web.post("/{slug:[A-Za-z0-9_-]+}/stats", self.enter),
        ]

    async def show(self, request: web.Request) -> web.Response:
        slug, token = request.match_info["slug"], tokens.presented(request)
        paste = await self._reading.find(slug, token)
        try:
            check(paste, token)
        except (TokenRequired, EditForbidden):
            return self._closed(request, slug)
        if request.query.get("format"):
            return await self._handlers.answer(request, slug)
        query = dict(request.query)
        problems: list[Problem] = []
        shown: Shown | None = None
        try:
            report = await self._handlers.report(slug, query)
            world = self._assets.url("world.svg")
            shown = panels.shown(report, world, lambda name: _csv(slug, name, query), of_service=False)
        except InvalidQuestion as error:
            problems = error.problems
        text = self._pages.render(
            "stats.html",
            slug=slug,
            is_off=paste.analytics == "off",
            choices=choosing.choices(query),
            problems=problems,
            shown=shown,
            site_url=self._addresses.base(request),
        )
        headers = {**caching.secret(), "Content-Security-Policy": SCRIPTED}
        return html_response(text, 422 if problems else 200, headers)

    async def enter(self, request: web.Request) -> web.Response:
        """Let the browser of an owner keep the token, and show the page."""
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        slug = request.match_info["slug"]
        fields = bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))
        token = fields.get("token", "").strip()
        if not tokens.is_of(await self._reading.find(slug, token), token):
            return self._closed(request, slug, wrong=True)
        response = web.Response(status=303, headers={"Location": f"/{slug}/stats", **caching.secret()})
        tokens.remember(response, slug, token, secure=base.startswith("https:"))
        return response

    def _closed(self, request: web.Request, slug: str, *, wrong: bool = False) -> web.Response:
        text = self._pages.render("stats_closed.html", slug=slug, wrong=wrong, site_url=self._addresses.base(request))
        return html_response(text, 403 if wrong else 401, caching.secret())


def check(paste: Paste, token: str | None) -> None:
    """Let the owner pass, and everybody if the paste says so. Raises TokenRequired, EditForbidden."""
    if paste.analytics == "public" or tokens.is_of(paste, token):
        return
    raise TokenRequired if token is None else EditForbidden


def _report(body: bytes) -> StatsReport:
    try:
        return msgspec.json.decode(body, type=StatsReport)
    except UNREADABLE as error:
        raise Unavailable("The analytics service gave an answer that cannot be read.") from error


def _table(report: StatsReport, name: str) -> bytes:
    if name == "series":
        return tables.of_rows(Moment, report.series)
    return tables.of_rows(Value, getattr(report, name))


def _csv(slug: str, name: str, query: Mapping[str, str]) -> str | None:
    if name not in _TABLES:
        return None
    return f"/{slug}/stats?{urlencode({**query, 'table': _TABLES[name], 'format': 'csv'})}"
