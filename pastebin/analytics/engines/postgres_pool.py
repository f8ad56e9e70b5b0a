"""Connections to the analytics database: every wait has an end, and the driver's errors become words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import asyncpg

from pastebin.sections import AnalyticsSection
from pastebin.store import connections
from pastebin.store.connections import REFUSALS, Connection, Link, Pool, translated

_CONNECT_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
# Longer than anything that is asked: each statement brings its own deadline.
_STATEMENT_MS = 330_000


@asynccontextmanager
async def opened_pool(section: AnalyticsSection, dsn: str) -> AsyncIterator[Pool]:
    """Connections are made when they are needed."""
    pool: Pool = await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=section.pool_size,
        connect=connections.connect,
        connection_class=Link,
        record_class=asyncpg.Record,
        timeout=_CONNECT_SECONDS,
        command_timeout=section.question_timeout_seconds,
        server_settings={
            "application_name": "pastebin analytics",
            "statement_timeout": str(_STATEMENT_MS),
            "idle_in_transaction_session_timeout": str(_STATEMENT_MS),
            "jit": "off",
            # rolling sorts and groups whole hours
            "work_mem": "64MB",
        },
    )
    try:
        yield pool
    finally:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
        except (TimeoutError, *REFUSALS):
            pool.terminate()


@asynccontextmanager
async def borrowed(pool: Pool, seconds: float) -> AsyncIterator[Connection]:
    """A connection, if one becomes free in time. Raises as `translated` does."""
    with translated():
        async with pool.acquire(timeout=seconds) as link:
            yield cast(Connection, link)
