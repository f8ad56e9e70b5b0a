"""A connection that ends in the middle of something, and whose fault that is."""

from __future__ import annotations

import asyncpg
import pytest

from pastebin.errors import DatabaseUnavailable
from pastebin.positions import Position
from pastebin.sections import DatabaseSection
from pastebin.store.connections import Connection
from pastebin.store.database import LSN, Database, position_at
from tests.cluster import until


async def ended(connection: Connection, dsn: str) -> None:
    """Have the server end it, and wait until that is known here."""
    pid = connection.get_server_pid()
    other = await asyncpg.connect(dsn)
    try:
        await other.fetchval("select pg_terminate_backend($1)", pid)
    finally:
        await other.close()

    def is_closed() -> bool:
        try:
            return connection.is_closed()
        except asyncpg.InterfaceError:  # the pool has taken it back
            return True

    await until(is_closed)


async def test_a_connection_that_ends_after_the_answer_is_the_trouble_of_the_database(database_dsn: str) -> None:
    """Whatever the driver trips over then, it is no fault of the program."""

    async def place(connection: Connection) -> Position:
        lsn = await connection.fetchval(f"select {LSN}")
        await ended(connection, database_dsn)
        return position_at(connection, lsn)

    async def step(connection: Connection) -> None:
        await ended(connection, database_dsn)
        connection.status  # type: ignore[attr-defined]  # noqa: B018  (as the driver's own next step)

    async with Database.opened(DatabaseSection(), database_dsn) as database:
        for question in (place, step):
            with pytest.raises(DatabaseUnavailable):
                await database.read(question)


async def test_a_fault_of_the_program_stays_one(database_dsn: str) -> None:
    async def wrong(connection: Connection) -> None:
        connection.nothing  # type: ignore[attr-defined]  # noqa: B018

    async with Database.opened(DatabaseSection(), database_dsn) as database:
        with pytest.raises(AttributeError):
            await database.read(wrong)
