from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pastebin.metrics import Metrics
from pastebin.sections import VisitsSection
from pastebin.services.counting import Counting, Here, People
from pastebin.services.spool import Spool
from pastebin.sights import Answered
from pastebin.visits import Visit

PEOPLE = People(
    agent=lambda text: (text[:5], "browser", "bot" in text),
    country=lambda address: "IL" if address == "192.0.2.7" else "",
    pseudonyms=lambda address, agent, slug: (20_000, len(address + agent + slug), 5),
)
HERE = Here("eu", "fra1", frozenset({"p.example"}))
READING = Answered(
    method="GET",
    target="/abc123/raw/a.py",
    host="p.example",
    address="192.0.2.7",
    agent="Firefox/1",
    referrer="https://news.example/",
    wishes=(),
    status=200,
    media_type="text/plain",
    content_range="",
    bytes=10,
    duration_us=5,
    cache="hit",
)


class Sink:
    """A sink, and what it has put into its spool so far."""

    def __init__(self, counting: Counting, spool: Spool, metrics: Metrics) -> None:
        self.counting = counting
        self.metrics = metrics
        self._spool = spool

    async def visits(self) -> list[Visit]:
        await self.counting.flush()
        await self._spool.flushed()
        found: list[Visit] = []
        while self._spool.began is not None:
            parcel = await self._spool.next()
            found += msgspec.json.decode(b"[" + parcel.visits + b"]", type=list[Visit])
            await self._spool.taken(parcel)
        return found

    def dropped(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("pastebin_visits_dropped_total", {"reason": reason}) or 0.0


@asynccontextmanager
async def sinking(directory: Path, people: People = PEOPLE, **options: Any) -> AsyncIterator[Sink]:
    metrics = Metrics()
    section = VisitsSection(**options)
    async with Spool.opened(directory, most_bytes=10**6, batch_events=100, dropped=print) as spool:
        yield Sink(Counting(spool, section, HERE, people, metrics), spool, metrics)


async def test_a_reading_becomes_a_visit_that_names_nobody(tmp_path: Path) -> None:
    async with sinking(tmp_path) as sink:
        sink.counting.note(3, lambda: READING)
        (visit,) = await sink.visits()
    known = msgspec.structs.asdict(visit)
    assert known.pop("at_ms") // 1000 > 1_700_000_000
    assert known == {
        "number": 1,
        "slug": "abc123",
        "file": "a.py",
        "kind": "raw",
        "cache": "hit",
        "region": "eu",
        "pop": "fra1",
        "country": "IL",
        "referrer": "news.example",
        "agent": "Firef",
        "agent_class": "browser",
        "is_bot": False,
        "status": 200,
        "bytes": 10,
        "duration_us": 5,
        "weight": 3,
        "period": 20_000,
        "visitor": 24,
        "visitor_before": 5,
    }


async def test_of_readers_who_want_it_so_nothing_is_noted_but_that_they_read(tmp_path: Path) -> None:
    async with sinking(tmp_path) as sink:
        sink.counting.note(1, lambda: READING._replace(wishes=("gpc",)))
        (visit,) = await sink.visits()
    assert (visit.country, visit.referrer, visit.agent, visit.agent_class) == ("", "", "", "")
    assert (visit.visitor, visit.visitor_before, visit.slug) == (0, 0, "abc123")
    async with sinking(tmp_path, honour=["dnt"]) as sink:
        sink.counting.note(1, lambda: READING._replace(wishes=("gpc",)))
        (visit,) = await sink.visits()
    assert visit.country == "IL"


async def test_without_anybody_who_knows_people_visits_are_counted(tmp_path: Path) -> None:
    async with sinking(tmp_path, People()) as sink:
        sink.counting.note(1, lambda: READING)
        (visit,) = await sink.visits()
    assert (visit.visitor, visit.country, visit.period) == (0, "", visit.at_ms // 86_400_000)


async def test_what_cannot_be_read_keeps_nothing_else_from_being_counted(tmp_path: Path) -> None:
    def broken() -> Answered:
        raise ValueError("of something that a reader has sent")

    async with sinking(tmp_path) as sink:
        for read in (broken, lambda: READING, lambda: None, lambda: READING._replace(target="/static/style.css")):
            sink.counting.note(1, read)
        assert [visit.number for visit in await sink.visits()] == [1]
        assert sink.dropped("misread") == 1


async def test_what_the_buffer_does_not_hold_is_dropped_and_counted(tmp_path: Path) -> None:
    async with sinking(tmp_path, buffer_events=2) as sink:
        for _ in range(5):
            sink.counting.note(2, lambda: READING)
        assert len(await sink.visits()) == 2
        assert sink.dropped("buffer") == 6


async def test_neither_address_nor_agent_nor_referrer_reaches_the_disk(tmp_path: Path) -> None:
    async with sinking(tmp_path) as sink:
        sink.counting.note(1, lambda: READING._replace(agent="A" * 200, referrer="https://news.example/?secret"))
        await sink.counting.flush()
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    assert b"abc123" in data
    for word in (b"192.0.2.7", b"A" * 65, b"secret"):
        assert word not in data


TEXT = st.text(max_size=50) | st.binary(max_size=50).map(lambda data: data.decode("utf-8", "surrogateescape"))


@given(st.builds(READING._replace, target=TEXT.map("/abc123/raw/{}".format), agent=TEXT, referrer=TEXT, host=TEXT))
async def test_whatever_is_sent_can_be_counted(answered: Answered) -> None:
    with tempfile.TemporaryDirectory() as directory:
        people = People(agent=lambda _: ("", "", False), country=lambda _: "", pseudonyms=lambda *_: (1, 2**63 - 1, 1))
        async with sinking(Path(directory), people) as sink:
            sink.counting.note(1, lambda: answered)
            visits = await sink.visits()
            assert sink.dropped("misread") == 0
            assert len(visits) <= 1
