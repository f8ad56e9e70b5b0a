"""Flights of many callers: what goes together, who waits, who is refused, and who never hears of another's trouble."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import DatabaseUnavailable, Overloaded, Unavailable
from pastebin.log import REQUEST_ID
from pastebin.store import batching
from pastebin.store.batching import Batcher, Bounds, NothingDone, choose

BOUNDS = Bounds(flight_rows=4, flight_bytes=100)
KEYS = st.frozensets(st.sampled_from("abcdef"), max_size=2)
WAITING = st.lists(st.tuples(st.integers(0, 150), KEYS), max_size=12)


@given(waiting=WAITING, busy=st.frozensets(st.sampled_from("abcdef"), max_size=2))
def test_a_flight_is_bounded_and_shares_no_keys(
    waiting: list[tuple[int, frozenset[str]]], busy: frozenset[str]
) -> None:
    chosen = choose(waiting, busy, BOUNDS)
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= BOUNDS.flight_rows
    assert len(chosen) <= 1 or sum(waiting[index][0] for index in chosen) <= BOUNDS.flight_bytes
    keys = [key for index in chosen for key in waiting[index][1]]
    assert len(keys) == len(set(keys))
    assert busy.isdisjoint(keys)


@given(waiting=WAITING, busy=st.frozensets(st.sampled_from("abcdef"), max_size=2))
def test_nobody_is_overtaken_but_by_those_who_share_no_key(
    waiting: list[tuple[int, frozenset[str]]], busy: frozenset[str]
) -> None:
    chosen = choose(waiting, busy, BOUNDS)
    for index in chosen:
        for earlier in set(range(index)) - set(chosen):
            # who was passed over waits for a key of somebody else, and is not overtaken by its own
            others = busy.union(*(waiting[before][1] for before in range(earlier)))
            assert not waiting[earlier][1].isdisjoint(others)
            assert waiting[earlier][1].isdisjoint(waiting[index][1])


@given(waiting=WAITING)
def test_something_goes_unless_everything_waits_for_a_key(waiting: list[tuple[int, frozenset[str]]]) -> None:
    assert bool(choose(waiting, frozenset(), BOUNDS)) == bool(waiting)


@dataclass
class Air:
    """A flight function that lands when it is told to, and notes what flew."""

    flown: list[list[str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    up: int = 0
    most: int = 0

    async def send(self, items: Sequence[str]) -> Sequence[str | Exception]:
        self.flown.append(list(items))
        self.up += 1
        self.most = max(self.most, self.up)
        try:
            await self.gate.wait()
        finally:
            self.up -= 1
        return [item.upper() for item in items]


@asynccontextmanager
async def airborne(bounds: Bounds) -> AsyncIterator[tuple[Batcher[str, str], Air, asyncio.TaskGroup]]:
    air = Air()
    async with asyncio.TaskGroup() as callers, Batcher.running("test", air.send, bounds) as batcher:
        yield batcher, air, callers
        air.gate.set()


def said(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What batches have logged, and the loop of what they left to it."""
    return [record for record in caplog.records if record.name in (batching.__name__, "asyncio")]


