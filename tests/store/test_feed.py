"""The feed against a real PostgreSQL: every change has one number, whatever commits when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from asyncpg.transaction import Transaction

from pastebin.errors import DatabaseUnavailable
from pastebin.store.database import Database
from pastebin.store.feed import Feed
from tests.store.stores import connected
from tests.stored import SECTION, Stored

_INSERT = "insert into outbox (kind, slug) values ('revise', $1)"
_SEQUENCES = "select sequence, outbox_id, slug from feed order by sequence"


@asynccontextmanager
async def feeds(dsn: str, count: int) -> AsyncIterator[list[Feed]]:
    async with Database.opened(SECTION, dsn) as database:
        yield [Feed(database) for _ in range(count)]


async def test_what_commits_late_gets_a_late_number(stored: Stored) -> None:
    feed = Feed(stored.database)
    before = await feed.advance()
    async with connected(stored.dsn) as slow, connected(stored.dsn) as quick:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(_INSERT, "late")
        await quick.execute(_INSERT, "early")
        first = await feed.advance()
        await quick.execute(_INSERT, "middle")
        second = await feed.advance()
        assert (await feed.advance()).sequence == second.sequence
        await transaction.commit()
        third = await feed.advance()
    assert [head.sequence - before.sequence for head in (first, second, third)] == [1, 2, 3]
    rows = await stored.sql(_SEQUENCES)
    assert [row["slug"] for row in rows] == ["early", "middle", "late"]


async def test_many_at_once_number_everything_once(stored: Stored) -> None:
    """Writers whose transactions overlap in every way, some of them rolled back, and several who number."""
    chance = random.Random(4)  # noqa: S311
    written: list[str] = []
    seen: list[list[str]] = []
    done = asyncio.Event()

    async def write(number: int) -> None:
        async with connected(stored.dsn) as connection:
            for turn in range(25):
                transaction = connection.transaction()
                await transaction.start()
                names = [f"{number}-{turn}-{row}" for row in range(chance.randint(1, 4))]
                for name in names:
                    await connection.execute(_INSERT, name)
                    if chance.random() < 0.3:
                        await connection.execute("savepoint here")
                        await connection.execute(_INSERT, f"undone-{name}")
                        await connection.execute("rollback to here")
                    await asyncio.sleep(chance.random() * 0.005)
                if chance.random() < 0.2:
                    await transaction.rollback()
                else:
                    await transaction.commit()
                    written.extend(names)

    async def number(feed: Feed) -> None:
        while not done.is_set():
            expected = set(written)
            head = await feed.advance()
            rows = await stored.sql("select slug from feed where sequence <= $1 order by sequence", head.sequence)
            seen.append([row["slug"] for row in rows])
            assert expected <= set(seen[-1])
            await asyncio.sleep(chance.random() * 0.003)

    async with feeds(stored.dsn, 4) as numbering, asyncio.TaskGroup() as tasks:
        for feed in numbering:
            tasks.create_task(number(feed))
        async with asyncio.TaskGroup() as writers:
            for name in range(8):
                writers.create_task(write(name))
        done.set()
    await Feed(stored.database).advance()
    rows = await stored.sql(_SEQUENCES)
    slugs = [row["slug"] for row in rows]
    assert sorted(slugs) == sorted(written)
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    for prefix in seen:
        assert slugs[: len(prefix)] == prefix


@pytest.mark.parametrize("seed", range(12))
async def test_any_schedule_is_numbered_as_it_became_visible(stored: Stored, seed: int) -> None:
    """Against a model: what several transactions commit between two numberings comes in the order of its ids."""
    chance = random.Random(seed)  # noqa: S311  (a schedule, not a secret)
    numbering = [Feed(stored.database), Feed(stored.database)]
    expected: list[str] = []
    visible: list[tuple[int, str]] = []
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(connected(stored.dsn)) for _ in range(3)]
        open_now: list[tuple[Transaction, list[tuple[int, str]]] | None] = [None] * 3
        for step in range(60):
            number = chance.randrange(3)
            held = open_now[number]
            match chance.choice(["write", "write", "end", "number"]):
                case "write":
                    if held is None:
                        held = open_now[number] = (writers[number].transaction(), [])
                        await held[0].start()
                    ((row_id,),) = await writers[number].fetch(f"{_INSERT} returning id", f"row-{step}")
                    held[1].append((row_id, f"row-{step}"))
                case "end" if held is not None:
                    open_now[number] = None
                    if chance.random() < 0.3:
                        await held[0].rollback()
                    else:
                        await held[0].commit()
                        visible += held[1]
                case "number":
                    head = await chance.choice(numbering).advance()
                    expected += [slug for _, slug in sorted(visible)]
                    visible.clear()
                    assert head.sequence == len(expected)
        for held in filter(None, open_now):
            await held[0].rollback()
    rows = await stored.sql(_SEQUENCES)
    assert [row["slug"] for row in rows] == expected


async def test_a_backlog_is_numbered_in_rounds(stored: Stored) -> None:
    async with connected(stored.dsn) as slow:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(_INSERT, "open")
        await stored.sql("insert into outbox (kind, slug) select 'revise', n::text from generate_series(1, 60000) n")
        for number in range(50):
            await stored.sql(_INSERT, f"after-{number}")
        feed = Feed(stored.database)
        assert (await feed.advance()).sequence == 60_050
        await transaction.commit()
    assert (await feed.advance()).sequence == 60_051
    assert (await stored.sql("select count(distinct outbox_id) from feed"))[0][0] == 60_051


async def test_reading_goes_by_numbers_and_skips_what_nobody_is_told(stored: Stored) -> None:
    await stored.paste()
    named = await stored.paste(is_named=True)
    await stored.pastes.delete(named)
    feed = Feed(stored.database)
    head = await feed.advance()
    assert (head.sequence, head.told) == (3, 3)
    stretch = await feed.read(0, 10)
    assert [(entry.kind, entry.slug) for entry in stretch.entries] == [("create", named.slug), ("delete", named.slug)]
    assert stretch.until == head.sequence
    assert (await feed.read(0, 1)).until == 2
    await stored.paste()
    assert ((await feed.advance()).told, (await feed.read(3, 10)).until) == (3, 4)


async def test_a_restored_copy_goes_on_under_another_name(stored: Stored) -> None:
    """The transactions of a dump are those of another cluster: greater than any here for a long time."""
    feed = Feed(stored.database)
    before = await feed.advance()
    await stored.sql("update feed_state set system_id = 1, snapshot = '9000000000:9000000000:'")
    await stored.sql("insert into outbox (kind, slug, xid) values ('revise', 'restored', '8999999999')")
    after = await Feed(stored.database).advance()
    assert after.epoch != before.epoch
    await stored.sql(_INSERT, "new")
    await Feed(stored.database).advance()
    assert [row["slug"] for row in await stored.sql(_SEQUENCES)] == ["restored", "new"]


async def test_a_server_that_was_replaced_numbers_nothing(stored: Stored) -> None:
    feed = Feed(stored.database)
    await feed.advance()
    await stored.sql("update feed_state set timeline = timeline + 1")
    await stored.sql(_INSERT, "late")
    with pytest.raises(DatabaseUnavailable):
        await feed.advance()
    assert await stored.count("feed") == 0


async def test_a_promoted_copy_goes_on_under_another_name_and_loses_nothing(stored: Stored) -> None:
    feed = Feed(stored.database)
    await stored.sql(_INSERT, "one")
    before = await feed.advance()
    await stored.sql("update feed_state set timeline = timeline - 1")
    await stored.sql(_INSERT, "two")
    after = await feed.advance()
    assert after.epoch != before.epoch
    assert [row["slug"] for row in await stored.sql(_SEQUENCES)] == ["one", "two"]
