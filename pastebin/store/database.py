"""The SQL servers behind one door: who asks says whether a replica will do; every wait has an end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import asyncpg
import orjson

from pastebin.errors import DatabaseUnavailable, Overloaded, ResourceUnavailable, StorageFull, UploadTooSlow
from pastebin.positions import Position
from pastebin.sections import DatabaseSection

log = logging.getLogger(__name__)

_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a server that dies while it is asked can confuse the driver
    OSError,
    TimeoutError,
)


class Database:
    """The primary and whoever may be read instead of it; without replicas that is the primary itself."""

    def __init__(self, section: DatabaseSection, pool: asyncpg.Pool) -> None:
        self._section = section
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def opened(cls, section: DatabaseSection, dsn: str) -> AsyncIterator[Database]:
        """Connect, or raise ResourceUnavailable with what is wrong; closing waits a moment for statements under way."""
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=section.pool_size,
                timeout=section.connect_timeout_seconds,
                command_timeout=section.command_timeout_seconds,
                init=_prepare,
                reset=_as_it_is,
                server_settings={
                    "application_name": "pastebin",
                    # the server gives up by itself a moment after we did, so that no lock outlives its request
                    "statement_timeout": str(int(section.command_timeout_seconds * 1000) + 1000),
                    "idle_in_transaction_session_timeout": "30000",
                },
            )
        except (*_AWAY, asyncpg.PostgresError) as error:
            raise ResourceUnavailable(f"database.primary cannot be used: {error or type(error).__name__}") from error
        try:
            yield cls(section, pool)
        finally:
            try:
                async with asyncio.timeout(5):
                    await pool.close()
            except TimeoutError:
                log.warning("database connections did not close in 5 s; cutting them")
                pool.terminate()

    @property
    def has_replicas(self) -> bool:
        """Whether readers may be given anything but the primary."""
        return False

    @asynccontextmanager
    async def primary(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to the primary. Raises DatabaseUnavailable, Overloaded, StorageFull."""
        with translated():
            try:
                connection = await self._pool.acquire(timeout=self._section.acquire_timeout_seconds)
            except TimeoutError:
                raise Overloaded("Every database connection is busy; try again shortly.") from None
            try:
                yield cast(asyncpg.Connection, connection)  # the proxy of a pool has the methods of a connection
            finally:
                await self._pool.release(connection, timeout=self._section.acquire_timeout_seconds)

    @asynccontextmanager
    async def reader(self, *, at: Position | None = None) -> AsyncIterator[asyncpg.Connection]:
        """A connection for reading what may be a moment old, but has seen everything up to `at`."""
        async with self.primary() as connection:
            yield connection

    async def answers(self) -> bool:
        """Whether the primary answers a trivial question now."""
        try:
            async with self.primary() as connection:
                await connection.fetchval("select 1", timeout=1.0)
        except (DatabaseUnavailable, Overloaded):
            return False
        return True


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into the domain's words, once, at this border."""
    try:
        yield
    except (asyncpg.DiskFullError, asyncpg.OutOfMemoryError) as error:
        raise StorageFull from error
    except asyncpg.ForeignKeyViolationError as error:
        # the only rows of others that ours point to are the blobs of an upload, which can be given up as abandoned
        raise UploadTooSlow("The upload was given up because it stood still; please send it again.") from error
    except asyncpg.QueryCanceledError as error:
        raise Overloaded("The database took too long; try again shortly.") from error
    except _AWAY as error:
        log.warning("database away: %s", error or type(error).__name__)
        raise DatabaseUnavailable from error


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_json, decoder=orjson.loads)


async def _as_it_is(_connection: asyncpg.Connection) -> None:
    """Nobody here changes settings, listens or takes session locks, so there is nothing to ask a round trip for."""


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()