async def turns(count: int = 5) -> None:
    """Let every task that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_first_goes_at_once_and_the_rest_together() -> None:
    async with airborne(Bounds(10, 1000)) as (batcher, air, callers):
        tasks = [callers.create_task(batcher.submit("a", 1))]
        await turns()
        assert air.flown == [["a"]]
        tasks.append(callers.create_task(batcher.submit("b", 1)))
        await turns()
        tasks += [callers.create_task(batcher.submit(name, 1)) for name in "cdef"]
        await turns()
        assert air.flown == [["a"], ["b"]]
        air.gate.set()
        assert [await task for task in tasks] == list("ABCDEF")
    assert air.flown == [["a"], ["b"], ["c", "d", "e", "f"]]
    assert air.most == 2


async def test_requests_of_one_moment_share_the_first_flight() -> None:
    async with airborne(Bounds(10, 1000)) as (batcher, air, callers):
        tasks = [callers.create_task(batcher.submit(name, 1)) for name in "abc"]
        await turns()
        air.gate.set()
        await asyncio.wait(tasks)
    assert air.flown == [["a", "b", "c"]]


async def test_bytes_that_wait_or_fly_are_bounded() -> None:
    async with airborne(Bounds(1, 1000, flights=1, held_bytes=30)) as (batcher, air, callers):
        tasks = [callers.create_task(batcher.submit(name, 10)) for name in "abcde"]
        await turns()
        assert (batcher._held_bytes, len(batcher._queue), len(batcher._line)) == (30, 2, 2)
        tasks[3].cancel()
        await turns()
        assert len(batcher._line) == 1
        air.gate.set()
        await asyncio.wait(tasks)
    assert air.flown == [["a"], ["b"], ["c"], ["e"]]
    assert batcher._held_bytes == 0


async def test_what_is_larger_than_every_bound_travels_alone() -> None:
    async with airborne(Bounds(10, 100, held_bytes=100)) as (batcher, air, callers):
        air.gate.set()
        tasks = [callers.create_task(batcher.submit(name, size)) for name, size in [("a", 5), ("b", 500), ("c", 5)]]
        await asyncio.wait(tasks)
    assert air.flown == [["a"], ["b"], ["c"]]


async def test_a_queue_that_is_full_refuses() -> None:
    async with airborne(Bounds(1, 1000, flights=1, queue_rows=2, wait_seconds=60)) as (batcher, air, callers):
        tasks = [callers.create_task(batcher.submit("a", 1))]
        await turns()
        tasks += [callers.create_task(batcher.submit(name, 1)) for name in "bcde"]
        await turns()
        with pytest.raises(Overloaded):
            await batcher.submit("f", 1)
        air.gate.set()
        await asyncio.wait(tasks)
    assert batcher.figures.refused == 1


async def test_who_waits_too_long_is_refused_and_never_sent() -> None:
    async with airborne(Bounds(1, 1000, flights=1, queue_rows=1, wait_seconds=0.5)) as (batcher, air, callers):
        first = callers.create_task(batcher.submit("a", 1))
        await turns()
        late = await asyncio.gather(batcher.submit("b", 1), batcher.submit("c", 1), return_exceptions=True)
        assert [type(outcome) for outcome in late] == [Overloaded, Overloaded]
        air.gate.set()
        assert await first == "A"
    assert air.flown == [["a"]]
    assert batcher._held_bytes == 0


async def test_a_deadline_is_kept_in_the_queue_and_in_the_air() -> None:
    async with airborne(Bounds(1, 1000, flights=1)) as (batcher, air, _):
        soon = asyncio.get_running_loop().time() + 0.5
        both = (batcher.submit("a", 10, deadline=soon), batcher.submit("b", 10, deadline=soon))
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable, Overloaded]
        assert batcher._held_bytes == 10  # what flies is held until it lands
    assert air.flown == [["a"]]
    assert batcher._held_bytes == 0


async def test_a_cancelled_caller_leaves_its_neighbours_alone() -> None:
    async with airborne(Bounds(10, 1000, flights=1)) as (batcher, air, callers):
        first = [callers.create_task(batcher.submit(name, 1)) for name in "ab"]
        await turns()
        second = [callers.create_task(batcher.submit(name, 1)) for name in "cde"]
        await turns()
        first[0].cancel()
        second[1].cancel()
        await turns()
        air.gate.set()
        assert await first[1] == "B"
        assert [await second[0], await second[2]] == ["C", "E"]
    assert air.flown == [["a", "b"], ["c", "e"]]
    assert batcher._held_bytes == 0


async def test_what_spoils_a_flight_fails_alone() -> None:
    flown: list[list[int]] = []

    async def send(items: Sequence[int]) -> Sequence[int | Exception]:
        flown.append(list(items))
        if 3 in items:
            raise NothingDone from ValueError("three")
        return [KeyError(item) if item == 5 else item for item in items]

    async with Batcher.running("test", send, Bounds(10, 1000)) as batcher:
        outcomes = await asyncio.gather(*(batcher.submit(n, 1) for n in range(8)), return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, int)] == [0, 1, 2, 4, 6, 7]
    assert [type(outcomes[3]), type(outcomes[5])] == [ValueError, KeyError]
    assert flown[0] == list(range(8))
    assert sum(5 in flight for flight in flown) == 2  # the whole one, which did nothing, and its last part


async def test_an_uncertain_end_is_told_to_all_and_not_tried_again() -> None:
    flown: list[list[int]] = []

    async def send(items: Sequence[int]) -> Sequence[int | Exception]:
        flown.append(list(items))
        raise DatabaseUnavailable

    async with Batcher.running("test", send, Bounds(10, 1000)) as batcher:
        outcomes = await asyncio.gather(*(batcher.submit(n, 1) for n in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable] * 3
    assert flown == [[0, 1, 2]]


async def test_items_with_a_key_in_common_never_fly_at_once() -> None:
    up: set[str] = set()

    async def send(items: Sequence[str]) -> Sequence[str | Exception]:
        assert len(set(items)) == len(items)
        assert up.isdisjoint(items)
        up.update(items)
        await turns(2)
        up.difference_update(items)
        return items

    async with Batcher.running("test", send, Bounds(10, 1000), keys_of=lambda item: (item,)) as batcher:
        outcomes = await asyncio.gather(*(batcher.submit(name, 1) for name in "abacabadabacaba"))
    assert "".join(outcomes) == "abacabadabacaba"


async def test_flights_run_under_nobodys_request() -> None:
    seen: list[str] = []

    async def send(items: Sequence[int]) -> Sequence[int | Exception]:
        seen.append(REQUEST_ID.get())
        return items

    outside = REQUEST_ID.get()
    reset = REQUEST_ID.set("mine")
    try:
        async with Batcher.running("test", send, Bounds(10, 1000)) as batcher:
            await batcher.submit(1, 1)
    finally:
        REQUEST_ID.reset(reset)
    assert seen == [outside]


async def test_nothing_is_taken_after_the_end_and_what_was_taken_lands() -> None:
    async with airborne(Bounds(1, 1000, flights=1)) as (batcher, _, callers):
        tasks = [callers.create_task(batcher.submit(name, 1)) for name in "abc"]
        await turns()
    assert [task.result() for task in tasks] == ["A", "B", "C"]
    with pytest.raises(Unavailable):
        await batcher.submit("d", 1)


async def test_flights_that_are_cut_off_leave_nobody_waiting() -> None:
    air = Air()
    tasks: list[asyncio.Task[str]] = []
    with pytest.raises(TimeoutError):
        async with (
            asyncio.timeout(None) as limit,
            Batcher.running("test", air.send, Bounds(1, 1000, flights=1, held_bytes=2)) as batcher,
        ):
            tasks = [asyncio.create_task(batcher.submit(name, 1)) for name in "abcd"]
            await turns()
            limit.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 4


async def test_an_error_of_the_block_passes_as_it_is_and_flights_land() -> None:
    air = Air()
    tasks: list[asyncio.Task[str]] = []
    with pytest.raises(KeyError):
        async with Batcher.running("test", air.send, Bounds(1, 1000)) as batcher:
            tasks = [asyncio.create_task(batcher.submit(name, 1)) for name in "abc"]
            await turns()
            air.gate.set()
            raise KeyError
    assert [task.result() for task in tasks] == ["A", "B", "C"]


@pytest.mark.parametrize("seed", range(30))
async def test_every_item_meets_one_fate(seed: int) -> None:
    """Random arrivals, failures, cancellations and deadlines: sent at most once but after NothingDone, never lost."""
    chance = random.Random(seed)  # noqa: S311  (a model, not a secret)
    bounds = Bounds(chance.randint(1, 6), chance.randint(5, 40), chance.randint(1, 3), 20, 200, wait_seconds=30)
    landed: dict[int, int] = {}
    up: set[int] = set()

    async def send(items: Sequence[int]) -> Sequence[int | Exception]:
        assert len(items) <= bounds.flight_rows
        keys = [item % 7 for item in items]
        assert len(set(keys)) == len(keys)
        assert up.isdisjoint(keys)
        up.update(keys)
        await turns(chance.randint(0, 4))
        up.difference_update(keys)
        if any(item % 11 == 0 for item in items):
            raise NothingDone from ValueError
        if chance.random() < 0.05:
            raise DatabaseUnavailable
        for item in items:
            landed[item] = landed.get(item, 0) + 1
        return [KeyError(item) if item % 13 == 0 else item for item in items]

    async def caller(item: int) -> str:
        await turns(chance.randint(0, 30))
        deadline = asyncio.get_running_loop().time() - 1 if item % 17 == 0 else None
        try:
            return str(await batcher.submit(item, chance.randint(0, 30), deadline=deadline))
        except (ValueError, KeyError, Unavailable) as error:
            return type(error).__name__

    async with Batcher.running("test", send, bounds, keys_of=lambda item: (item % 7,)) as batcher:
        tasks = {item: asyncio.ensure_future(caller(item)) for item in range(1, 120)}
        for item in chance.sample(range(1, 120), 20):
            await turns(1)
            tasks[item].cancel()
        await asyncio.wait(tasks.values(), timeout=60)
    for item, task in tasks.items():
        assert task.done()
        fate = "cancelled" if task.cancelled() else task.result()
        assert landed.get(item, 0) <= 1
        if fate == str(item):
            assert landed[item] == 1
        if fate == "Overloaded":
            assert item not in landed
    assert (batcher._held_bytes, batcher._busy, batcher._workers) == (0, set(), 0)
    assert not batcher._queue and not batcher._line


async def test_who_hands_in_is_told_once_and_later() -> None:
    told: list[str | Exception] = []
    async with airborne(BOUNDS) as (batcher, air, _):
        batcher.hand_in("a", 1, told.append)
        assert told == []
        air.gate.set()
        await turns()
    assert told == ["A"]


async def test_who_takes_back_is_not_told_and_does_not_fly_if_there_is_time() -> None:
    told: list[str | Exception] = []
    async with airborne(Bounds(flight_rows=4, flight_bytes=100, flights=1)) as (batcher, air, _):
        flying = batcher.hand_in("a", 1, told.append)
        await turns()
        waiting = batcher.hand_in("b", 1, told.append)
        flying()
        waiting()
    assert (told, air.flown) == ([], [["a"]])


async def test_who_cannot_be_told_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str | Exception] = []

    def deaf(_outcome: str | Exception) -> None:
        raise KeyError

    async with airborne(BOUNDS) as (batcher, _, _):
        for tell in (deaf, told.append):
            batcher.hand_in("a", 1, tell)
    assert told == ["A"]
    assert [record.levelname for record in said(caplog)] == ["ERROR"]


async def test_somebody_cancelled_in_the_turn_of_the_landing_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with airborne(BOUNDS) as (batcher, air, callers):
        callers_of = [callers.create_task(batcher.submit(item, 1)) for item in "ab"]
        await turns()
        air.gate.set()
        callers_of[0].cancel()
        assert await callers_of[1] == "B"
    assert said(caplog) == []
