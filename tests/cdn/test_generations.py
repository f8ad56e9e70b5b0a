"""The purge clock against a list of everything that ever happened."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pastebin.cdn.generations import Generations, later
from pastebin.positions import Position

SECONDS = 100.0
KEYS = ["all", "p-1", "p-2", "p-3", "p-" + "long" * 40]
POSITIONS = st.builds(Position, st.just(1), st.sampled_from([1, 1, 1, 2]), st.integers(0, 50))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def clocked(most: int = 1000) -> tuple[Generations, Clock]:
    clock = Clock()
    return Generations(SECONDS, most, clock), clock


def test_nothing_was_purged() -> None:
    generations, _ = clocked()
    assert not generations.is_overtaken(["p-1"], generations.clock)
    assert generations.overtaken_at(["p-1"], generations.clock) is None
    assert generations.position_of(["p-1"]) is None


def test_a_purge_overtakes_what_began_before_it() -> None:
    generations, _ = clocked()
    born = generations.clock
    at = generations.purge(["p-1"], None)
    assert generations.is_overtaken(["all", "p-1"], born)
    assert generations.overtaken_at(["p-1"], born) == at == generations.clock
    assert not generations.is_overtaken(["p-2"], born)
    assert not generations.is_overtaken([], born)
    assert not generations.is_overtaken(["p-1"], generations.clock)


def test_who_asked_before_the_first_of_several_purges_may_have_the_answer() -> None:
    generations, _ = clocked()
    first = generations.purge(["p-1"], None)
    second = generations.purge(["p-2"], None)
    third = generations.purge(["p-1"], None)
    assert generations.overtaken_at(["p-1", "p-2"], 0) == first
    assert generations.overtaken_at(["p-1", "p-2"], first) == second
    assert generations.overtaken_at(["p-1"], second) == third


def test_a_flush_overtakes_everything() -> None:
    generations, _ = clocked()
    born = generations.clock
    generations.flush()
    assert generations.is_overtaken(["p-1"], born)
    assert generations.is_overtaken([], born)
    assert not generations.is_overtaken(["p-1"], generations.clock)


def test_a_flush_asks_for_what_it_was_told() -> None:
    generations, clock = clocked()
    generations.flush(Position(1, 1, 7))
    assert generations.position_of(["p-1"]) == Position(1, 1, 7)
    clock.now += SECONDS
    assert generations.position_of(["p-1"]) is None


def test_a_refill_must_have_seen_the_latest_change() -> None:
    generations, _ = clocked()
    generations.purge(["p-1"], Position(1, 1, 9))
    generations.purge(["p-1"], Position(1, 1, 5))
    generations.purge(["p-2"], Position(1, 1, 7))
    generations.purge(["p-2"], None)
    assert generations.position_of(["p-1"]) == Position(1, 1, 9)
    assert generations.position_of(["p-2", "all"]) == Position(1, 1, 7)
    assert generations.position_of(["p-2", "p-1"]) == Position(1, 1, 9)
    assert generations.position_of(["p-3"]) is None


@pytest.mark.parametrize("other", [Position(1, 2, 9), Position(2, 1, 9)])
def test_where_positions_do_not_compare_the_primary_is_asked(other: Position) -> None:
    generations, _ = clocked()
    generations.purge(["p-1"], Position(1, 1, 5))
    generations.purge(["p-1"], other)
    assert generations.position_of(["p-1"]) == "primary"
    generations.purge(["p-1"], Position(1, 2, 50))
    assert generations.position_of(["p-1"]) == "primary"


def test_a_purge_is_forgotten_on_the_safe_side() -> None:
    generations, clock = clocked()
    generations.purge(["p-1"], Position(1, 1, 5))
    clock.now += SECONDS
    assert generations.is_overtaken(["p-2"], 0), "nobody can tell any more what was purged since"
    assert generations.overtaken_at(["p-2"], 0) == 1
    assert generations.position_of(["p-1"]) is None
    assert not generations.is_overtaken(["p-1"], generations.clock)
    assert len(generations) == 0


def test_memory_is_bounded_and_what_was_asked_for_is_not_lost() -> None:
    generations, clock = clocked(most=10)
    for number in range(100):
        generations.purge([f"p-{number}"], Position(1, 1, number))
    assert len(generations) == 10
    assert not generations.is_overtaken(["p-99"], 100)
    assert generations.is_overtaken(["p-99"], 98)
    assert not generations.is_overtaken(["p-1"], 98)
    assert generations.is_overtaken(["p-none"], 50), "it began before what is remembered"
    assert generations.position_of(["p-3"]) == Position(1, 1, 89), "the purge of p-3 may be forgotten, not its change"
    assert generations.position_of(["p-99"]) == Position(1, 1, 99)
    clock.now += SECONDS
    assert generations.position_of(["p-3"]) is None


@given(st.lists(POSITIONS | st.just("primary") | st.none(), max_size=6), st.randoms())
def test_requirements_add_up_in_any_order(requirements: list[Position | None], random) -> None:  # type: ignore[no-untyped-def]
    def joined(items: list[Position | None]) -> object:
        total = None
        for item in items:
            total = later(total, item)
        return total

    shuffled = list(requirements)
    random.shuffle(shuffled)
    assert joined(shuffled) == joined(requirements)


@dataclass
class Event:
    at: float
    clock: int
    keys: set[str]
    position: Position | None
    is_flush: bool = field(default=False)


class Model(RuleBasedStateMachine):
    """The real thing with room for few purges, against one that remembers everything."""

    def __init__(self) -> None:
        super().__init__()
        self.generations, self.time = clocked(most=12)
        self.events: list[Event] = []

    @rule(keys=st.sets(st.sampled_from(KEYS), max_size=3), position=POSITIONS | st.none())
    def purge(self, keys: set[str], position: Position | None) -> None:
        self.generations.purge(keys, position)
        self.events.append(Event(self.time.now, self.generations.clock, keys, position))

    @rule(position=POSITIONS | st.none())
    def flush(self, position: Position | None) -> None:
        self.generations.flush(position)
        self.events.append(Event(self.time.now, self.generations.clock, set(KEYS), position, is_flush=True))

    @rule(seconds=st.sampled_from([1.0, 30.0, SECONDS]))
    def wait(self, seconds: float) -> None:
        self.time.now += seconds

    @precondition(lambda self: self.events)
    @rule(tags=st.sets(st.sampled_from(KEYS)), ago=st.integers(0, 20))
    def overtaken(self, tags: set[str], ago: int) -> None:
        since = max(0, self.generations.clock - ago)
        hits = [event.clock for event in self.events if event.clock > since and (event.is_flush or event.keys & tags)]
        found = self.generations.overtaken_at(tags, since)
        assert self.generations.is_overtaken(tags, since) is (found is not None)
        if hits:
            assert found is not None
            assert since < found <= min(hits), "nobody who asked after a purge gets what is older"
        newer = [event for event in self.events if event.clock > since]
        is_remembered = sum(len(event.keys) for event in newer) <= 12 and not any(e.is_flush for e in newer)
        if is_remembered and all(self.time.now - event.at < SECONDS for event in newer):
            assert found == (min(hits) if hits else None)

    @rule(tags=st.sets(st.sampled_from(KEYS)))
    def required(self, tags: set[str]) -> None:
        recent = [event for event in self.events if self.time.now - event.at < SECONDS]
        wanted = [event.position for event in recent if event.is_flush or event.keys & tags]
        found = self.generations.position_of(tags)
        for position in wanted:
            assert position is None or found == "primary" or (found is not None and found.covers(position))
        if not recent:
            assert found is None

    @invariant()
    def bounded(self) -> None:
        assert len(self.generations) <= 12


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestModel = Model.TestCase
