"""The reports of the administrator: questions in, JSON or tables out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import hdrs, web

from pastebin.analytics import questions
from pastebin.analytics.engines import Dimension
from pastebin.analytics.live import MEDIA_TYPE, Live
from pastebin.analytics.questions import Asked, Question
from pastebin.analytics.reporting import Reporting
from pastebin.errors import InvalidPaste, PastebinError, UnreadableRequest
from pastebin.http import caching, problems, streaming, views
from pastebin.http.addresses import Addresses
from pastebin.http.administrators import Administrators
from pastebin.http.app import Routes
from pastebin.http.negotiation import quality
from pastebin.reports import (
    ClientsQuery,
    Figures,
    ListQuery,
    Moment,
    OverviewReport,
    RegionsQuery,
    ReportQuery,
    SeriesQuery,
    StatsQuery,
    StatsQuestion,
    Stored,
    TopQuery,
    Value,
)
from pastebin.services import tables
from pastebin.services.statistics import Answer
from pastebin.slugs import ALLOWED, is_slug

PREFIX = "/api/v1/analytics"
_SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_STREAM_IDLE_SECONDS = 15.0


class ReportHandlers:
    """Everything is for the administrator only, and for no cache."""

    def __init__(
        self,
        reporting: Reporting,
        live: Live,
        administrators: Administrators,
        addresses: Addresses,
        longest: timedelta,
        max_rows: int,
        now: Callable[[], datetime],
    ) -> None:
        self._reporting = reporting
        self._live = live
        self._administrators = administrators
        self._addresses = addresses
        self._longest = longest
        self._max_rows = max_rows
        self._now = now

    def routes(self) -> Routes:
        handlers = {
            "overview": self.overview,
            "timeseries": self.series,
            "top": self.top,
            "countries": self.countries,
            "referrers": self.referrers,
            "clients": self.clients,
            "cache": self.cache,
            "regions": self.regions,
            "storage": self.storage,
            "live": self.live,
        }
        return [web.get(f"{PREFIX}/{name}", handler) for name, handler in handlers.items()]

    async def overview(self, request: web.Request) -> web.Response:
        asked, question = self._read(ReportQuery, request)
        report = await self._reporting.overview(question)
        return _answer(request, asked, report, lambda: overview_table(report))

    async def series(self, request: web.Request) -> web.Response:
        asked, question = self._read(SeriesQuery, request)
        report = await self._reporting.series(question)
        return _answer(request, asked, report, lambda: tables.of_rows(Moment, report.rows))

    async def storage(self, request: web.Request) -> web.Response:
        asked, question = self._read(ReportQuery, request)
        report = await self._reporting.storage(question)
        return _answer(request, asked, report, lambda: tables.of_rows(Stored, report.rows))

    async def top(self, request: web.Request) -> web.Response:
        asked, question = self._read(TopQuery, request)
        return await self._ranking(request, asked, question, asked.by)

    async def countries(self, request: web.Request) -> web.Response:
        asked, question = self._read(ListQuery, request)
        return await self._ranking(request, asked, question, "country")

    async def referrers(self, request: web.Request) -> web.Response:
        asked, question = self._read(ListQuery, request)
        return await self._ranking(request, asked, question, "referrer")

    async def clients(self, request: web.Request) -> web.Response:
        asked, question = self._read(ClientsQuery, request)
        return await self._ranking(request, asked, question, asked.by)

    async def cache(self, request: web.Request) -> web.Response:
        asked, question = self._read(ListQuery, request)
        return await self._ranking(request, asked, question, "cache")

    async def regions(self, request: web.Request) -> web.Response:
        asked, question = self._read(RegionsQuery, request)
        return await self._ranking(request, asked, question, asked.by)

    async def live(self, request: web.Request) -> web.StreamResponse:
        """What happens now, one message a second."""
        self._administrators.check(request)
        headers = {**_SAFE, **caching.secret(), hdrs.CONTENT_TYPE: MEDIA_TYPE, "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        return await streaming.send(request, response, self._live.listen(), _STREAM_IDLE_SECONDS)

    def _read(self, struct: type[Asked], request: web.Request) -> tuple[Asked, Question]:
        self._administrators.check(request)
        return questions.read(struct, dict(request.query), self._now(), self._longest)

    async def _ranking(
        self, request: web.Request, asked: ListQuery, question: Question, dimension: Dimension
    ) -> web.Response:
        report = await self._reporting.ranking(dimension, question, min(asked.limit, self._max_rows))
        headers = {}
        if report.next is not None:
            query = urlencode({**request.query, "cursor": report.next})
            address = f"{self._addresses.base(request)}{request.path}?{query}"
            report = replace(report, next=address)
            headers["Link"] = f'<{address}>; rel="next"'
        return _answer(request, asked, report, lambda: tables.of_rows(Value, report.rows), headers)


class StatsAnswers:
    """Answers other nodes, which ask for owners of pastes: whether they may know is decided over there."""

    def __init__(self, reporting: Reporting, longest: timedelta, now: Callable[[], datetime]) -> None:
        self._reporting = reporting
        self._longest = longest
        self._now = now

    async def answer(self, body: bytes) -> Answer:
        """A StatsReport as JSON, or a problem document."""
        try:
            asked = _asked(body)
            _, question = questions.read(StatsQuery, asked.query, self._now(), self._longest, slug=asked.slug)
            return Answer(200, views.encode(await self._reporting.stats(question, of_service=False)))
        except InvalidPaste as error:
            return _refusal(error)
        except UnreadableRequest as error:
            return _refusal(error)


def _asked(body: bytes) -> StatsQuestion:
    try:
        asked = msgspec.json.decode(body, type=StatsQuestion)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableRequest(f"The question cannot be read: {error}") from None
    if not is_slug(asked.slug):
        raise UnreadableRequest(f"The question is about no paste: a slug has {ALLOWED}.")
    return asked


def _refusal(error: PastebinError) -> Answer:
    return Answer(problems.row_of(error).status, problems.describe(error, "").as_json())


def overview_table(report: OverviewReport) -> bytes:
    """One line for each figure, with that of the time before where it is known."""
    names = [name for base in Figures.__mro__ for name in getattr(base, "__slots__", ())]
    lines: list[tuple[object, ...]] = [
        (name, getattr(report.totals, name), getattr(report.before, name)) for name in names
    ]
    lines += [(name, getattr(report.stored, name), "") for name in Stored.__slots__ if name != "at"]
    return tables.of_cells(("figure", "value", "before"), lines)


def _answer(
    request: web.Request,
    asked: ReportQuery,
    report: Any,
    table: Callable[[], bytes],
    headers: dict[str, str] | None = None,
) -> web.Response:
    accept = request.headers.get(hdrs.ACCEPT)
    as_table = quality(accept, "text/csv") > quality(accept, "application/json")
    safe = {**_SAFE, **caching.secret(), hdrs.VARY: hdrs.ACCEPT, **(headers or {})}
    if asked.format == "csv" or (asked.format is None and as_table):
        name = request.path.rpartition("/")[2]
        safe |= {hdrs.CONTENT_TYPE: tables.MEDIA_TYPE, hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}.csv"'}
        return web.Response(body=table(), headers=safe)
    return web.Response(body=views.encode(report), headers={**safe, hdrs.CONTENT_TYPE: "application/json"})
