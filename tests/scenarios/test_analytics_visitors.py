"""Who reads in several regions is one visitor: at the same time, across midnight, and under salts that come late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pastebin.analytics.engines import Filter, Span
from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.analytics.ingest import Ingest
from pastebin.http.signing import Signer
from pastebin.metrics import Metrics
from pastebin.sections import AnalyticsSection, DatabaseSection, VisitsSection
from pastebin.services.counting import Counting, Here, People
from pastebin.services.salting import Salting
from pastebin.services.shipping import Shipping
from pastebin.services.spool import Spool
from pastebin.services.statistics import Statistics
from pastebin.sights import Answered
from pastebin.store.database import Database
from pastebin.store.salts import SaltStore
from pastebin.visitors import Salts, pseudonyms
from tests.nodes import Node, directory, started
from tests.postgres import Server, fresh_database

MIDNIGHT = datetime(2031, 3, 30, tzinfo=UTC)
DAY = timedelta(days=1)
TOKEN = "an admin token of thirty-two characters"
SLUG = "abcdefg"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ONE, OTHER = "203.0.113.7", "203.0.113.8"
REGIONS = ("africa", "america", "asia", "europe")
_SECONDS = 60.0


@dataclass
class Clock:
    """What time it is everywhere but in the other regions' heads."""

    at: datetime

    def __call__(self) -> float:
        return self.at.timestamp()

    def now(self) -> datetime:
        return self.at


@dataclass(frozen=True)
class Moved:
    """Salts as the primary makes them at the time of the clock."""

    store: SaltStore
    clock: Clock

    async def fetch(self) -> Salts:
        return await self.store.fetch(timedelta(seconds=self.clock() - time.time()))


@dataclass(frozen=True)
class Region:
    """What a node there notes, from the answer to the batch."""

    salting: Salting
    counting: Counting

    async def shows(self, address: str) -> None:
        answered = Answered(
            method="GET",
            target=f"/{SLUG}/raw",
            host="p.example",
            address=address,
            agent=AGENT,
            referrer="",
            wishes=(),
            status=200,
            media_type="text/plain",
            content_range="",
            bytes=7,
            duration_us=70,
            cache="hit",
        )
        self.counting.note(self.counting.due(), lambda: answered)
        await self.counting.flush()


@asynccontextmanager
async def region(name: str, place: Path, clock: Clock, source: Moved | None, ingest: Ingest) -> AsyncIterator[Region]:
    def lost(count: int, reason: str) -> None:
        raise AssertionError(f"{count} {reason}")

    metrics, section = Metrics(), VisitsSection()
    statistics = Statistics(lambda: ingest, "", Signer(b""), _SECONDS, None)
    salting = Salting(source, statistics, passes_on=source is not None, clock=clock)
    people = People(pseudonyms=lambda *reader: pseudonyms(salting.salts, *reader))
    async with Spool.opened(place / name, most_bytes=2**24, batch_events=100, dropped=lost) as spool:
        async with asyncio.TaskGroup() as tasks:
            shipping = tasks.create_task(Shipping(spool, statistics, section, metrics).run())
            yield Region(salting, Counting(spool, section, Here(name, name), people, metrics, clock))
            shipping.cancel()


async def test_across_midnight_and_a_new_salt_a_visitor_stays_one_and_then_nobody(
    database_dsn: str, empty_database_dsn: str, tmp_path: Path
) -> None:
    """Africa's node writes, asia's and america's have the database, europe's is an edge; two of them are late."""
    clock = Clock(MIDNIGHT - timedelta(minutes=10))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.opened(DatabaseSection(), database_dsn))
        engine = await stack.enter_async_context(PostgresEngine.opened(AnalyticsSection(), empty_database_dsn))
        ingest = Ingest(engine, AnalyticsSection(), Metrics(), clock.now)
        store = SaltStore(database)
        regions = [
            await stack.enter_async_context(
                region(name, tmp_path, clock, Moved(store, clock) if name != "europe" else None, ingest)
            )
            for name in REGIONS
        ]
        known = await _salted(regions)
        await regions[0].shows(OTHER)
        for minutes, hearing in ((-10, ()), (1, regions[::2]), (5, regions)):
            clock.at = MIDNIGHT + timedelta(minutes=minutes)
            known |= await _salted(hearing)
            for one in regions:
                await one.shows(ONE)
        assert await _days(engine, 13) == [(5, 2), (8, 0)]
        clock.at = MIDNIGHT + timedelta(hours=3)
        await regions[1].shows(OTHER)
        await engine.roll(clock.at)
        assert await _days(engine, 14) == [(5, 2), (9, 1)]
        assert len(known) == 2
        seen = await _visitors(empty_database_dsn)
        assert {_visitor(salt, ONE) for salt in known} <= seen
        await _forgotten(clock, regions, ingest, known, seen, database)


