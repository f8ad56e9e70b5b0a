"""The analytics database: found, made if need be, opened, and looked after for as long as the role runs.

It may be away, at the start too: whoever asks meanwhile is told so, and it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from importlib import import_module
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

from pastebin.analytics.engines import Dimension, Engine, Filter, Span, Stock, Totals
from pastebin.errors import ConfigError, Problem, ResourceUnavailable, StartError, Unavailable
from pastebin.metrics import Metrics
from pastebin.sections import AnalyticsSection
from pastebin.visits import Batch

log = logging.getLogger(__name__)

_OPEN_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
_RETRY_SECONDS = 5.0
_ROLL_SECONDS = 5.0
_RETAIN_SECONDS = 3600.0
# Rolling takes no more than a part of the time: the rest is for questions and for what comes in.
_REST = 3
_NAME = re.compile(r"[^\x00-\x1f]{1,63}")


class Keeping:
    """An Engine that may not be there yet: then every method raises Unavailable."""

    def __init__(self, section: AnalyticsSection, primary_dsn: str, metrics: Metrics) -> None:
        self._section = section
        self._primary_dsn = primary_dsn
        self._metrics = metrics
        self._stack = AsyncExitStack()
        self._engine: Engine | None = None
        self.trouble: str | None = "not opened yet"

    async def open(self) -> None:
        """Have an engine. Raises a StartError, which is a ResourceUnavailable where it may be there another time."""
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                dsn = self._section.database.reveal()
                if not dsn:
                    dsn = beside(self._primary_dsn)
                    await create(dsn, self._primary_dsn)
                self._engine = await self._stack.enter_async_context(engine(self._section, dsn))
                self.trouble = None
        except StartError as error:
            self.trouble = error.detail
            raise
        except TimeoutError:
            self.trouble = "the analytics database does not answer"
            raise ResourceUnavailable(f"analytics.database: no answer in {_OPEN_SECONDS:g} s") from None

    async def close(self) -> None:
        self._engine = None
        await self._stack.aclose()

    def notices(self) -> Sequence[str]:
        """What is wrong, for operators."""
        return [self.trouble] if self.trouble else []

    async def check(self) -> str | None:
        """What was wrong at the last look."""
        return self.trouble

    async def run(self, tick: Callable[[], object] = lambda: None) -> None:
        """Until cancelled: open what is away, roll, drop what is old; `tick` is called every round."""
        loop = asyncio.get_running_loop()
        retained_at = -_RETAIN_SECONDS
        while True:
            began = loop.time()
            tick()
            try:
                if self._engine is None:
                    await self.open()
                    log.info("the analytics database is there")
                await self.roll(datetime.now(UTC))
                if began - retained_at >= _RETAIN_SECONDS:
                    await self.retain(datetime.now(UTC))
                    retained_at = began
                self.trouble = None
                self._metrics.background_success.labels("analytics-rolling").set_to_current_time()
            except (StartError, Unavailable) as error:
                self.trouble = error.detail
                log.warning("analytics: %s", error.detail)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            await asyncio.sleep(max(_ROLL_SECONDS, _REST * (loop.time() - began)))

    async def take(self, batch: Batch, received_at: datetime) -> bool:
        return await self._here().take(batch, received_at)

    async def totals(self, span: Span, which: Filter) -> Totals:
        return await self._here().totals(span, which)

    async def series(self, edges: Sequence[datetime], which: Filter) -> list[Totals]:
        return await self._here().series(edges, which)

    async def breakdown(
        self, dimension: Dimension, span: Span, which: Filter, limit: int, after: tuple[int, str] | None = None
    ) -> list[tuple[str, Totals]]:
        return await self._here().breakdown(dimension, span, which, limit, after)

    async def stock(self, edges: Sequence[datetime]) -> list[Stock]:
        return await self._here().stock(edges)

    async def roll(self, now: datetime) -> None:
        await self._here().roll(now)

    async def retain(self, now: datetime) -> None:
        await self._here().retain(now)

    def _here(self) -> Engine:
        if self._engine is None:
            raise Unavailable("The analytics database is not there at the moment; try again shortly.")
        return self._engine


def engine(section: AnalyticsSection, dsn: str) -> AbstractAsyncContextManager[Engine]:
    """The engine for such a database; the other one's code need not even be there."""
    is_postgres = urlsplit(dsn).scheme in ("postgresql", "postgres")
    name, kind = ("postgres", "PostgresEngine") if is_postgres else ("clickhouse", "ClickHouseEngine")
    try:
        module = import_module(f"pastebin.analytics.engines.{name}")
    except ModuleNotFoundError as error:
        raise ConfigError([Problem("analytics.database", f"needs {error.name}, which is not installed")]) from error
    opened: AbstractAsyncContextManager[Engine] = getattr(module, kind).opened(section, dsn)
    return opened


def beside(dsn: str) -> str:
    """The database NAME_analytics of the server on which NAME is. Raises ConfigError."""
    parts = urlsplit(dsn)
    name = unquote(parts.path[1:])
    if not name or not _NAME.fullmatch(f"{name}_analytics"):
        message = "must be given: database.primary names no database beside which NAME_analytics could be"
        raise ConfigError([Problem("analytics.database", message)])
    return urlunsplit(parts._replace(path=f"/{quote(name, safe='')}_analytics"))


async def create(dsn: str, neighbour: str) -> None:
    """See that the database is there. Raises ConfigError if it may not be made, ResourceUnavailable."""
    try:
        await _execute(dsn, "select")
    except asyncpg.InvalidCatalogNameError:
        name = unquote(urlsplit(dsn).path[1:])
        quoted = '"' + name.replace('"', '""') + '"'
        try:
            await _execute(neighbour, f"create database {quoted}")
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            return  # another node was faster
        except asyncpg.InsufficientPrivilegeError as error:
            message = f"is empty, and database {name} could not be made: run createdb {name}, or name another one here"
            raise ConfigError([Problem("analytics.database", message)]) from error


async def _execute(dsn: str, statement: str) -> None:
    try:
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_SECONDS, command_timeout=_OPEN_SECONDS)
        try:
            await connection.execute(statement)
        finally:
            await connection.close(timeout=_CONNECT_SECONDS)
    except (
        OSError,
        TimeoutError,
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InterfaceError,
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.TooManyConnectionsError,
    ) as error:
        raise ResourceUnavailable(f"analytics.database cannot be reached: {error or type(error).__name__}") from error
