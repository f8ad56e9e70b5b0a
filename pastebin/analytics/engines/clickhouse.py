"""ClickHouse as the database of events: for more than one PostgreSQL can hold.

Events are rows of ReplacingMergeTree, known by node and number: a copy replaces what it is a copy of. Sums by hour are
made from them, never counted along; minutes, and hours that lack something, are answered from the events themselves.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp

from pastebin.analytics.engines import Audience, Dimension, Filter, Span, Stock, Totals
from pastebin.analytics.engines import clickhouse_schema as schema
from pastebin.analytics.engines import clickhouse_statements as statements
from pastebin.analytics.engines.clickhouse_client import Client, Place, Table
from pastebin.analytics.engines.clickhouse_intake import Intake
from pastebin.analytics.engines.clickhouse_plan import Plan, State
from pastebin.analytics.engines.clickhouse_rolling import Rolling
from pastebin.analytics.engines.grains import minute_of
from pastebin.sections import AnalyticsSection

# Servers of every age keep an idle connection for 3 seconds or more.
_IDLE_SECONDS = 2.0


class ClickHouseEngine:
    """An Engine; see there for what each method promises."""

    def __init__(self, client: Client, section: AnalyticsSection, collect_seconds: float) -> None:
        self._client = client
        self._seconds = section.question_timeout_seconds
        self._intake = Intake(client, collect_seconds)
        self._rolling = Rolling(client, section)
        self.roll = self._rolling.roll
        self.retain = self._rolling.retain
        self.take = self._intake.take

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, section: AnalyticsSection, dsn: str, *, collect_seconds: float = 0.25
    ) -> AsyncIterator[ClickHouseEngine]:
        """Make the tables that are missing. Raises ConfigError, ResourceUnavailable.

        Batches that come within `collect_seconds` are written together, unless they are large.
        """
        place = Place.parsed(dsn)
        connector = aiohttp.TCPConnector(limit=section.pool_size, keepalive_timeout=_IDLE_SECONDS)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
            client = Client(http, place)
            await schema.prepare(client, place)
            yield cls(client, section, collect_seconds)

    async def totals(self, span: Span, which: Filter) -> Totals:
        [totals] = await self.series([span.since, span.until], which)
        return totals

    async def series(self, edges: Sequence[datetime], which: Filter) -> list[Totals]:
        found = [Totals() for _ in range(len(edges) - 1)]
        minutes = [minute_of(edge) for edge in edges]
        for moment, _, *sums in await self._told(minutes, statements.ALL, which, in_time=True):
            index = bisect_right(minutes, moment) - 1
            if 0 <= index < len(found):
                found[index] = _added(found[index], sums)
        return found

    async def breakdown(
        self, dimension: Dimension, span: Span, which: Filter, limit: int, after: tuple[int, str] | None = None
    ) -> list[tuple[str, Totals]]:
        if dimension not in statements.DIMENSIONS:
            raise ValueError(f"no dimension: {dimension}")
        minutes = [minute_of(span.since), minute_of(span.until)]
        rows = await self._told(minutes, dimension, which, limit=limit, after=after)
        return [(str(value), _added(Totals(), sums)) for value, *sums in rows]

    async def stock(self, edges: Sequence[datetime]) -> list[Stock]:
        found = [Stock() for _ in range(len(edges) - 1)]
        minutes = [minute_of(edge) for edge in edges]
        for moment, kind, number, _, size, *_ in await self._told(minutes, statements.CHANGE, Filter(), in_time=True):
            index = bisect_right(minutes, moment) - 1
            if not 0 <= index < len(found):
                continue
            stock = found[index]
            changes = stock.changes | {kind: stock.changes.get(kind, 0) + int(number)}
            found[index] = Stock(changes, stock.bytes_created + (int(size) if kind == "created" else 0))
        return found

    async def _told(
        self,
        minutes: Sequence[int],
        dimension: str,
        which: Filter,
        *,
        in_time: bool = False,
        limit: int | None = None,
        after: tuple[int, str] | None = None,
    ) -> list[Any]:
        """Rows of (minute, value, sums...) in no order, or else of (value, sums...), most visits first."""
        if minutes[0] >= minutes[-1]:
            return []
        question = statements.state(minutes[0] // 60, minutes[-1] // 60)
        state = State.of(await self._client.ask(question, seconds=self._seconds))
        plan = Plan.of(minutes, state)
        audience: Audience = which.audience
        of_slug = which.slug is not None
        parts = statements.pieces(plan, dimension, of_slug=of_slug, audience=audience, in_time=in_time)
        if not parts:
            return []
        if in_time:
            sql = statements.summed(parts, by="moment, value")
        else:
            visits = None if after is None else after[0]
            sql = statements.summed(parts, by="value", order="t0 desc, value", limit=limit, after=visits)
        asked = {"slug": which.slug or "", "value": after[1] if after else ""}
        tables = [Table("asked", "slug String, value String", [asked])]
        if plan.raw:
            tables.append(Table("raw", "hour UInt32", [{"hour": hour} for hour in plan.raw]))
        if plan.rolled:
            chosen = [{"hour": hour, "generation": generation} for hour, generation in plan.rolled]
            tables.append(Table("chosen", "hour UInt32, generation Int64", chosen))
        return await self._client.ask(sql, tables, seconds=self._seconds)


def _added(totals: Totals, sums: Sequence[Any]) -> Totals:
    visits, visitors, volume, hits, errors, spent = (int(one) for one in sums)
    return Totals(
        totals.visits + visits,
        totals.visitors + visitors,
        totals.bytes + volume,
        totals.hits + hits,
        totals.errors + errors,
        totals.duration_us + spent,
    )
