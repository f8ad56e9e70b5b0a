"""S3-FIFO: against a naive model of it, against plain LRU, and its bounds."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.cdn.admission import Admission

CAPACITY = 100


@dataclass(eq=False)
class Item:
    name: int
    cost: int = 1
    footprint: int = 1
    frequency: int = 0
    ticket: int = 0
    ghost: int = field(init=False)

    def __post_init__(self) -> None:
        self.ghost = self.name


class Cache:
    """What a cache does with the queues."""

    def __init__(self, capacity: int = CAPACITY, memory: float = float("inf")) -> None:
        self.queues: Admission[Item] = Admission(capacity, memory)
        self.items: dict[int, Item] = {}

    def get(self, name: int, cost: int = 1) -> bool:
        """Whether it was there; it is fetched if not."""
        item = self.items.get(name)
        if item is not None:
            item.frequency = min(3, item.frequency + 1)
            return True
        item = Item(name, cost)
        victims = self.queues.admit(item)
        if victims is not None:
            self.items[name] = item
            self.drop(victims)
        return False

    def drop(self, victims: list[Item]) -> None:
        for victim in victims:
            assert victim.ticket == 0
            del self.items[victim.name]

    def check(self) -> None:
        queues = self.queues
        assert queues.used == sum(item.cost for item in self.items.values())
        assert queues.footprint == sum(item.footprint for item in self.items.values())
        assert queues.used + queues.reserved <= queues.capacity
        assert queues.footprint <= queues.memory
        assert len(queues) == len(self.items)
        assert all(item.ticket for item in self.items.values())


class Naive:
    """Algorithm 1 of the paper with lists, for objects of one size."""

    def __init__(self) -> None:
        self.small: list[list[int]] = []
        self.main: list[list[int]] = []
        self.ghosts: list[int] = []

    def get(self, name: int) -> bool:
        for entry in self.small + self.main:
            if entry[0] == name:
                entry[1] = min(3, entry[1] + 1)
                return True
        while len(self.small) + len(self.main) >= CAPACITY:
            if len(self.small) >= CAPACITY // 10:
                self.evict_small()
            else:
                self.evict_main()
        if name in self.ghosts:
            self.ghosts.remove(name)
            self.main.append([name, 0])
        else:
            self.small.append([name, 0])
        return False

    def evict_small(self) -> None:
        name, uses = self.small.pop(0)
        if uses > 1:
            self.main.append([name, 0])
            return
        self.ghosts = [*(ghost for ghost in self.ghosts if ghost != name), name][-128:]

    def evict_main(self) -> None:
        while True:
            name, uses = self.main.pop(0)
            if uses == 0:
                return
            self.main.append([name, uses - 1])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 300), max_size=300), st.integers(0, 2**32), st.floats(0.4, 1.5))
def test_it_is_the_algorithm_of_the_paper(names: list[int], seed: int, slope: float) -> None:
    chance = random.Random(seed)  # noqa: S311  (a trace, not a secret)
    names = names + [int(min(chance.paretovariate(slope), 400)) for _ in range(1500)]
    cache, naive = Cache(), Naive()
    for name in names:
        assert cache.get(name) is naive.get(name)
    assert cache.items.keys() == {entry[0] for entry in naive.small + naive.main}
    cache.check()


operations = st.lists(
    st.tuples(
        st.sampled_from(
            ["get", "get", "get", "remove", "remember", "replace", "charge", "reserve", "release", "resize"]
        ),
        st.integers(0, 60),
        st.integers(1, 40),
    ),
    max_size=200,
)


@given(operations)
def test_the_bounds_hold_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    cache = Cache(memory=60)
    queues = cache.queues
    held = 0
    for what, name, size in steps:
        item = cache.items.get(name)
        match what:
            case "get":
                cache.get(name, size)
            case "remove" | "remember" if item is not None:
                queues.remove(cache.items.pop(name), remember=what == "remember")
            case "replace" if item is not None:
                other = Item(name, size)
                victims = queues.replace(item, other)
                if victims is not None:
                    cache.items[name] = other
                    cache.drop(victims)
            case "charge" if item is not None:
                cache.drop(queues.charge(item, size, 1))
            case "reserve":
                victims = queues.reserve(size, queues.capacity // 2)
                if victims is not None:
                    held += size
                    cache.drop(victims)
            case "release":
                queues.release(held)
                held = 0
            case "resize":
                cache.drop(queues.resize(max(60 + size, queues.reserved)))
        cache.check()


def test_what_cannot_fit_changes_nothing() -> None:
    cache = Cache()
    for name in range(50):
        cache.get(name)
    assert cache.queues.admit(Item(99, cost=CAPACITY + 1)) is None
    assert cache.queues.admit(Item(99, footprint=1, cost=CAPACITY)) == list(cache.items.values())


def test_one_that_was_purged_comes_back_to_its_place() -> None:
    """It had earned the main queue: the next version of it is as popular."""
    cache = Cache()
    for _ in range(4):
        cache.get(1)
    for name in range(100, 300):
        cache.get(name)
    assert cache.queues.holds_in_main(cache.items[1])
    cache.queues.remove(cache.items.pop(1), remember=True)
    cache.get(1)
    assert cache.queues.holds_in_main(cache.items[1])


def test_ghosts_do_not_pile_up() -> None:
    cache = Cache()
    for name in range(10_000):
        cache.get(name)
    assert len(cache.queues._ghosts) <= 128


class Lru:
    """The yardstick."""

    def __init__(self, capacity: int) -> None:
        self.names: OrderedDict[int, None] = OrderedDict()
        self.capacity = capacity

    def get(self, name: int) -> bool:
        if name in self.names:
            self.names.move_to_end(name)
            return True
        self.names[name] = None
        if len(self.names) > self.capacity:
            self.names.popitem(last=False)
        return False


def zipf(count: int, names: int, seed: int) -> list[int]:
    weights = [1 / (rank + 1) ** 0.9 for rank in range(names)]
    return random.Random(seed).choices(range(names), weights, k=count)  # noqa: S311


def test_a_scan_does_not_flush_what_is_read_often() -> None:
    """Readers by Zipf's law, and a robot that walks through everything else twice as fast as they read."""
    capacity, reads = 200, zipf(15_000, 2000, seed=7)
    ours, lru = Cache(capacity), Lru(capacity)
    hits = {"ours": 0, "lru": 0}
    scanned = 10_000
    for number, name in enumerate(reads):
        is_counted = number > 5000
        hits["ours"] += ours.get(name) and is_counted
        hits["lru"] += lru.get(name) and is_counted
        if is_counted:
            for _ in range(2):
                scanned += 1
                ours.get(scanned)
                lru.get(scanned)
    assert hits["ours"] > 1.5 * hits["lru"], hits
    hottest = set(range(capacity // 4))
    assert len(hottest & ours.items.keys()) > 0.9 * len(hottest)
    assert len(hottest & lru.names.keys()) < 0.7 * len(hottest)


def test_one_pass_over_everything_leaves_the_hot_set() -> None:
    ours, lru = Cache(100), Lru(100)
    for cache in (ours, lru):
        for _ in range(5):
            for name in range(60):
                cache.get(name)
        for name in range(1000, 2000):
            cache.get(name)
    assert set(range(60)) <= ours.items.keys()
    assert not set(range(60)) & lru.names.keys()
