from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from pastebin.embedded.replica import create_replica, replica
from pastebin.embedded.server import Server, primary
from pastebin.errors import ResourceUnavailable
from pastebin.sections import EmbeddedSection
from tests.embedded.servers import eventually, execute, fetchval

NOTES = "select array_agg(text order by text) = $1::text[] from notes"


@pytest.fixture
async def source(section: EmbeddedSection, data_dir: Path) -> AsyncIterator[Server]:
    async with primary(section, data_dir) as server:
        yield server


async def test_a_row_arrives_on_a_replica_that_can_be_promoted(source: Server, reachable_path: Path) -> None:
    await execute(source, "insert into notes values ('before')")
    async with replica(source, reachable_path / "replica", name="fra-1") as copy:
        await execute(source, "insert into notes values ('during')")
        await eventually(copy, NOTES, ["before", "during"])
        assert await fetchval(copy, "select pg_is_in_recovery()")
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await execute(copy, "insert into notes values ('here')")
        state = (
            "select state || ' ' || (sync_state = 'async') from pg_stat_replication where application_name = 'fra-1'"
        )
        assert await fetchval(source, state) == "streaming true"
        await copy.promote()
        await execute(copy, "insert into notes values ('promoted')")
        assert not await fetchval(copy, "select pg_is_in_recovery()")
        assert await fetchval(source, "select count(*) from notes") == 2
    with pytest.raises(ResourceUnavailable, match="is no replica any more"):
        await create_replica(source, reachable_path / "replica", name="fra-1", settings={})


async def test_one_that_was_stopped_catches_up(source: Server, reachable_path: Path) -> None:
    directory = reachable_path / "replica"
    async with replica(source, directory, name="r") as copy:
        identifier = await fetchval(copy, "select system_identifier from pg_control_system()")
    await execute(source, "insert into notes values ('meanwhile')")
    await execute(source, "select pg_switch_wal()")
    await execute(source, "checkpoint")
    async with replica(source, directory, name="r") as copy:
        await eventually(copy, NOTES, ["meanwhile"])
        assert await fetchval(copy, "select system_identifier from pg_control_system()") == identifier


async def test_one_that_was_killed_catches_up(source: Server, reachable_path: Path) -> None:
    async with replica(source, reachable_path / "replica", name="r") as copy:
        assert copy.pid is not None
        os.kill(copy.pid, signal.SIGKILL)
        await copy.stop()
        await execute(source, "insert into notes values ('meanwhile')")
        await copy.start()
        await eventually(copy, NOTES, ["meanwhile"])


async def test_a_replica_lags_as_it_is_told(source: Server, reachable_path: Path) -> None:
    settings = {"recovery_min_apply_delay": "1h"}
    async with replica(source, reachable_path / "late", name="late", settings=settings) as late:
        assert await fetchval(late, "show recovery_min_apply_delay") == "1h"
        await execute(source, "insert into notes values ('new')")
        written = await fetchval(source, "select pg_current_wal_lsn()")
        await eventually(late, "select pg_last_wal_receive_lsn() >= $1", written)
        assert await fetchval(late, "select count(*) from notes") == 0
        assert await fetchval(source, "select count(*) from notes") == 1


async def test_a_replica_follows_its_primary_through_a_crash(source: Server, reachable_path: Path) -> None:
    async with replica(source, reachable_path / "replica", name="r") as copy:
        assert source.pid is not None
        os.kill(source.pid, signal.SIGKILL)
        await source.stop()
        await source.start()
        await execute(source, "insert into notes values ('after')")
        await eventually(copy, NOTES, ["after"])


async def test_several_replicas_stand_side_by_side(source: Server, reachable_path: Path) -> None:
    async with (
        replica(source, reachable_path / "a", name="a") as first,
        replica(source, reachable_path / "b", name="b") as second,
    ):
        assert first.socket_dir != second.socket_dir
        await execute(source, "insert into notes values ('x')")
        await eventually(first, NOTES, ["x"])
        await eventually(second, NOTES, ["x"])
        assert await fetchval(source, "select count(*) from pg_replication_slots where active") == 2


@pytest.mark.parametrize("name", ["", "-a", "A", "a b", "a'b", "a_b", "a" * 60])
async def test_names_that_no_slot_can_have_are_refused(source: Server, reachable_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        await create_replica(source, reachable_path / "replica", name=name, settings={})


async def test_a_setting_that_does_not_exist_is_named(source: Server, reachable_path: Path) -> None:
    with pytest.raises(ResourceUnavailable, match="unrecognized configuration parameter"):
        await create_replica(source, reachable_path / "replica", name="r", settings={"recovery_delay": "2s"})
