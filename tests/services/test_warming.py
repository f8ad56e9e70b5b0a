"""What is hot, how often it is told, and that nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import DatabaseUnavailable
from pastebin.loops import Loops
from pastebin.metrics import Metrics
from pastebin.sections import CdnSection
from pastebin.services import warming
from pastebin.services.warming import Heat, Rest, Warming

NAMES = st.sampled_from("abcdef")
STEPS = st.floats(0, 3)
TIMES = st.lists(st.tuples(NAMES, STEPS, st.booleans()), max_size=120)


@given(TIMES, st.integers(1, 6), st.integers(1, 4), st.integers(1, 8))
def test_only_what_came_up_so_often_is_hot(
    times: list[tuple[str, float, bool]], reads: int, fills: int, most: int
) -> None:
    heat = Heat(reads=reads, fills=fills, window_seconds=5.0, most=most)
    now, seen = 0.0, []
    for name, step, is_fill in times:
        now += step
        seen.append((name, now, is_fill))
        if heat.rises(name, now, is_fill=is_fill):
            recent = [fill for other, at, fill in seen if other == name and now - at <= 5.0]
            assert recent.count(False) * fills + recent.count(True) * reads >= reads * fills
            seen = [one for one in seen if one[0] != name]
        assert len(heat) <= most


@given(TIMES, st.integers(1, 6), st.integers(1, 4))
def test_what_comes_up_twice_as_often_is_hot(times: list[tuple[str, float, bool]], reads: int, fills: int) -> None:
    heat = Heat(reads=reads, fills=fills, window_seconds=5.0)
    now = 0.0
    since: dict[str, list[float]] = {}
    for name, step, is_fill in times:
        now += step
        quiet = since.setdefault(name, [])
        if heat.rises(name, now, is_fill=is_fill):
            quiet.clear()
            continue
        quiet.append(now)
        assert len([at for at in quiet if now - at <= 5.0]) < 2 * max(reads, fills)


def test_a_scan_does_not_hide_what_is_hot() -> None:
    heat = Heat(reads=5, fills=5, window_seconds=10.0, most=100)
    hot = [
        number
        for number in range(2000)
        if [heat.rises(f"scan {number}", number / 100, is_fill=False)] == [True]
        or (number % 50 == 0 and heat.rises("popular", number / 100, is_fill=False))
    ]
    assert len(hot) == 2000 // 50 // 5


def test_readers_behind_edges_count_for_more() -> None:
    heat = Heat(reads=20, fills=2, window_seconds=10.0)
    assert [heat.rises("a", 0.0, is_fill=True) for _ in range(4)] == [False, True, False, True]
    assert [heat.rises("b", 0.0, is_fill=False) for _ in range(20)] == [False] * 19 + [True]
    assert [heat.rises("c", 0.0, is_fill=number == 0) for number in range(11)] == [False] * 10 + [True]
    assert not heat.rises("d", 0.0, is_fill=True)
    assert not heat.rises("d", 10.1, is_fill=True)


@given(st.lists(st.tuples(NAMES, st.floats(0, 40)), max_size=80), st.integers(1, 6))
def test_nothing_begins_again_before_it_has_rested(times: list[tuple[str, float]], most: int) -> None:
    rest = Rest(60.0, most=6)
    small = Rest(60.0, most=most)
    now = 0.0
    begun: dict[str, float] = {}
    for name, step in times:
        now += step
        expected = now - begun.get(name, -61.0) >= 60.0
        assert rest.begins(name, now) == expected
        if expected:
            begun[name] = now
        small.begins(name, now)
        assert len(small) <= most


class Outbox:
    """Takes pushes and notes them."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[tuple[str, str, Sequence[str]]] = asyncio.Queue()
        self.answer: bool | Exception = True

    async def enqueue_push(self, slug: str, region: str, urls: Sequence[str]) -> bool:
        self.taken.put_nowait((slug, region, urls))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def made(outbox: Outbox | None, metrics: Metrics, *, push: bool = True, url: str = "https://p.example/") -> Warming:
    return Warming(CdnSection(push=push, push_reads=3), "eu-central", url, outbox, metrics)


@asynccontextmanager
async def running(work: Warming) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks, Loops(tasks).running(work.run(), name="warming"):
        yield


def counted(metrics: Metrics) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for family in metrics.pushes.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }


async def test_what_is_hot_is_pushed_once() -> None:
    outbox, metrics = Outbox(), Metrics()
    work = made(outbox, metrics)
    async with running(work):
        for _ in range(20):
            work.note("h8Kq2ZtV0aB", "/h8Kq2ZtV0aB/raw", is_fill=False)
            work.note("h8Kq2ZtV0aB", "/h8Kq2ZtV0aB", is_fill=True)
        work.note("lukewarm", "/lukewarm", is_fill=False)
        assert await outbox.taken.get() == ("h8Kq2ZtV0aB", "eu-central", ("https://p.example/h8Kq2ZtV0aB",))
        work.note("other", "/other/raw", is_fill=True)
        work.note("other", "/other/raw", is_fill=True)
        assert await outbox.taken.get() == ("other", "eu-central", ("https://p.example/other/raw",))
        assert outbox.taken.empty()
    assert counted(metrics)["enqueued"] >= 1


@pytest.mark.parametrize("answer", [False, DatabaseUnavailable(), TimeoutError()])
async def test_a_push_that_fails_is_forgotten(answer: bool | Exception) -> None:
    outbox, metrics = Outbox(), Metrics()
    outbox.answer = answer
    work = made(outbox, metrics)
    async with running(work):
        for slug in ("one", "two"):
            for _ in range(2):
                work.note(slug, f"/{slug}", is_fill=True)
            assert (await outbox.taken.get())[0] == slug
    # the second one was taken up after the first one had come to its end
    assert counted(metrics)["repeated" if answer is False else "failed"] >= 1


@pytest.mark.parametrize(
    ("push", "url", "has_outbox"),
    [(False, "https://p.example", True), (True, "", True), (True, "https://p.example", False)],
)
async def test_it_is_off_where_it_is_switched_off_or_could_not_work(push: bool, url: str, has_outbox: bool) -> None:
    metrics = Metrics()
    work = made(Outbox() if has_outbox else None, metrics, push=push, url=url)
    assert not work.is_on
    for _ in range(100):
        work.note("hot", "/hot", is_fill=True)
    assert counted(metrics) == {}


async def test_there_is_no_end_of_hot_pastes_but_one_of_pushes() -> None:
    """Nobody takes them, and the node goes on as if nothing were."""
    outbox, metrics = Outbox(), Metrics()
    work = made(outbox, metrics)
    for number in range(500):
        for _ in range(2):
            work.note(f"hot-{number}", f"/hot-{number}", is_fill=True)
    dropped = counted(metrics)["dropped"]
    assert dropped >= 500 - warming._QUEUE
    work.note("long", "/" + "x" * 5000, is_fill=True)
    work.note("long", "/" + "x" * 5000, is_fill=True)
    assert counted(metrics)["dropped"] == dropped
