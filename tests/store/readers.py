"""Readers of a database that want to know who has served them, and a writer."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from pastebin.positions import Position
from pastebin.store.connections import Connection
from pastebin.store.database import Database
from tests.cluster import Site

_SECONDS = 120.0
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


async def everybody(database: Database, *sites: Site, **how: Any) -> None:
    """Read until each of them has served, and nobody else ever does.

    How soon that is depends on chance, and on how long ago one of them was late.
    """
    wanted = {site.server.name for site in sites}
    missing = set(wanted)
    async with asyncio.timeout(_SECONDS):
        while missing:
            names = await served(database, 8, **how)
            assert names.keys() <= wanted
            missing -= names.keys()


def state(database: Database, site: Site) -> str:
    (report,) = [report for report in database.topology() if report.name == site.name]
    return report.state
