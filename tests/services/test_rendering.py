from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import html
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.errors import Unavailable
from pastebin.metrics import Metrics
from pastebin.sections import RenderingSection
from pastebin.services import rendering as module
from pastebin.services.rendering import Rendered, RenderedCache, Rendering, page_html

PYTHON = b"def f():\n    return 1\n"
# Hours of backtracking for the GherkinLexer of Pygments 2.21, in lines too short to be refused.
BOMB = b"\t\n" * 100_000


def outcomes(metrics: Metrics) -> dict[str, float]:
    samples = [sample for family in metrics.renders.collect() for sample in family.samples]
    return {sample.labels["outcome"]: sample.value for sample in samples if sample.name.endswith("_total")}


class Shop:
    """A Rendering, with what tests ask of it."""

    def __init__(self, rendering: Rendering, metrics: Metrics) -> None:
        self.rendering = rendering
        self.metrics = metrics

    async def show(
        self, content: bytes, syntax: str | None = "python", name: str | None = None, seconds: float | None = None
    ) -> Rendered:
        digest = hashlib.sha256(content).digest()
        return await self.rendering.render(content, sha256=digest, syntax=syntax, name=name, seconds=seconds)

    def start(self, content: bytes, syntax: str | None = "python") -> asyncio.Task[Rendered]:
        return asyncio.get_running_loop().create_task(self.show(content, syntax))

    @property
    def pids(self) -> list[int]:
        return self.rendering.workers.pids

    @property
    def outcomes(self) -> dict[str, float]:
        return outcomes(self.metrics)


@asynccontextmanager
async def opened(**options: float) -> AsyncIterator[Shop]:
    # convert() would refuse the small limits that keep these tests short
    section = RenderingSection(**{"workers": 1, "timeout_seconds": 30.0, **options})  # type: ignore[arg-type]
    metrics = Metrics()
    async with Rendering.running(section, metrics) as rendering:
        yield Shop(rendering, metrics)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as shop:
        yield shop


async def test_a_file_is_highlighted(shop: Shop) -> None:
    rendered = await shop.show(PYTHON)
    assert rendered.highlighted
    assert (rendered.syntax, rendered.label, rendered.note, rendered.line_count) == ("python", "Python", None, 2)
    assert rendered.lines[0] == '<span class="k">def</span> <span class="nf">f</span>():'
    assert shop.outcomes == {"highlighted": 1}


@pytest.mark.parametrize(
    ("syntax", "name", "used"),
    [
        ("py", None, "python"),
        ("ruby", "a.py", "ruby"),
        (None, "a.rb", "ruby"),
        ("no-longer-known", "a.rb", "ruby"),
        (None, None, "python"),
    ],
)
async def test_the_syntax_is_the_one_asked_for_or_guessed(
    shop: Shop, syntax: str | None, name: str | None, used: str
) -> None:
    rendered = await shop.show(PYTHON, syntax, name)
    assert (rendered.syntax, rendered.highlighted) == (used, True)


@pytest.mark.parametrize(("syntax", "name"), [("text", "a.py"), ("txt", None), (None, "a.txt")])
async def test_plain_text_needs_no_worker(shop: Shop, syntax: str | None, name: str | None) -> None:
    for content in (b"<b>\n", b"<b>\n" * 100_000):
        rendered = await shop.show(content, syntax, name)
        assert (rendered.syntax, rendered.label, rendered.highlighted) == ("text", "Plain text", False)
        assert rendered.note is None
        assert set(rendered.lines) == {"&lt;b&gt;"}
    assert shop.pids == []
    assert shop.outcomes == {"plain": 2}


async def test_an_empty_file_has_no_lines(shop: Shop) -> None:
    rendered = await shop.show(b"")
    assert (rendered.lines, rendered.line_count, page_html(rendered)) == ([], 0, "")


async def test_words_without_a_syntax_are_plain_and_need_no_excuse(shop: Shop) -> None:
    rendered = await shop.show(b"just some words\n", None)
    assert (rendered.syntax, rendered.highlighted, rendered.note) == ("text", False, None)
    assert shop.outcomes == {"plain": 1}


async def test_very_long_lines_are_plain(shop: Shop) -> None:
    rendered = await shop.show(b"x=1;" * 10_000, "javascript")
    assert not rendered.highlighted
    assert rendered.note == "This file has very long lines, so it is shown as plain text."


async def test_very_large_files_are_plain(shop: Shop) -> None:
    rendered = await shop.show(b"x = 1\n" * 400_000)
    assert (rendered.highlighted, rendered.line_count) == (False, 400_000)
    assert rendered.note == "Files over 2 MiB are not highlighted."
    assert shop.pids == []


