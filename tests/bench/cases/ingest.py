"""Batches of events, from the packed body to the commit, against a bare COPY of the same rows into such a table."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import asyncpg
import msgspec

from pastebin.analytics.engines import Filter, Span
from pastebin.analytics.engines.grains import date_of, day_of
from pastebin.analytics.engines.postgres import VISITS, PostgresEngine
from pastebin.analytics.ingest import Ingest
from pastebin.metrics import Metrics
from pastebin.sections import AnalyticsSection
from pastebin.visits import BATCHES, Batch, Visit
from tests.bench.harness import Case, Contest, WrongAnswer, durable_postgres

EVENTS = 5000
SENDERS = 4
NODES = 16
_MOST_PER_SECOND = 250_000
Work = TypeVar("Work")
# Rows arrive in a table with the same columns, partition and index.
_REFERENCE = """
create table bare (like visits) partition by range (at_ms);
create index on bare using brin (at_ms int8_minmax_multi_ops) with (autosummarize = on, pages_per_range = 32);
create table bare_day partition of bare for values from (0) to (100000000000000);
"""


class Senders:
    """As many at once as there are connections, each with one batch after the other; packing them is not measured."""

    def __init__(self, engine: PostgresEngine, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._ingest = Ingest(engine, AnalyticsSection(batches_per_second=1e6, pool_size=SENDERS), Metrics())
        self._engine = engine
        self._pool = pool
        self._numbers = itertools.count(1)
        self._ids = itertools.count(1)
        self._sent = 0

    async def ours(self, seconds: float) -> float:
        bodies = [_packed(next(self._ids), visits) for visits in self._made(seconds)]

        async def send(body: bytes) -> None:
            answer = await self._ingest.carry("POST", BATCHES, body)
            if answer.status != 200 or b'"taken":true' not in answer.body:
                raise WrongAnswer(f"a batch was answered with {answer.status}: {answer.body[:200]!r}")
            self._sent += EVENTS

        return await _drive(bodies, send, seconds)

    async def reference(self, seconds: float) -> float:
        rows = [[(*msgspec.structs.astuple(visit), 1, visit.at_ms) for visit in made] for made in self._made(seconds)]

        async def send(records: list[tuple[object, ...]]) -> None:
            async with self._pool.acquire() as connection:
                await connection.copy_records_to_table("bare", records=records, columns=VISITS)

        return await _drive(rows, send, seconds)

    async def check(self) -> None:
        """Every event is there once."""
        async with self._pool.acquire() as connection:
            kept, known = await connection.fetchrow("select count(*), count(distinct number) from visits")  # type: ignore[misc]
        if not kept == known == self._sent:
            raise WrongAnswer(f"{self._sent} were sent, {kept} are there, {known} of them different")
        span = Span(date_of(day_of(datetime.now(UTC)) - 1), date_of(day_of(datetime.now(UTC)) + 1))
        began = time.perf_counter()
        await self._engine.roll(datetime.now(UTC))
        print(f"  rolled {kept:,} events, most of one minute, at {kept / (time.perf_counter() - began):,.0f}/s")
        if (counted := (await self._engine.totals(span, Filter(audience="all"))).visits) != kept:
            raise WrongAnswer(f"{kept} are there, {counted} are counted")

    def _made(self, seconds: float) -> Iterator[list[Visit]]:
        chance = random.Random(1)  # noqa: S311
        for _ in range(int(seconds * _MOST_PER_SECOND / EVENTS)):
            now_ms = int(time.time() * 1000)
            yield [_visit(next(self._numbers), now_ms - EVENTS + step, chance) for step in range(EVENTS)]


def _packed(number: int, visits: list[Visit]) -> bytes:
    return gzip.compress(msgspec.json.encode(Batch(f"batch-{number}", f"node-{number % NODES}", visits=visits)), 1)


def _visit(number: int, at_ms: int, chance: random.Random) -> Visit:
    slug = min(int(chance.paretovariate(0.7)), 50_000)
    return Visit(
        number=number,
        at_ms=at_ms,
        slug=f"paste{slug:06}",
        file="",
        kind="page" if number % 3 else "raw",
        cache="hit" if number % 5 else "miss",
        region="eu-central",
        pop="fra1-a",
        country=chance.choice(["IL", "DE", "US", "FR", ""]),
        referrer=chance.choice(["", "", "news.example", "search.example"]),
        agent=chance.choice(["Firefox", "Chrome", "Safari"]),
        agent_class="browser",
        is_bot=number % 10 == 0,
        status=200,
        bytes=chance.randrange(50_000),
        duration_us=chance.randrange(20_000),
        weight=1,
        period=at_ms // 86_400_000,
        visitor=chance.randrange(1, 2**40) | 1,
        visitor_before=chance.randrange(1, 2**62),
    )


async def _drive(work: list[Work], send: Callable[[Work], Awaitable[None]], seconds: float) -> float:
    """Events/s."""
    waiting, done = iter(work), 0
    began = time.perf_counter()

    async def sender() -> None:
        nonlocal done
        for one in waiting:
            await send(one)
            done += EVENTS
            if time.perf_counter() - began > seconds:
                return

    await asyncio.gather(*(sender() for _ in range(SENDERS)))
    return done / (time.perf_counter() - began)


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    section = AnalyticsSection(pool_size=SENDERS)
    async with durable_postgres(directory) as server, PostgresEngine.opened(section, server.dsn) as engine:
        async with server.connected() as connection:
            await connection.execute(_REFERENCE)
        async with asyncpg.create_pool(server.dsn, min_size=SENDERS, max_size=SENDERS) as pool:
            senders = Senders(engine, pool)
            yield Contest(senders.ours, senders.reference, senders.check)


CASE = Case(
    name="ingest",
    unit="events/s",
    ours=f"batches of {EVENTS} into the analytics service, {SENDERS} at once: unpack, check, ledger, COPY, commit",
    reference="copy_records_to_table of the same rows by as many connections",
    goal=0.6,
    prepared=prepared,
)
