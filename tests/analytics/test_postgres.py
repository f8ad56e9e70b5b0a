"""The engine in PostgreSQL keeps the contract, and what is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from pastebin.analytics.engines import Engine
from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.analytics.questions import read
from pastebin.analytics.reporting import Reporting
from pastebin.errors import Unavailable
from pastebin.reports import ReportQuery
from pastebin.sections import AnalyticsSection
from tests.analytics.contract import EngineContract, Opening
from tests.postgres import Server
from tests.tcp_proxy import TcpProxy


@pytest.fixture
def opening(empty_database_dsn: str) -> Opening:
    @asynccontextmanager
    async def opened(**options: object) -> AsyncIterator[Engine]:
        async with PostgresEngine.opened(AnalyticsSection(**options), empty_database_dsn) as engine:  # type: ignore[arg-type]
            yield engine

    return opened


class TestPostgresEngine(EngineContract):
    """What every engine promises."""


async def test_a_question_ends_when_its_time_is_up(postgres: Server, empty_database_dsn: str) -> None:
    """A database that has frozen answers neither a statement nor its cancellation, nor the end of a transaction."""
    section = AnalyticsSection(question_timeout_seconds=60)
    async with TcpProxy.opened(postgres.socket_dir / ".s.PGSQL.5432") as proxy:
        name = urlsplit(empty_database_dsn).path
        dsn = f"postgresql://pastebin@127.0.0.1:{proxy.port}{name}?sslmode=disable"
        async with PostgresEngine.opened(section, dsn) as engine:
            _, question = read(ReportQuery, {"since": "24h"}, datetime.now(UTC), timedelta(days=400))
            reporting = Reporting(engine, seconds=60)
            await reporting.overview(question)
            proxy.black_hole()
            async with asyncio.timeout(60):
                with pytest.raises(Unavailable, match=r"not answered within 0\.5 s"):
                    await Reporting(engine, seconds=0.5).overview(question)
            await proxy.restore()
            await reporting.overview(question)
