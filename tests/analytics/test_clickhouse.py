"""The engine on ClickHouse keeps the promises of every engine, on Debian's old server and in today's dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from pastebin.analytics.engines import Engine
from pastebin.analytics.engines.clickhouse import ClickHouse
from tests.analytics.contract import EngineContract, Opening
from tests.clickhouse import Server, fresh_database


class TestClickHouse(EngineContract):
    @pytest.fixture(params=["old_clickhouse", "new_clickhouse"], scope="session")
    @staticmethod
    def server(request: pytest.FixtureRequest) -> Server:
        found: Server = request.getfixturevalue(request.param)
        return found

    @pytest.fixture
    @staticmethod
    async def opening(server: Server) -> AsyncIterator[Opening]:
        async with fresh_database(server) as name:

            def opened(**options: Any) -> AbstractAsyncContextManager[Engine]:
                return ClickHouse.opened(server.section(name, **options), collect_seconds=0)

            yield opened
