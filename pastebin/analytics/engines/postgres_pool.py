"""Connections to the analytics database: every wait has an end, and the driver's errors become words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, cast

import asyncpg

from pastebin.sections import AnalyticsSection
from pastebin.store import connections
from pastebin.store.connections import AWAY, REFUSALS, Connection, Link, Pool, translated

_CONNECT_SECONDS = 5.0
_CLOSE_SECONDS = 5.0
# A statement that was given up is to be cancelled, a transaction to be rolled back, within this; else they are cut off.
_END_SECONDS = 1.0
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
        link = cast(Link, await pool.acquire(timeout=seconds))
        try:
            yield link
        finally:
            with suppress(TimeoutError, *AWAY):  # the driver has cut it then
                await pool.release(link, timeout=_END_SECONDS)  # type: ignore[arg-type]  # the pool's proxy of a link


@asynccontextmanager
async def transaction(
    connection: Connection, *, isolation: Literal["repeatable_read"] | None = None, readonly: bool = False
) -> AsyncIterator[None]:
    """A transaction that does not keep one who has given up waiting for a server that does not answer."""
    begun = connection.transaction(isolation=isolation, readonly=readonly)
    await begun.start()
    try:
        yield
    except BaseException:
        await end(connection, begun.rollback)
        raise
    await begun.commit()


async def end(connection: Connection, tidy: Callable[[], Awaitable[object]]) -> None:
    """Tidy a connection up; where that cannot be done in a moment it is cut, which tidies up as well."""
    if connection.is_closed():
        return
    try:
        async with asyncio.timeout(_END_SECONDS):
            await tidy()
    except REFUSALS:
        cast(Link, connection).terminate()
