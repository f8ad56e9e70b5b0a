"""A node of a region reads the replicas of its region, while one of them is usable."""

from __future__ import annotations

from pastebin.store.database import Database
from tests.cluster import Servers, until
from tests.store.readers import everybody, served, write


async def test_near_ones_are_read_while_one_of_them_is_usable(servers: Servers) -> None:
    near, other, far = servers.replicas
    section = servers.section(near=[near.name, other.name], wait_for_replay_seconds=10.0)
    async with Database.opened(section, servers.primary.dsn) as database:
        await everybody(database, near, other)
        near.proxy.refuse()
        await until(lambda: any(report.state == "down" for report in database.topology()))
        assert await served(database, 20) == {other.server.name: 20}
        await other.pause()
        at = await write(database)
        assert await served(database, 20, at=at) == {far.server.name: 20}
        await near.proxy.restore()
        await until(lambda: all(report.state == "up" for report in database.topology()))
        assert await served(database, 20, at=at) == {near.server.name: 20}
        await until(lambda: database.notices() == [])


async def test_that_nobody_is_near_is_told(servers: Servers) -> None:
    async with Database.opened(servers.section(near=["db.example"]), servers.primary.dsn) as database:
        await everybody(database, *servers.replicas)
        assert database.notices() == ["database.near: names none of the servers"]
