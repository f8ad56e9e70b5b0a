"""Everything that an overview of thirty days shows, out of the sums of 10 million events, against 300 ms."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import asyncpg

from pastebin.analytics.engines import Dimension, Filter, Span
from pastebin.analytics.engines.grains import DAY_MINUTES, DAY_MS, date_of, day_of
from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.embedded.server import Server
from pastebin.sections import AnalyticsSection
from tests.bench.harness import Case, Contest, WrongAnswer, durable_postgres

EVENTS = 10_000_000
DAYS = 30
_PROMISED_SECONDS = 0.3
_FIRST = datetime(2026, 3, 1, tzinfo=UTC)
_DIMENSIONS: tuple[Dimension, ...] = ("slug", "country", "referrer", "agent", "cache", "region")
_FILL_SECONDS = 3600.0
# Slugs, agents and so on by hashes of the event's number; few slugs are read often, most hardly ever.
_EVENTS = """
insert into visits
select i, $1::bigint + i * $2::bigint, 'paste' || least(power((h & 65535) / 65536.0 + 0.0001, -1.3), 150000)::int, '',
       case when i % 3 = 0 then 'raw' else 'page' end, case when i % 5 = 0 then 'miss' else 'hit' end,
       'region-' || (h >> 16) % 4, 'pop-' || (h >> 16) % 12, chr(65 + (h >> 20 & 7)::int) || chr(65 + (h >> 23 & 7)::int),
       case when (h >> 26 & 3) = 0 then 'site' || (h >> 28) % 500 || '.example' else '' end,
       'agent-' || (h >> 40) % 20, 'browser', i % 10 = 0, 200, (h >> 44) % 50000, (h >> 30) % 20000, 1,
       ($1::bigint + i * $2::bigint) / 86400000, (h >> 8) % 3000000 + 1, 0, 1, $1
from (select i, hashint8extended(i, 1) & 9223372036854775807 as h from generate_series($3::bigint, $4 - 1) i) numbered
"""
_BATCH = (
    "insert into batches (id, received_ms, minutes) select $1, $2, array_agg(m) from generate_series($3::int, $4) m"
)


class Overviews:
    """One reader, who asks for everything at once."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self._span = Span(_FIRST, _FIRST + timedelta(days=DAYS))
        self._edges = [_FIRST + timedelta(days=day) for day in range(DAYS + 1)]

    async def ours(self, seconds: float) -> float:
        """One divided by the 95th percentile."""
        took = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(took) < 20:
            began = time.perf_counter()
            await self._ask()
            took.append(time.perf_counter() - began)
        return 1 / sorted(took)[int(len(took) * 0.95)]

    async def reference(self, _seconds: float) -> float:
        return 1 / _PROMISED_SECONDS

    async def check(self) -> None:
        totals = await self._engine.totals(self._span, Filter(audience="all"))
        if totals.visits != EVENTS:
            raise WrongAnswer(f"{totals.visits} of {EVENTS} events are counted")

    async def _ask(self) -> None:
        engine, which = self._engine, Filter()
        before = Span(_FIRST - timedelta(days=DAYS), _FIRST)
        await asyncio.gather(
            engine.totals(self._span, which),
            engine.totals(before, which),
            engine.series(self._edges, which),
            engine.stock([self._span.since, self._span.until]),
            *(engine.breakdown(dimension, self._span, which, 10) for dimension in _DIMENSIONS),
        )


@asynccontextmanager
async def prepared(_directory: Path) -> AsyncIterator[Contest]:
    """The events are made once, and kept in the directory for temporary files for the next time."""
    sql = resources.files("pastebin.analytics.engines").joinpath("migrations").joinpath("0001_expand_visits.sql")
    recipe = hashlib.sha256(sql.read_bytes() + _EVENTS.encode()).hexdigest()[:12]
    kept = Path(tempfile.gettempdir()) / f"pastebin-bench-overview-{recipe}"
    kept.mkdir(exist_ok=True)
    kept.chmod(0o755)
    async with durable_postgres(kept) as server:
        async with PostgresEngine.opened(AnalyticsSection(question_timeout_seconds=60), server.dsn) as engine:
            if not (kept / "complete").exists():
                await _fill(server, engine)
                (kept / "complete").touch()
            overviews = Overviews(engine)
            yield Contest(overviews.ours, overviews.reference, overviews.check)


async def _fill(server: Server, engine: PostgresEngine) -> None:
    first, step = day_of(_FIRST), DAYS * DAY_MS // EVENTS
    began = time.perf_counter()
    connection = await asyncpg.connect(server.dsn, command_timeout=_FILL_SECONDS)
    try:
        await connection.execute("set synchronous_commit = off")
        for day in range(DAYS):
            await engine.roll(date_of(first + day))  # makes room
            numbers = EVENTS // DAYS * day, EVENTS // DAYS * (day + 1) if day < DAYS - 1 else EVENTS
            async with connection.transaction():
                await connection.execute(_EVENTS, first * DAY_MS, step, *numbers)
                since = (first + day) * DAY_MINUTES
                await connection.execute(_BATCH, f"day-{day}", day, since - 1, since + DAY_MINUTES)
            print(f"  day {day + 1} of {DAYS}: made after {time.perf_counter() - began:.0f} s", flush=True)
        await engine.roll(date_of(first + DAYS + 1))
        print(f"  all of it rolled after {time.perf_counter() - began:.0f} s", flush=True)
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()


CASE = Case(
    name="overview",
    unit="overviews/s at the 95th percentile",
    ours=f"totals, series, stock and {len(_DIMENSIONS)} rankings of {DAYS} days and {EVENTS:,} events",
    reference=f"the promise of {_PROMISED_SECONDS * 1000:.0f} ms",
    goal=1.0,
    prepared=prepared,
)
