"""The database schema: numbered migrations, applied by one node at a time, checked by every node at start.

Files are `NNNN_expand_what.sql` (safe while older code runs: new tables, columns, indexes) or `NNNN_contract_what.sql`
(one release later: what no running code needs any more). A file that has been applied never changes. An index of a
table that is in use has a file of its own, with nothing else in it: it is built while the table is written to.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources

import asyncpg

from pastebin.errors import ResourceUnavailable, SchemaMismatch

_LOCK = 0x7061737465  # "paste", as a session advisory lock
_LOCK_SECONDS, _LOCK_PAUSE_SECONDS = 60.0, 0.1
_APPLY_SECONDS = 86_400.0  # an index of a large table takes its time
_NAME = re.compile(r"(\d{4})_(expand|contract)_[a-z0-9_]+\.sql")
_TABLE = """
create table if not exists schema_migrations (
    version    integer primary key,
    name       text not null,
    sha256     text not null,
    applied_at timestamptz not null default now()
)
"""
_INDEX = re.compile(r"(?:\s|--[^\n]*\n)*create (?:unique )?index (?P<name>[a-z_]+) on [^;]*;?\s*")
_TRY_LOCK = "select pg_try_advisory_lock($1)"
_APPLIED = "select version, name, sha256 from schema_migrations order by version"
_EXISTS = "select to_regclass('schema_migrations') is not null"
_RECORD = "insert into schema_migrations (version, name, sha256) values ($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name and its SQL."""

    version: int
    name: str
    sql: str = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped(room: str = "pastebin.store") -> list[Migration]:
    """The migrations of this version of the code, in order; each database has a room of the code that knows it."""
    found = []
    for file in resources.files(room).joinpath("migrations").iterdir():
        if match := _NAME.fullmatch(file.name):
            found.append(Migration(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def pending(migrations: Sequence[Migration], applied: Sequence[tuple[int, str, str]]) -> list[Migration]:
    """What is still to be applied. Raises SchemaMismatch for a changed file or a schema newer than the code.

    A newer schema is fine as long as it only expanded: older nodes go on during a rolling upgrade.
    """
    known = {migration.version: migration for migration in migrations}
    for version, name, sha256 in applied:
        migration = known.get(version)
        if migration is None and "_expand_" in name:
            continue
        if migration is None:
            raise SchemaMismatch(
                f"the database schema is newer than this pastebin ({name} was applied): upgrade pastebin"
            )
        if migration.sha256 != sha256:
            raise SchemaMismatch(f"migration {name} was changed after it was applied: restore the file as it was")
    done = {version for version, _, _ in applied}
    return [migration for migration in migrations if migration.version not in done]


async def check(dsn: str) -> list[str]:
    """The names of the migrations that `migrate` would apply; an unreachable database raises ResourceUnavailable."""
    async with _connected(dsn) as connection:
        return await lacking(connection)


async def lacking(connection: asyncpg.Connection) -> list[str]:
    """The same for a connection, to a replica if need be: it has the primary's schema. Raises SchemaMismatch."""
    return [migration.name for migration in pending(shipped(), await _applied(connection))]


async def migrate(dsn: str, room: str = "pastebin.store", option: str = "database.primary") -> list[str]:
    """Apply what is pending, each file whole or not at all, and return the names; concurrent callers take turns.

    `option` is what its configuration calls the database.
    """
    async with _connected(dsn, option) as connection:
        await _wait_for_turn(connection)
        await connection.execute(_TABLE)
        todo = pending(shipped(room), await _applied(connection))
        for migration in todo:
            await _apply(connection, migration)
        return [migration.name for migration in todo]


async def _wait_for_turn(connection: asyncpg.Connection) -> None:
    """Ask again and again: a statement that waits has a snapshot, for whose end the building of an index waits."""
    ends = time.monotonic() + _LOCK_SECONDS
    while not await connection.fetchval(_TRY_LOCK, _LOCK):
        if time.monotonic() >= ends:
            raise ResourceUnavailable("another node has been migrating the database for a minute; try again later")
        await asyncio.sleep(_LOCK_PAUSE_SECONDS)


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    record = (_RECORD, migration.version, migration.name, migration.sha256)
    try:
        if (index := _INDEX.fullmatch(migration.sql)) is not None:
            # outside of a transaction, so an attempt that was broken off has left what nobody can use
            await connection.execute(f"drop index concurrently if exists {index['name']}", timeout=_APPLY_SECONDS)
            sql = migration.sql.replace(f"index {index['name']} on", f"index concurrently {index['name']} on", 1)
            await connection.execute(sql, timeout=_APPLY_SECONDS)
            await connection.execute(*record)
            return
        async with connection.transaction():
            # Waiting for a lock queues every later query behind us: give up early, the runner can be called again.
            await connection.execute("set local lock_timeout = '5s'")
            await connection.execute(migration.sql, timeout=_APPLY_SECONDS)
            await connection.execute(*record)
    except asyncpg.PostgresError as error:
        raise SchemaMismatch(f"migration {migration.name} failed: {error}") from error


async def _applied(connection: asyncpg.Connection) -> list[tuple[int, str, str]]:
    if not await connection.fetchval(_EXISTS):
        return []
    return [(row["version"], row["name"], row["sha256"]) for row in await connection.fetch(_APPLIED)]


@asynccontextmanager
async def _connected(dsn: str, option: str = "database.primary") -> AsyncIterator[asyncpg.Connection]:
    from_database = None
    try:
        from_database = await asyncpg.connect(dsn, timeout=10, command_timeout=600)
        yield from_database
    except (
        OSError,
        TimeoutError,
        asyncpg.PostgresConnectionError,
        asyncpg.InvalidAuthorizationSpecificationError,
    ) as error:
        raise ResourceUnavailable(f"{option} cannot be reached: {error or type(error).__name__}") from error
    except asyncpg.InvalidCatalogNameError as error:
        raise ResourceUnavailable(f"{option}: {error}; create it with: createdb") from error
    finally:
        if from_database is not None:
            await from_database.close(timeout=5)
