"""Reports: what the engine knows, in the shapes that are given out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pastebin.analytics.engines import Dimension, Engine, Span, Stock, Totals
from pastebin.analytics.questions import Question, buckets
from pastebin.errors import Unavailable
from pastebin.reports import (
    Figures,
    ListReport,
    Moment,
    OverviewReport,
    SeriesReport,
    StatsReport,
    StorageReport,
    Stored,
    Value,
)
from pastebin.services.panels import MOST_ROWS

# The hours of a heat map are counted one by one.
_HEAT = timedelta(days=91)
_SHOWN_COUNTRIES = 250
_AT_ONCE = 4


class Reporting:
    """Asks the engine; the whole of an answer has to be there within `seconds`, or Unavailable is raised."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        self._engine = engine
        self._seconds = seconds
        self._asking = asyncio.Semaphore(_AT_ONCE)

    async def overview(self, question: Question) -> OverviewReport:
        async with self._answering(), asyncio.TaskGroup() as tasks:
            totals = tasks.create_task(self._engine.totals(question.span, question.which))
            before = tasks.create_task(self._engine.totals(question.before, question.which))
            stocks = tasks.create_task(self._engine.stock((question.edges[0], question.edges[-1])))
        return OverviewReport(
            **question.scope,
            totals=figures(totals.result()),
            before=figures(before.result()),
            stored=_stored(question.edges[0].astimezone(question.zone), stocks.result()[0]),
        )

    async def series(self, question: Question) -> SeriesReport:
        async with self._answering():
            found = await self._engine.series(question.edges, question.which)
        return SeriesReport(**question.scope, rows=_moments(question, found))

    async def ranking(self, dimension: Dimension, question: Question, limit: int) -> ListReport:
        """The values with the most visits; `next` is a cursor here, not yet an address."""
        async with self._answering():
            found = await self._engine.breakdown(dimension, question.span, question.which, limit + 1, question.after)
        rows = _values(found[:limit])
        cursor = question.cursor(rows[-1].visits, rows[-1].value) if len(found) > limit else None
        return ListReport(**question.scope, dimension=dimension, rows=rows, next=cursor)

    async def storage(self, question: Question) -> StorageReport:
        async with self._answering():
            stocks = await self._engine.stock(question.edges)
        return StorageReport(**question.scope, rows=_stocks(question, stocks))

    async def stats(self, question: Question, *, of_service: bool) -> StatsReport:
        """Everything that a page shows: of one paste, or `of_service` as a whole."""
        span, which = question.span, question.which
        hours, heat_since = _heat_edges(question)

        async def values(dimension: Dimension, limit: int = MOST_ROWS) -> list[Value]:
            async with self._asking:
                return _values(await self._engine.breakdown(dimension, span, which, limit))

        async def of_all(dimension: Dimension) -> list[Value]:
            return await values(dimension) if of_service else []

        async def summed(stretch: Span) -> Totals:
            async with self._asking:
                return await self._engine.totals(stretch, which)

        async def by_time(edges: Sequence[datetime]) -> list[Totals]:
            async with self._asking:
                return await self._engine.series(edges, which)

        async def stocks() -> list[Stock]:
            async with self._asking:
                return await self._engine.stock(question.edges) if of_service else []

        async with self._answering(), asyncio.TaskGroup() as tasks:
            totals, before = tasks.create_task(summed(span)), tasks.create_task(summed(question.before))
            series, heat = tasks.create_task(by_time(question.edges)), tasks.create_task(by_time(hours))
            countries = tasks.create_task(values("country", _SHOWN_COUNTRIES))
            referrers, clients = tasks.create_task(values("referrer")), tasks.create_task(values("agent"))
            kinds, caches = tasks.create_task(values("kind")), tasks.create_task(of_all("cache"))
            pastes, regions = tasks.create_task(of_all("slug")), tasks.create_task(of_all("region"))
            stored = tasks.create_task(stocks())
        return StatsReport(
            **question.scope,
            totals=figures(totals.result()),
            before=figures(before.result()),
            series=_moments(question, series.result()),
            countries=countries.result(),
            referrers=referrers.result(),
            clients=clients.result(),
            kinds=kinds.result(),
            heat=heat_of(hours, heat.result(), question.zone),
            heat_since=heat_since,
            pastes=pastes.result(),
            caches=caches.result(),
            regions=regions.result(),
            stored=_stocks(question, stored.result()) if of_service else [],
        )

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError:
            raise Unavailable(f"The question was not answered within {self._seconds:g} s.") from None
        except BaseExceptionGroup as group:
            away, rest = group.split(Unavailable)
            if away is None or rest is not None:
                raise
            raise next(_leaves(away)) from group


def heat_of(edges: Sequence[datetime], found: Sequence[Totals], zone: ZoneInfo) -> list[list[int]]:
    """Visits by weekday, Monday first, and hour of the day in `zone`."""
    heat = [[0] * 24 for _ in range(7)]
    for at, totals in zip(edges, found, strict=False):
        local = at.astimezone(zone)
        heat[local.weekday()][local.hour] += totals.visits
    return heat


def figures(totals: Totals) -> Figures:
    return Figures(**_members(totals))


def _members(totals: Totals) -> dict[str, Any]:
    mean = totals.duration_us / totals.visits / 1000 if totals.visits else 0.0
    return {
        "visits": totals.visits,
        "daily_visitors": totals.visitors,
        "bytes": totals.bytes,
        "hits": totals.hits,
        "errors": totals.errors,
        "mean_milliseconds": round(mean, 3),
    }


def _heat_edges(question: Question) -> tuple[tuple[datetime, ...], datetime]:
    """Hours, and days of which only the last ones count where the range is long."""
    since = max(question.edges[0], question.edges[-1] - _HEAT)
    edges = buckets(since, question.edges[-1], "hour", question.zone)
    return edges, edges[0].astimezone(question.zone)


def _moments(question: Question, found: Sequence[Totals]) -> list[Moment]:
    return [
        Moment(at=at.astimezone(question.zone), **_members(totals))
        for at, totals in zip(question.edges, found, strict=False)
    ]


def _values(found: Sequence[tuple[str, Totals]]) -> list[Value]:
    return [Value(value=value, **_members(totals)) for value, totals in found]


def _stocks(question: Question, found: Sequence[Stock]) -> list[Stored]:
    return [_stored(at.astimezone(question.zone), stock) for at, stock in zip(question.edges, found, strict=False)]


def _stored(at: datetime, stock: Stock) -> Stored:
    kinds = ("created", "revised", "deleted", "expired", "burned", "reported", "taken_down")
    return Stored(at=at, bytes_created=stock.bytes_created, **{kind: stock.changes.get(kind, 0) for kind in kinds})


def _leaves(group: BaseExceptionGroup[Unavailable]) -> Iterator[Unavailable]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
