"""The sweeper on both stores: what nobody refers to goes in time, what is lost is told, nothing else is touched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.metrics import Metrics
from pastebin.sections import BlobsSection, DatabaseSection, SweepingSection
from pastebin.services.reconciling import Pace, differences
from pastebin.services.sweeping import Sweeping
from pastebin.store.blobs import BlobEntry, Blobs, new_key
from pastebin.store.database import Database
from pastebin.store.leftovers import Known, Leftovers

KEYS = st.lists(st.text("0123456789abcdef", min_size=32, max_size=32), max_size=20)


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    async with Database.opened(DatabaseSection(), database_dsn) as found:
        yield found


def sweeping(database: Database, blobs: Blobs, *, grace: float = 0, rate: float = 1000) -> Sweeping:
    # a grace below zero stands for time that has passed: stores tell whole seconds only
    return Sweeping(
        Leftovers(database),
        blobs,
        SweepingSection(max_removals_per_second=rate, abandoned_seconds=1e-6),
        BlobsSection(grace_seconds=grace),
        Metrics(),
    )


async def stored(blobs: Blobs) -> str:
    key = new_key()
    async with blobs.writer(key) as writer:
        await writer.write(b"content")
        await writer.complete()
    return key


async def live(database: Database, key: str) -> None:
    """A row that a paste points to."""
    async with database.primary() as connection:
        await connection.execute(
            """
            with blob as (
                insert into blobs (key, state) values ($1, 'live')
            ), paste as (
                insert into pastes (slug, visibility, token_hash) values ($1, 'unlisted', $2) returning id
            ), revision as (
                insert into revisions (paste_id, number) select id, 1 from paste
            )
            insert into files (paste_id, revision, position, media_type, size, sha256, blob_key)
            select id, 1, 0, 'text/plain', 7, $2, $1 from paste
            """,
            key,
            bytes(32),
        )


async def keys(blobs: Blobs) -> set[str]:
    return {entry.key async for entry in blobs.entries()}


async def test_both_ways(database: Database, blobs: Blobs) -> None:
    kept = [await stored(blobs) for _ in range(5)]
    for key in kept:
        await live(database, key)
    unknown = {await stored(blobs) for _ in range(3)}
    lost = new_key()
    await live(database, lost)
    swept = sweeping(database, blobs, grace=-10)
    found = await swept.reconcile(dry_run=True)
    assert ({entry.key for entry in found.unknown}, found.missing) == (unknown, [lost])
    assert await keys(blobs) == {*kept, *unknown}
    found = await swept.reconcile()
    assert ({entry.key for entry in found.unknown}, found.missing) == (unknown, [lost])
    assert await keys(blobs) == set(kept)
    assert (await swept.reconcile()).unknown == []


async def test_nothing_goes_before_its_grace_is_over(database: Database, blobs: Blobs) -> None:
    await stored(blobs)
    assert (await sweeping(database, blobs, grace=3600).reconcile()).unknown == []
    assert len(await keys(blobs)) == 1


async def test_a_database_that_knows_nothing_removes_nothing(database: Database, blobs: Blobs) -> None:
    """A node with the wrong database must not empty the bucket."""
    await asyncio.gather(*(stored(blobs) for _ in range(100)))
    assert (await sweeping(database, blobs, grace=-10).reconcile()).unknown == []
    assert len(await keys(blobs)) == 100


async def test_removals_are_paced(database: Database, blobs: Blobs) -> None:
    made = [await stored(blobs) for _ in range(8)]
    async with database.primary() as connection:
        await connection.execute(
            "insert into blobs (key, state, changed_at) select k, 'deleting', '-infinity' from unnest($1::text[]) k",
            made,
        )
    swept = sweeping(database, blobs, rate=20)
    assert set(await swept.due()) == set(made)
    began = time.monotonic()
    await swept.sweep()
    assert await keys(blobs) == set()
    assert time.monotonic() - began >= 0.3  # 8 at 20 a second: not sooner, whatever the machine


async def test_a_pace_is_kept_after_a_rest() -> None:
    """Turns that nobody took are not saved up."""
    pace = Pace(50)
    await pace.turn()
    await asyncio.sleep(0.1)
    began = time.monotonic()
    for _ in range(5):
        await pace.turn()
    assert time.monotonic() - began >= 0.06


async def listed(keys_: list[str], kind: type) -> AsyncIterator[Any]:
    for key in keys_:
        yield BlobEntry(key, 1, datetime.now(UTC)) if kind is BlobEntry else Known(key, is_live=True)


@given(KEYS, KEYS, KEYS)
async def test_differences_are_those_of_sets(both: list[str], stored_: list[str], known: list[str]) -> None:
    left, right = sorted({*both, *stored_}), sorted({*both, *known})
    pairs = [pair async for pair in differences(listed(left, BlobEntry), listed(right, Known))]
    assert [entry.key for entry, _ in pairs if entry] == left
    assert [row.key for _, row in pairs if row] == right
    assert {entry.key for entry, row in pairs if entry and row} == set(left) & set(right)
    assert all(entry.key == row.key for entry, row in pairs if entry and row)
