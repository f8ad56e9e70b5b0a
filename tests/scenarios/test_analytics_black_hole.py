"""Analytics that accepts every connection and never answers: readers notice nothing, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from pastebin.analytics.engines import Filter, Span
from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.sections import AnalyticsSection
from tests.cluster import until
from tests.postgres import Server, fresh_database
from tests.scenarios.holes import Divided, divided
from tests.scenarios.processes import NodeProcess
from tests.scenarios.traces import READER, assert_no_trace, dumped

pytestmark = pytest.mark.scenario

_CLIENTS = 8
_PASTES = 10
# A request that is not answered is given up after a second; so many of them while the hole lasts.
_TRIES = 3
_TURNS = 40
_OFTEN = (
    "exact_per_second = 100000",
    "flush_seconds = 0.1",
    "batch_events = 200",
    "request_timeout_seconds = 1.0",
    "retry_max_seconds = 1.0",
)


@dataclass
class Readers:
    """What they were answered, by paste."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    turns: Counter[int] = field(default_factory=Counter)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def all_are_answered(self, times: int) -> None:
        """Return when every single one has been answered so many times more."""
        before = self.turns.copy()
        await until(lambda: all(self.turns[who] >= before[who] + times for who in range(_CLIENTS)))

    async def read(self, http: aiohttp.ClientSession, url: str, slugs: list[str], who: int) -> None:
        """One address after the other; each answer is waited for, so that everything counted is known."""
        number = 7 * who
        while not self.over.is_set():
            number += 1
            slug = slugs[number % len(slugs)]
            path = (f"/{slug}", f"/{slug}/raw", f"/api/v1/pastes/{slug}")[number % 3]
            try:
                async with http.get(f"{url}{path}", headers={**READER, "Accept": "text/html, */*;q=0.5"}) as response:
                    await response.read()
                    if response.status != 200:
                        self.failed.append(f"{path}: {response.status}")
                    self.answered[slug] += 1
                    self.turns[who] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failed.append(f"{path}: {error!r}")
            await asyncio.sleep(0.01)


@asynccontextmanager
async def reading(node: NodeProcess) -> AsyncIterator[Readers]:
    readers = Readers()
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        slugs = []
        for number in range(_PASTES):
            async with http.post(f"{node.url}/api/v1/pastes", json={"content": f"{number}\n" * 100}) as response:
                assert response.status == 201
                slugs.append((await response.json())["slug"])
        for number in range(_CLIENTS):
            tasks.create_task(readers.read(http, node.url, slugs, number))
        yield readers
        readers.over.set()


async def test_nobody_waits_and_everything_arrives_once(
    postgres: Server, database_dsn: str, reachable_path: Path
) -> None:
    began = datetime.now(UTC).replace(second=0, microsecond=0)
    async with (
        fresh_database(postgres, "template1") as dsn,
        divided(reachable_path, database_dsn, dsn, *_OFTEN) as nodes,
    ):
        async with PostgresEngine.opened(AnalyticsSection(), dsn) as engine:

            async def counted() -> dict[str, int]:
                span = Span(began, began + timedelta(hours=1))
                return {
                    slug: totals.visits
                    for slug, totals in await engine.breakdown("slug", span, Filter(audience="all"), 1000)
                }

            readers = await _read_through_a_hole(nodes, counted)
            assert not readers.failed
            assert readers.answered.total() > 500

            async def has_arrived() -> bool:
                return sum((await counted()).values()) >= readers.answered.total()

            await until(has_arrived)
            assert await counted() == readers.answered
            await nodes.node.stop()
            assert await counted() == readers.answered
            assert not list(nodes.spool.glob("*.visits1"))
            for name in (database_dsn, dsn):
                async for table, dump in dumped(name):
                    assert_no_trace(table, dump)


async def _read_through_a_hole(nodes: Divided, counted: Callable[[], Awaitable[dict[str, int]]]) -> Readers:
    async with reading(nodes.node) as readers:
        await readers.all_are_answered(_TURNS)
        nodes.proxy.black_hole()
        before, arrived = readers.answered.total(), sum((await counted()).values())
        tries = nodes.proxy.accepted
        await readers.all_are_answered(_TURNS)
        await until(lambda: nodes.proxy.accepted >= tries + _TRIES)
        assert sum((await counted()).values()) <= arrived + before
        waiting = list(nodes.spool.glob("*.visits1"))
        assert sum(path.stat().st_size for path in waiting) > 1000
        for path in (*waiting, *nodes.logs):
            assert_no_trace(path.name, path.read_bytes())
        await nodes.proxy.restore()
        await readers.all_are_answered(_TURNS)
    return readers
