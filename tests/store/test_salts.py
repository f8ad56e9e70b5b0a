"""Salts: the same for everybody who asks on one day, and after two days gone from wherever they were."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from pastebin.embedded import binaries
from pastebin.sections import DatabaseSection
from pastebin.store.database import Database
from pastebin.store.salts import SaltStore
from pastebin.visitors import Salts, pseudonyms
from tests.cluster import cluster
from tests.store.stores import connected
from tests.stored import SECTION, Stored

_DAY = timedelta(days=1)
_FILE = "select pg_relation_filepath('salts'), setting from pg_settings where name = 'data_directory'"


async def test_many_who_ask_first_get_the_same(stored: Stored) -> None:
    async def ask() -> Salts:
        return await SaltStore(stored.database).fetch()

    asked = await asyncio.gather(*(ask() for _ in range(10)))
    assert len({salts.current for salts in asked}) == 1
    assert len(asked[0].current) == 16
    assert asked[0].previous == b""


async def test_the_salt_of_today_is_that_of_yesterday_tomorrow_and_then_it_is_gone(stored: Stored) -> None:
    store = SaltStore(stored.database)
    first = await store.fetch()
    second = await store.fetch(_DAY)
    assert (second.period, second.previous) == (first.period + 1, first.current)
    assert second.current != first.current
    third = await store.fetch(2 * _DAY)
    assert third.previous == second.current
    rows = await stored.sql("select salt from salts")
    assert {row["salt"] for row in rows} == {third.current, third.previous}


async def test_a_clock_that_goes_back_over_midnight_makes_no_new_salt(stored: Stored) -> None:
    """As it may after a failover."""
    store = SaltStore(stored.database)
    today = await store.fetch()
    tomorrow = await store.fetch(_DAY)
    assert (await store.fetch()).current == today.current
    assert (await store.fetch(_DAY)).current == tomorrow.current


async def test_after_a_failover_the_table_is_empty_and_a_new_salt_is_made(stored: Stored) -> None:
    store = SaltStore(stored.database)
    before = await store.fetch()
    await stored.sql("truncate salts")
    after = await store.fetch()
    assert after.period == before.period
    assert after.current != before.current


async def test_no_salt_reaches_the_log_of_the_database(stored: Stored) -> None:
    ((persistence,),) = await stored.sql("select relpersistence::text from pg_class where relname = 'salts'")
    assert persistence == "u"


async def test_the_file_with_a_destroyed_salt_is_gone(stored: Stored) -> None:
    """Rows that are only deleted stay in it until somebody needs their room."""
    store = SaltStore(stored.database)
    await store.fetch()
    await store.fetch(_DAY)
    ((before, folder),) = await stored.sql(_FILE)
    await store.fetch(2 * _DAY)
    await stored.sql("checkpoint")
    ((after, _),) = await stored.sql(_FILE)
    assert after != before
    left = Path(folder) / before
    assert not left.exists() or not left.stat().st_size


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with Database.opened(DatabaseSection(), database_dsn) as opened:
        yield opened


async def test_after_two_days_a_dump_of_everything_leads_to_nobody(database: Database, database_dsn: str) -> None:
    """Whoever has every byte that is kept, and knows every address there is, makes none of the pseudonyms."""
    store = SaltStore(database)
    known = [(str(address), "Mozilla/5.0", "h8Kq2ZtV0aB") for address in ip_network("192.0.2.0/24")]
    kept = {pseudonyms(await store.fetch(), *reader)[1] for reader in known[100:110]}
    async with connected(database_dsn) as connection:
        # as an engine keeps them
        await connection.execute("create table seen (visitor bigint)")
        await connection.executemany("insert into seen values ($1)", [(number,) for number in kept])

    assert _matched(await _dump(database_dsn), known, kept) == kept
    await store.fetch(_DAY)
    assert _matched(await _dump(database_dsn), known, kept) == kept  # yesterday's salt is still needed
    await store.fetch(2 * _DAY)
    dump = await _dump(database_dsn)
    assert all(str(number) in dump for number in kept)
    assert not _matched(dump, known, kept)


async def test_a_primary_that_takes_over_has_no_salt_and_makes_one() -> None:
    """None has ever reached a replica."""
    async with cluster(replicas=1) as servers:
        replica = servers.replicas[0]
        async with Database.opened(SECTION, servers.primary.dsn) as before:
            old = await SaltStore(before).fetch()
        await servers.caught_up()
        await replica.ask("select pg_promote()")
        async with Database.opened(SECTION, replica.dsn) as after:
            new = await SaltStore(after).fetch()
            assert await SaltStore(after).fetch() == new
    assert new.period in (old.period, old.period + 1)
    assert new.current not in (old.current, b"")
    assert new.previous == b""


def _matched(dump: str, known: list[tuple[str, str, str]], kept: set[int]) -> set[int]:
    """The pseudonyms that known readers have under anything in the dump that could be a salt."""
    lines = dump.partition("COPY public.salts")[2].partition("\\.")[0].splitlines()[1:]
    salts = [bytes.fromhex(line.rpartition("\\x")[2].strip()) for line in lines if "\\x" in line]
    made = {pseudonyms(Salts(1, salt), *reader)[1] for salt in salts for reader in known}
    return made & kept


async def _dump(dsn: str) -> str:
    program = binaries.find().program("pg_dump")
    process = await asyncio.create_subprocess_exec(program, dsn, stdout=subprocess.PIPE)
    content, _ = await process.communicate()
    assert process.returncode == 0
    return content.decode()
