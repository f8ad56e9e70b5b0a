"""The engine in PostgreSQL keeps the contract, and what is its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pastebin.analytics.engines import Engine
from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.sections import AnalyticsSection
from tests.analytics.contract import EngineContract, Opening


@pytest.fixture
def opening(empty_database_dsn: str) -> Opening:
    @asynccontextmanager
    async def opened(**options: object) -> AsyncIterator[Engine]:
        async with PostgresEngine.opened(AnalyticsSection(**options), empty_database_dsn) as engine:  # type: ignore[arg-type]
            yield engine

    return opened


class TestPostgresEngine(EngineContract):
    """What every engine promises."""
