"""Answers out of the sums in PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any

import asyncpg

from pastebin.analytics.engines import Audience, Dimension, Filter, Span, Stock, Totals
from pastebin.analytics.engines.grains import DAY_MINUTES, MINUTE_MS, Pieces, Sources, minute_of
from pastebin.analytics.engines.postgres_pool import borrowed, transaction
from pastebin.analytics.engines.postgres_rolling import FACTS, SUMS
from pastebin.store.connections import Connection, Pool

_SOURCES = """
select array(select bucket from dirty_hours) as hours, array(select bucket from dirty_days) as days,
       (select since_day from kept) as kept
"""
_ADDED = ", ".join(f"coalesce(sum({name}), 0) as {name}" for name in SUMS)
_GRAINS = ("minute", "hour", "day")
_BOTS: dict[Audience, list[bool]] = {"people": [False], "bots": [True], "all": [False, True]}


def _all_of(name: str, where: str, columns: str, grains: Sequence[str] = _GRAINS) -> str:
    """The rows of the pieces, which are bound as three arrays for each grain from $1 on."""
    return " union all ".join(
        f"select p.i, {columns} from unnest(${3 * index + 1}::int[], ${3 * index + 2}::int[], ${3 * index + 3}::int[])"
        f" p(i, lo, hi) join {name}_{grain} s on s.bucket >= p.lo and s.bucket < p.hi and {where}"
        for index, grain in enumerate(grains)
    )


_SUM_COLUMNS = ", ".join(f"s.{name}" for name in SUMS)
_SERIES = f"""
select i, {_ADDED} from ({
    _all_of("sums", "s.dimension = 'all' and s.is_bot = any($10)", _SUM_COLUMNS)
}) of_pieces group by i
"""
_SERIES_OF_PASTE = f"""
select i, {_ADDED} from ({
    _all_of("facts", "s.slug = $8 and s.is_bot = any($7)", _SUM_COLUMNS, _GRAINS[:2])
}) of_pieces group by i
"""
_PAGE = "having ${after}::text is null or (-sum(visits), value) > (-${visits}::numeric, ${after}) order by 2 desc, 1"
_BREAKDOWN = f"""
select value, {_ADDED} from ({
    _all_of("sums", "s.dimension = $11 and s.is_bot = any($10)", f"s.value, {_SUM_COLUMNS}")
}) of_pieces group by value {_PAGE.format(visits=12, after=13)} limit $14
"""
_BREAKDOWN_OF_PASTE = {
    name: f"""
select value, {_ADDED} from ({
        _all_of("facts", "s.slug = $8 and s.is_bot = any($7)", f"s.{name} as value, {_SUM_COLUMNS}", _GRAINS[:2])
    }) of_pieces group by value {_PAGE.format(visits=9, after=10)} limit $11
"""
    for name in FACTS
}
_STOCK = f"""
select i, value, sum(visits) as number, sum(bytes) as bytes from ({
    _all_of("sums", "s.dimension = 'change'", "s.value, s.visits, s.bytes")
}) of_pieces group by i, value
"""
_SYNTAX_OF_PASTE = f"""
select value, {_ADDED} from (
    select syntax as value, 1 as visits, 0 as visitors, size as bytes, 0 as hits, 0 as errors, 0 as duration_us
    from changes where kind = 'created' and slug = $1 and at_ms >= $2 and at_ms < $3
) created group by value {_PAGE.format(visits=4, after=5)} limit $6
"""


class Answers:
    """Sums by minute have to be up to date; of hours and days those are used that are."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds

    async def series(self, edges: Sequence[datetime], which: Filter) -> list[Totals]:
        async with self._asking() as (connection, sources):
            if which.slug is None:
                arrays = _arrays(_pieces(edges, sources, has_days=True))
                rows = await connection.fetch(_SERIES, *arrays, _BOTS[which.audience])
            else:
                arrays = _arrays(_pieces(edges, sources, has_days=False))[:6]
                rows = await connection.fetch(_SERIES_OF_PASTE, *arrays, _BOTS[which.audience], which.slug)
        found = {row["i"]: _totals(row) for row in rows}
        return [found.get(index, Totals()) for index in range(len(edges) - 1)]

    async def breakdown(
        self, dimension: Dimension, span: Span, which: Filter, limit: int, after: tuple[int, str] | None
    ) -> list[tuple[str, Totals]]:
        edges, page = (span.since, span.until), (*(after or (0, None)), limit)
        bots = _BOTS["all" if dimension == "syntax" else which.audience]
        async with self._asking() as (connection, sources):
            if which.slug is None:
                arrays = _arrays(_pieces(edges, sources, has_days=True))
                rows = await connection.fetch(_BREAKDOWN, *arrays, bots, dimension, *page)
            elif dimension == "syntax":
                times = [minute_of(edge) * MINUTE_MS for edge in edges]
                rows = await connection.fetch(_SYNTAX_OF_PASTE, which.slug, *times, *page)
            else:
                arrays = _arrays(_pieces(edges, sources, has_days=False))[:6]
                statement = _BREAKDOWN_OF_PASTE[dimension]
                rows = await connection.fetch(statement, *arrays, bots, which.slug, *page)
        return [(row["value"], _totals(row)) for row in rows]

    async def stock(self, edges: Sequence[datetime]) -> list[Stock]:
        async with self._asking() as (connection, sources):
            rows = await connection.fetch(_STOCK, *_arrays(_pieces(edges, sources, has_days=True)))
        changes: dict[int, dict[str, int]] = defaultdict(dict)
        created: dict[int, int] = {}
        for row in rows:
            changes[row["i"]][row["value"]] = int(row["number"])
            if row["value"] == "created":
                created[row["i"]] = int(row["bytes"])
        return [Stock(changes[index], created.get(index, 0)) for index in range(len(edges) - 1)]

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[tuple[Connection, Sources]]:
        """A connection that sees one state of the sums, and which of these may be used in it."""
        async with (
            borrowed(self._pool, self._seconds) as connection,
            transaction(connection, isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow(_SOURCES)
            assert row is not None  # noqa: S101  (the statement always yields one)
            hours, days = frozenset(row["hours"]), frozenset(row["days"])
            yield connection, Sources(hours, days, row["kept"] * DAY_MINUTES)


def _pieces(edges: Sequence[datetime], sources: Sources, *, has_days: bool) -> Pieces:
    found = Pieces()
    for index, (since, until) in enumerate(pairwise(edges)):
        found.add(index, minute_of(since), minute_of(until), sources, has_days=has_days)
    return found


def _arrays(pieces: Pieces) -> list[list[int]]:
    return [
        [piece[column] for piece in grain]
        for grain in (pieces.minutes, pieces.hours, pieces.days)
        for column in range(3)
    ]


def _totals(row: asyncpg.Record) -> Totals:
    members: dict[str, Any] = {name: int(row[name]) for name in SUMS}
    return Totals(**members)
