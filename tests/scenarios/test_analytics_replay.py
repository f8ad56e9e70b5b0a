"""100,000 events through everything that can go wrong on the way: what is counted is what happened."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import msgspec
import pytest

from pastebin.analytics.engines import Dimension, Engine, Filter, Span
from pastebin.analytics.engines.clickhouse import ClickHouseEngine
from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.http.signing import Signer
from pastebin.sections import AnalyticsSection
from pastebin.visits import BATCHES, Batch
from tests.analytics.oracle import Generator, Oracle
from tests.clickhouse import Server, fresh_database
from tests.nodes import SECRET
from tests.scenarios.processes import AnalyticsProcess, analytics_process
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.scenario

EVENTS = 100_000
_SENDERS = 6


@dataclass(frozen=True)
class Analytics:
    """A database for analytics: what the configuration calls it, and an engine on it for questions."""

    url: str
    opened: Callable[[], AbstractAsyncContextManager[Engine]]


# The first question makes the sums of everything.
_SECTION = AnalyticsSection(question_timeout_seconds=300.0)


@pytest.fixture
def in_postgres(empty_database_dsn: str) -> Analytics:
    return Analytics(empty_database_dsn, lambda: PostgresEngine.opened(_SECTION, empty_database_dsn))


@pytest.fixture
async def in_clickhouse(old_clickhouse: Server) -> AsyncIterator[Analytics]:
    async with fresh_database(old_clickhouse) as name:
        url = old_clickhouse.dsn(name)
        yield Analytics(url, lambda: ClickHouseEngine.opened(_SECTION, url))


@pytest.fixture(params=["in_postgres", "in_clickhouse"])
def analytics(request: pytest.FixtureRequest) -> Analytics:
    found: Analytics = request.getfixturevalue(request.param)
    return found


class Cutting(TcpProxy):
    """Breaks the connection in place of the next answers that say that all went well."""

    def __init__(self, upstream: Path | tuple[str, int]) -> None:
        super().__init__(upstream)
        self.cuts = 0

    def look_at(self, data: bytes) -> None:
        if self.cuts and data.startswith(b"HTTP/1.1 200"):
            self.cuts -= 1
            raise ConnectionResetError


class Sending:
    """Sends every batch until it is answered, as a spool does; tells how far it has come."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http
        self._signer = Signer(SECRET.encode())
        self.answered = 0
        self.again = 0
        self.failed = 0
        self.step = asyncio.Condition()

    async def send(self, batch: Batch) -> None:
        body = gzip.compress(msgspec.json.encode(batch), 1)
        while True:
            try:
                headers = self._signer.headers("POST", BATCHES, body)
                async with self._http.post(f"{self._url}{BATCHES}", data=body, headers=headers) as response:
                    if response.status == 200:
                        answer = await response.json()
                        break
                    assert response.status >= 500, await response.text()
            except (aiohttp.ClientError, TimeoutError):
                pass
            self.failed += 1
            await asyncio.sleep(0.05)  # as a sender does
        assert not answer["rejected"]
        self.again += not answer["taken"]
        async with self.step:
            self.answered += 1
            self.step.notify_all()

    async def until(self, number: int) -> None:
        async with self.step:
            await self.step.wait_for(lambda: self.answered >= number)


async def test_replays_kills_and_cuts_change_nothing(analytics: Analytics, tmp_path: Path) -> None:
    until = datetime.now(UTC).replace(second=0, microsecond=0)
    since = until - timedelta(hours=26)
    made = Generator(20260329, nodes=_SENDERS, slugs=200, readers=2000)
    batches = made.batches(250, EVENTS // 200, since, until)
    oracle = Oracle()
    for batch in batches:
        oracle.take(batch)
    arriving = made.shuffled(batches, duplicates=0.3, disorder=0.1)
    async with (
        analytics_process(tmp_path, analytics.url) as process,
        Cutting.opened(("127.0.0.1", process.port)) as proxy,
    ):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http:
            sending = Sending(f"http://127.0.0.1:{proxy.port}", http)
            await _send_all(sending, arriving, process, proxy)
    assert len(oracle.visits) + len(oracle.changes) >= EVENTS
    assert sending.failed > 0
    assert sending.again > 0
    async with analytics.opened() as engine:
        await _agree(engine, oracle, since, until)
        await engine.roll(until + timedelta(days=2))
        await _agree(engine, oracle, since, until)


async def _send_all(sending: Sending, arriving: list[Batch], process: AnalyticsProcess, proxy: Cutting) -> None:
    waiting = iter(arriving)

    async def sender() -> None:
        for batch in waiting:
            await sending.send(batch)

    async def trouble() -> None:
        for part in (1, 2, 3):
            await sending.until(len(arriving) * part // 5)
            proxy.cuts = 2
            await sending.until(len(arriving) * part // 5 + 5)
            await process.kill()
            await process.start()
        proxy.cuts = 1

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(trouble())
        for _ in range(_SENDERS):
            tasks.create_task(sender())


async def _agree(engine: Engine, oracle: Oracle, since: datetime, until: datetime) -> None:
    span, edges = Span(since, until), [since + timedelta(hours=hour) for hour in range(27)]
    assert await engine.series(edges, Filter(audience="all")) == oracle.series(edges, Filter(audience="all"))
    assert await engine.totals(span, Filter()) == oracle.totals(span, Filter())
    ranked: tuple[Dimension, ...] = ("slug", "country")
    for dimension in ranked:
        asked = (dimension, span, Filter(), 1000)
        assert await engine.breakdown(*asked) == oracle.breakdown(*asked)
    assert await engine.stock(edges) == oracle.stock(edges)
