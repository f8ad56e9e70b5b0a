"""The engine on ClickHouse keeps the promises of every engine, on Debian's old server and in today's dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from pastebin.analytics.engines import Engine
from pastebin.analytics.engines.clickhouse import ClickHouseEngine
from pastebin.sections import AnalyticsSection
from tests.analytics.contract import EngineContract, Opening
from tests.clickhouse import Server, fresh_database


class TestClickHouse(EngineContract):
    @pytest.fixture
    @staticmethod
    async def opening(either_clickhouse: Server) -> AsyncIterator[Opening]:
        async with fresh_database(either_clickhouse) as name:

            def opened(**options: Any) -> AbstractAsyncContextManager[Engine]:
                return ClickHouseEngine.opened(
                    AnalyticsSection(**options), either_clickhouse.dsn(name), collect_seconds=0
                )

            yield opened