async def test_what_was_rendered_is_remembered(shop: Shop) -> None:
    first = await shop.show(PYTHON)
    assert await shop.show(PYTHON) is first
    assert await shop.show(PYTHON, None, "a.py") is first, "the same bytes in the same syntax"
    assert (await shop.show(PYTHON, "ruby")).syntax == "ruby"
    assert shop.outcomes == {"highlighted": 2, "cached": 2}


async def test_identical_files_share_one_flight(shop: Shop) -> None:
    results = await asyncio.gather(*(shop.show(PYTHON) for _ in range(10)))
    assert all(rendered is results[0] for rendered in results)
    assert shop.outcomes == {"highlighted": 1, "cached": 9}


async def test_who_leaves_does_not_take_the_others_along(shop: Shop) -> None:
    first, second = shop.start(PYTHON), shop.start(PYTHON)
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).highlighted
    assert first.cancelled()
    assert (await shop.show(b"x = 2\n")).lines == ['x = <span class="m">2</span>'], "answers belong to their jobs"


@pytest.mark.parametrize(
    ("content", "syntax"),
    [(BOMB, "gherkin"), (b"(" * 19_900, "ng2"), (b" " * 19_900, "autoit"), (b"a" * 19_900, "fan")],
)
async def test_a_bomb_is_plain_after_its_time_and_costs_it_once(content: bytes, syntax: str) -> None:
    async with opened(timeout_seconds=0.5) as shop:
        rendered = await shop.show(content, syntax)
        assert (rendered.highlighted, rendered.syntax) == (False, syntax)
        assert rendered.note == "Highlighting took longer than 0.5 seconds, so this is shown as plain text."
        assert rendered.lines == content.decode().splitlines()
        assert shop.pids == [], "the worker went with it"
        assert await shop.show(content, syntax) is rendered
        assert shop.outcomes == {"timeout": 1, "cached": 1}


async def test_a_page_out_of_time_starts_nothing(shop: Shop) -> None:
    rendered = await shop.show(PYTHON, seconds=0)
    assert (rendered.highlighted, rendered.label) == (False, "Python")
    assert rendered.note == "Highlighting this page took longer than 1.5 seconds, so this file is plain text."
    assert shop.pids == []
    plain = await shop.show(b"<b>\n" * 100_000, "text", seconds=0)
    assert (plain.line_count, plain.note) == (100_000, None), "what needs no worker needs no time"
    await shop.show(PYTHON)
    assert (await shop.show(PYTHON, seconds=0)).highlighted, "what is known needs none either"


async def test_what_a_page_does_not_wait_for_is_there_for_the_next(shop: Shop) -> None:
    await shop.show(b"x = 0\n")
    (pid,) = shop.pids
    os.kill(pid, signal.SIGSTOP)
    assert not (await shop.show(PYTHON, seconds=0.1)).highlighted
    os.kill(pid, signal.SIGCONT)
    assert (await shop.show(PYTHON)).highlighted
    assert shop.outcomes == {"highlighted": 2, "timeout": 1, "cached": 1}


async def test_others_go_on_while_a_bomb_is_ticking() -> None:
    async with opened(workers=2, timeout_seconds=60) as shop:
        bomb = shop.start(BOMB, "gherkin")
        await asyncio.sleep(0)
        assert (await shop.show(PYTHON)).highlighted
        assert not bomb.done()
    with pytest.raises(Unavailable):
        await bomb


async def test_a_full_queue_is_plain_and_not_remembered() -> None:
    async with opened(queue_size=1) as shop:
        await shop.show(b"x = 0\n")
        (pid,) = shop.pids
        os.kill(pid, signal.SIGSTOP)
        working, waiting = shop.start(b"x = 1\n"), shop.start(b"x = 2\n")
        await asyncio.sleep(0)
        rendered = await shop.show(PYTHON)
        assert not rendered.highlighted
        assert rendered.note == "There is too much to highlight at the moment, so this is shown as plain text."
        os.kill(pid, signal.SIGCONT)
        assert (await working).highlighted
        assert (await waiting).highlighted
        assert (await shop.show(PYTHON)).highlighted
        assert shop.outcomes == {"highlighted": 4, "overloaded": 1}


async def test_nobody_waits_for_a_worker_longer_than_a_file_may_take() -> None:
    async with opened(timeout_seconds=0.5) as shop:
        working, waiting = shop.start(BOMB, "gherkin"), shop.start(PYTHON)
        assert "too much to highlight" in str((await waiting).note)
        assert "longer than 0.5 seconds" in str((await working).note)
        assert shop.outcomes == {"timeout": 1, "overloaded": 1}


