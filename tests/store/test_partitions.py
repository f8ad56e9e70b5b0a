"""Room for the log of changes: made ahead, dropped whole, and nobody misses something unawares."""

from __future__ import annotations

import itertools
import time

from hypothesis import given
from hypothesis import strategies as st

from pastebin.store.feed import Feed
from pastebin.store.partitions import Partitions, Slot, missing, outdated, slot_seconds
from tests.store.stores import connected
from tests.stored import Stored

DAY = 86_400.0
_INSERT = "insert into outbox (kind, slug) values ('revise', $1)"
_NAMES = "select inhrelid::regclass::text as name from pg_inherits where inhparent = $1::regclass"


@given(now=st.floats(1, 4e9), length=st.integers(1, 21_600))
def test_there_is_room_ahead_without_gaps(now: float, length: int) -> None:
    made: list[Slot] = []
    for moment in (now, now + length / 2, now + 1.5 * length, now + 2 * length):
        made += missing(made, moment, length)
        assert all(slot.start >= moment - 2 * length for slot in made)
    assert made == sorted(made)
    assert all(one.end == other.start for one, other in itertools.pairwise(made))
    assert made[0].start > now
    assert made[-1].end >= now + 4 * length - 1


@given(lengths=st.lists(st.integers(1, 1000), min_size=2, max_size=6), now=st.integers(1000, 10**9))
def test_a_change_of_length_leaves_no_gap(lengths: list[int], now: int) -> None:
    made: list[Slot] = []
    moment = float(now)
    for length in lengths:
        made = sorted(made + missing(made, moment, length))
        assert all(one.end <= other.start and one.start < one.end for one, other in itertools.pairwise(made))
        assert has_room(made, moment, length)
        moment += 1


def has_room(made: list[Slot], now: float, length: int) -> bool:
    """Whether there are slots without a gap from the next boundary at the latest until far enough ahead."""
    reached = now + length
    for slot in made:
        if slot.start <= reached:
            reached = max(reached, slot.end)
    return reached >= now + 2 * length


@given(
    now=st.floats(1, 2e9),
    length=st.integers(5, 21_600),
    far=st.floats(1, 2e9),
    later=st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_a_wrong_clock_leaves_room_for_the_right_one(now: float, length: int, far: float, later: list[float]) -> None:
    made = missing([], now + far, length)
    moment = now
    for share in later:
        made = sorted(made + missing(made, moment, length))
        assert all(one.end <= other.start for one, other in itertools.pairwise(made))
        assert has_room(made, moment, length)
        moment += share * length


def test_what_is_outdated_goes_oldest_first() -> None:
    slots = [Slot(20, 30), Slot(0, 10), Slot(10, 20)]
    assert outdated(slots, 121, 100) == [Slot(0, 10), Slot(10, 20)]
    assert [slot_seconds(seconds) for seconds in (60, DAY, 30 * DAY)] == [5, 3600, 21_600]


async def names(stored: Stored, table: str) -> set[str]:
    return {row["name"] for row in await stored.sql(_NAMES, table)}


async def test_partitions_are_made_and_used(stored: Stored) -> None:
    partitions = Partitions(stored.database, 60.0)
    began = time.time()
    await partitions.keep()
    for table in ("outbox", "feed"):
        slots = sorted(slot for name in await names(stored, table) if (slot := Slot.of(name)))
        assert len(slots) >= 2
        assert began < slots[0].start <= time.time() + 5
    await partitions.keep()
    ahead = max(slot.start for name in await names(stored, "outbox") if (slot := Slot.of(name)))
    insert = "insert into outbox (kind, slug, created_at) values ('revise', 'x', to_timestamp($1))"
    await stored.sql(insert, ahead + 1)
    assert await stored.count("outbox_rest") == 0
    assert (await Feed(stored.database).advance()).sequence == 1


async def grow_old(stored: Stored, table: str, column: str) -> str:
    """Put the rows of the rest into a partition of long ago; its name."""
    name = f"{table}_1000_2000"
    async with connected(stored.dsn) as connection:
        await connection.execute(f"""
            create table {name} (like {table} including defaults);
            insert into {name} select * from {table}_rest;
            truncate {table}_rest;
            update {name} set {column} = to_timestamp(1500);
            alter table {table} attach partition {name} for values from (to_timestamp(1000)) to (to_timestamp(2000));
        """)
    return name


async def test_dropping_the_feed_raises_its_floor(stored: Stored) -> None:
    feed = Feed(stored.database)
    for slug in "abc":
        await stored.sql(_INSERT, slug)
    before = await feed.advance()
    assert before.floor == 1
    await grow_old(stored, "outbox", "created_at")
    await grow_old(stored, "feed", "sequenced_at")
    await stored.sql(_INSERT, "d")
    await Partitions(stored.database, DAY).keep()
    after = await feed.advance()
    assert (after.floor, after.sequence, after.epoch) == (4, 4, before.epoch)
    assert [entry.slug for entry in (await feed.read(3, 10)).entries] == ["d"]
    assert await stored.count("outbox") == 1


async def test_what_was_never_numbered_is_not_lost_unawares(stored: Stored) -> None:
    feed = Feed(stored.database)
    before = await feed.advance()
    await stored.sql(_INSERT, "a")
    name = await grow_old(stored, "outbox", "created_at")
    await Partitions(stored.database, DAY).keep()
    assert name not in await names(stored, "outbox")
    assert (await feed.advance()).epoch != before.epoch


async def test_the_rest_is_emptied_when_all_of_it_is_old(stored: Stored) -> None:
    feed = Feed(stored.database)
    for slug in "ab":
        await stored.sql(_INSERT, slug)
    await feed.advance()
    partitions = Partitions(stored.database, DAY)
    await partitions.keep()
    assert await stored.count("feed_rest") == 2
    await stored.sql("update feed set sequenced_at = now() - interval '2 days'")
    await partitions.keep()
    assert (await stored.count("feed_rest"), (await feed.advance()).floor) == (0, 3)


async def test_a_busy_table_is_left_alone(stored: Stored) -> None:
    await stored.sql(_INSERT, "a")
    await Feed(stored.database).advance()
    name = await grow_old(stored, "outbox", "created_at")
    partitions = Partitions(stored.database, DAY)
    async with connected(stored.dsn) as connection, connection.transaction():
        await connection.execute(_INSERT, "b")
        await partitions.keep()
        assert name in await names(stored, "outbox")
        await stored.sql(_INSERT, "c")  # nobody is held up
    await partitions.keep()
    assert name not in await names(stored, "outbox")