async def _salted(regions: Sequence[Region]) -> set[bytes]:
    """Let them hear of the salts of now."""
    found = set()
    for one in regions:
        assert await one.salting.refresh()
        assert one.salting.salts is not None
        found.add(one.salting.salts.current)
    return found


async def _days(engine: PostgresEngine, visits: int) -> list[tuple[int, int]]:
    """Visits and visitors of the day before and the day after, when so many visits are there."""
    span = Span(MIDNIGHT - DAY, MIDNIGHT + DAY)
    async with asyncio.timeout(_SECONDS):
        while (await engine.totals(span, Filter(SLUG))).visits < visits:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    days = await engine.series([MIDNIGHT - DAY, MIDNIGHT, MIDNIGHT + DAY], Filter(SLUG))
    return [(day.visits, day.visitors) for day in days]


async def _visitors(dsn: str) -> set[int]:
    connection = await asyncpg.connect(dsn, timeout=60)
    try:
        return {row["visitor"] for row in await connection.fetch("select visitor from visits")}
    finally:
        await connection.close()


def _visitor(salt: bytes, address: str) -> int:
    return pseudonyms(Salts(0, salt), address, AGENT, SLUG)[1]


async def _forgotten(
    clock: Clock, regions: Sequence[Region], ingest: Ingest, known: set[bytes], seen: set[int], database: Database
) -> None:
    """48 hours after a salt was new, no salt that anybody has leads from an address to a visitor under it."""
    clock.at = MIDNIGHT + 2 * DAY
    for one in regions:
        await one.salting.refresh()
    ingest.forget_salts()
    held = {salts.current for one in regions if (salts := one.salting.salts)}
    held |= {salts.previous for one in regions if (salts := one.salting.salts)} - {b""}
    async with database.primary() as connection:
        held |= {row["salt"] for row in await connection.fetch("select salt from salts")}
    assert held
    assert held.isdisjoint(known)
    assert seen.isdisjoint(_visitor(salt, address) for salt in held for address in (ONE, OTHER))


@pytest.mark.usefixtures("whole_day")
async def test_four_nodes_tell_two_readers_apart(postgres: Server, database_dsn: str) -> None:
    """Three that share a database, and an edge that has none; the readers come through a proxy."""
    async with fresh_database(postgres, "template1") as analytics_dsn, AsyncExitStack() as stack:

        async def node(region: str, *roles: str, **settings: Any) -> Node:
            place = await stack.enter_async_context(directory())
            trusted = {"doors__trusted_proxies": ["127.0.0.1"], "visits__flush_seconds": 0.05}
            names = {"node__region": region, "node__name": f"{region}-1", "node__roles": list(roles)}
            return await stack.enter_async_context(started(database_dsn, place, **trusted, **names, **settings))

        analytics = await node("centre", "analytics", analytics__database=analytics_dsn, admin__token=TOKEN)
        told = {"visits__url": analytics.internal}
        nodes = [await node(name, "web", "read", "write", **told) for name in REGIONS[:3]]
        slug = (await nodes[0].paste("text"))["slug"]
        edge = await node(
            *(REGIONS[3], "edge"), **told, doors__edge="127.0.0.1:0", edge__origin=nodes[0].url, edge__lease_seconds=0
        )
        urls = [*(one.url for one in nodes), edge.running.url("edge")]

        async def read(url: str, address: str, agent: str = AGENT) -> None:
            headers = {"X-Forwarded-For": address, "User-Agent": agent}
            async with nodes[0].http.get(f"{url}/{slug}/raw", headers=headers) as response:
                assert response.status == 200, await response.text()

        async def figures(report: str) -> Any:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            address = f"{analytics.url}/api/v1/analytics/{report}"
            async with analytics.http.get(address, params={"since": "1d"}, headers=headers) as response:
                assert response.status == 200
                return await response.json()

        async def until_seen(where: str) -> None:
            """A node counts from its start on, but knows nobody before it has heard of the salts."""
            connection = await asyncpg.connect(analytics_dsn, timeout=60)
            known = "select count(*) from visits where region = $1 and visitor <> 0"
            try:
                async with asyncio.timeout(_SECONDS):
                    while not await connection.fetchval(known, where):
                        await read(urls[REGIONS.index(where)], ONE)
                        await asyncio.sleep(0.1)
            finally:
                await connection.close()

        for name in REGIONS:
            await until_seen(name)
        assert (await figures("overview"))["totals"]["daily_visitors"] == 1
        await read(urls[3], OTHER)
        await read(urls[1], OTHER)
        await read(urls[2], ONE, AGENT.replace("140", "141"))
        async with asyncio.timeout(_SECONDS):
            while (await figures("overview"))["totals"]["daily_visitors"] < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        regions = {row["value"]: row for row in (await figures("regions"))["rows"]}
        assert regions.keys() == set(REGIONS)
        assert sum(row["daily_visitors"] for row in regions.values()) == 3