async def test_a_lost_worker_is_replaced_and_its_job_done(shop: Shop) -> None:
    await shop.show(b"x = 0\n")
    (pid,) = shop.pids
    os.kill(pid, signal.SIGSTOP)
    job = shop.start(PYTHON)
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    assert (await job).highlighted
    assert shop.pids != [pid]
    assert shop.outcomes == {"highlighted": 2}


async def test_a_file_that_loses_every_worker_is_plain(shop: Shop) -> None:
    await shop.show(b"x = 0\n")
    job = shop.start(BOMB, "gherkin")
    while not job.done():
        for pid in shop.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.01)
    assert not job.result().highlighted
    assert job.result().note is not None
    assert (await shop.show(PYTHON)).highlighted


async def test_a_file_that_takes_all_memory_is_plain() -> None:
    async with opened(memory_mb=40) as shop:
        assert (await shop.show(PYTHON)).highlighted
        rendered = await shop.show(b"1\n" * 200_000)
        assert (rendered.highlighted, rendered.line_count) == (False, 200_000)
        assert rendered.note == "Highlighting took too much memory, so this is shown as plain text."
        assert shop.pids == []
        assert (await shop.show(b"x = 2\n")).highlighted
        assert shop.outcomes == {"highlighted": 2, "crashed": 1}


async def test_without_any_worker_files_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as shop:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/does/not/exist")
            rendered = await shop.show(PYTHON)
            assert (rendered.highlighted, rendered.lines) == (False, PYTHON.decode().splitlines())
            patch.setattr(sys, "executable", "/bin/false")
            assert not (await shop.show(PYTHON)).highlighted
        assert (await shop.show(PYTHON)).highlighted, "it was not the file's fault"
        assert shop.outcomes == {"overloaded": 2, "highlighted": 1}


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with opened(workers=2) as shop:
        await shop.show(PYTHON)
        pids = shop.pids
        flight = shop.start(BOMB, "gherkin")
        await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await flight
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
    names = {task.get_name() for task in asyncio.all_tasks() - before}
    assert names.isdisjoint({"rendering", "rendering-reaper"})
    gc.collect()  # an unclosed pipe would warn, and warnings are errors


async def test_an_error_of_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened() as shop:
            await shop.show(PYTHON)
            raise ZeroDivisionError


async def test_trouble_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TROUBLE_SECONDS", 0.0)
    async with opened(timeout_seconds=0.2) as shop:
        await shop.show(BOMB, "gherkin")
        await shop.show(BOMB, "gherkin")
        assert shop.outcomes == {"timeout": 2}


# The page


def test_lines_can_be_pointed_at() -> None:
    rendered = Rendered("a\n<b>b</b>", 2, "text", "Plain text", highlighted=False)
    assert page_html(rendered, "f2-") == (
        '<span class="line" id="f2-L1"><a class="n" href="#f2-L1" aria-hidden="true" tabindex="-1"></a>a\n</span>'
        '<span class="line" id="f2-L2"><a class="n" href="#f2-L2" aria-hidden="true" tabindex="-1"></a>'
        "<b>b</b>\n</span>"
    )


@settings(deadline=None)
@given(st.lists(st.text("ab <&\u202e", max_size=8), max_size=20))
def test_the_text_of_the_page_is_the_text_of_the_file(lines: list[str]) -> None:
    rendered = module._plain("".join(f"{line}\n" for line in lines).encode(), None)
    page = page_html(rendered)
    text = html.unescape(re.sub("<[^>]*>", "", page))
    assert text == "".join(f"{line}\n" for line in lines).replace("\u202e", "\ufffd")
    assert page.count('class="line"') == rendered.line_count == len(lines)
    assert rendered.has_bidi_controls == any("\u202e" in line for line in lines)


# The cache


def entry(size: int) -> Rendered:
    return Rendered("x" * size, 1, "text", "Plain text", highlighted=False)


def test_the_least_recently_used_goes_first() -> None:
    cache = RenderedCache(5000)
    for letter in (b"a", b"b", b"c"):
        cache.put((letter, None), entry(1000))
    assert cache.get((b"a", None), 0) is not None
    cache.put((b"d", None), entry(1000))
    assert [letter for letter in (b"a", b"b", b"c", b"d") if cache.get((letter, None), 0)] == [b"a", b"c", b"d"]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3000), st.floats(0, 10)), max_size=40), st.integers(0, 6000)
)
def test_the_cache_keeps_its_bound_and_its_books(puts: list[tuple[int, int, float]], bound: int) -> None:
    cache = RenderedCache(bound)
    keys = [(bytes([number]), None) for number in range(6)]
    for number, size, forget_at in puts:
        cache.put(keys[number], entry(size), forget_at)
        assert cache.size_bytes <= bound
    assert all(cache.get(key, 11.0) is None for key in keys)
    assert cache.size_bytes == 0
