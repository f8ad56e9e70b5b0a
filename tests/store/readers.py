"""Readers of a database that want to know who has served them, and a writer."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from pastebin.positions import Position
from pastebin.store.connections import Connection
from pastebin.store.database import Database
from tests.cluster import Site

WHO = "select current_setting('cluster_name')"


async def who(connection: Connection) -> str:
    return str(await connection.fetchval(WHO))


async def write(database: Database) -> Position:
    """Make a change; where it is."""
    async with database.primary() as connection:
        await connection.execute("create table if not exists notes (text text)")
        await connection.execute("insert into notes values ('x')")
        return await database.position_of(connection)


async def served(database: Database, times: int, **how: Any) -> Counter[str]:
    """Names of the servers that served so many reads, four at a time."""
    names: Counter[str] = Counter()

    async def one() -> None:
        names[await database.read(who, **how)] += 1

    for _ in range(times // 4):
        await asyncio.gather(*(one() for _ in range(4)))
    return names


def state(database: Database, site: Site) -> str:
    (report,) = [report for report in database.topology() if report.name == site.name]
    return report.state
