"""Searches in processes of their own: bounded in time, memory and number, and never in the way of anybody."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pastebin.errors import BlobMissing, InvalidQuestion, Overloaded
from pastebin.models import File
from pastebin.sections import DatabaseSection, SearchSection
from pastebin.services.lines import Lines
from pastebin.services.passwords import Passwords
from pastebin.services.reading import Reading
from pastebin.services.searching import Match, Place, Query, Searching
from pastebin.store.blobs import new_key
from pastebin.store.database import Database
from pastebin.store.directory import DirectoryBlobs
from pastebin.store.leftovers import Leftovers
from pastebin.store.line_indexes import LineIndexes
from pastebin.store.pastes import Pastes

LOG = b"".join(b"%07d %s\n" % (number, b"ERROR" if number % 1000 == 0 else b"fine") for number in range(1, 200_001))
# RE2 takes it in no time; what follows takes it, and any machine, for ever
HARD = "(x+x+)+y"


@pytest.fixture
async def lines(database_dsn: str, tmp_path: Path) -> AsyncIterator[Lines]:
    passwords = Passwords()
    async with (
        Database.opened(DatabaseSection(), database_dsn) as database,
        Pastes.opened(database, 64 * 1024) as pastes,
        DirectoryBlobs.opened(tmp_path / "blobs", min_free_bytes=0) as blobs,
    ):
        reading = Reading(pastes, blobs, passwords)
        async with Lines.running(reading, LineIndexes(database)) as found:
            found.blobs, found.leftovers = blobs, Leftovers(database)  # type: ignore[attr-defined]  # for `stored`
            yield found
    passwords.close()


def text(content: bytes, position: int = 0) -> File:
    digest = hashlib.sha256(content).digest()
    return File(position, None, "text/plain", None, len(content), digest, body=content)


async def stored(lines: Lines, content: bytes) -> File:
    key = new_key()
    await lines.leftovers.announce_blob(key)  # type: ignore[attr-defined]
    async with lines.blobs.writer(key) as writer:  # type: ignore[attr-defined]
        await writer.write(content)
        await writer.complete()
    return replace(text(content), body=None, blob_key=key)


def searching(lines: Lines, **options: float) -> Searching:
    return Searching(lines, SearchSection(**{"timeout_seconds": 60.0, **options}))


def children() -> set[int]:
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # whoever it was, it ends just now
            if "lines_grep" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


async def test_a_large_text_and_small_ones(lines: Lines) -> None:
    texts = [text(b"no\n"), await stored(lines, LOG), text(b"an ERROR\n", 2)]
    found = await searching(lines).search(texts, Query("ERROR"), Place(0, 1), 1000)
    assert len(found.matches) == 201
    assert found.matches[0] == Match(Place(1, 1000), "0001000 ", "ERROR", "")
    assert found.matches[-1] == Match(Place(2, 1), "an ", "ERROR", "")
    assert (found.next, found.is_late) == (None, False)
    assert children() == set()


async def test_walking_on_finds_everything_once(lines: Lines) -> None:
    texts = [await stored(lines, LOG), text(b"ERROR\n" * 3, 1)]
    service, numbers = searching(lines), []
    place: Place | None = Place(0, 1)
    while place is not None:
        found = await service.search(texts, Query("err[o]r", is_regex=True, ignores_case=True), place, 60)
        numbers += [(match.place.text, match.place.line) for match in found.matches]
        place = found.next
    assert numbers == [(0, line) for line in range(1000, 200_001, 1000)] + [(1, 1), (1, 2), (1, 3)]


async def test_nothing_to_search(lines: Lines) -> None:
    assert (await searching(lines).search([], Query("x"), Place(0, 1), 5)).next is None


@pytest.mark.parametrize(
    "query", [Query(""), Query("x" * 501), Query("a\nb"), Query("(", is_regex=True), Query(r"\Ax", is_regex=True)]
)
async def test_what_cannot_be_looked_for_is_refused(lines: Lines, query: Query) -> None:
    with pytest.raises(InvalidQuestion) as refused:
        await searching(lines).search([text(b"x\n")], query, Place(0, 1), 5)
    assert [problem.field for problem in refused.value.problems] == ["q"]
    assert children() == set()


def test_an_escaped_backslash_before_a_is_a_letter() -> None:
    assert Query(r"C:\\A", is_regex=True).problems() == []
    assert Query(r"C:\\\A", is_regex=True).problems() != []
    assert Query(r"C:\A").problems() == []


async def test_a_search_that_takes_too_long_is_ended(lines: Lines) -> None:
    service = searching(lines, timeout_seconds=1.0)
    endless = text(b"x" * 60_000 + b"\n")
    # no engine is through with so many wide steps for each of so many bytes within the time
    wide = Query("(?:" + "|".join(f".{{{n}}}é{{{n}}}" for n in range(100, 130)) + ")$", is_regex=True)
    try:
        found = await service.search([endless] * 400, wide, Place(0, 1), 5)
        assert found.is_late or found.next is None
    except Overloaded:
        pass
    assert children() == set()


async def test_only_so_many_search_at_once(lines: Lines) -> None:
    service, file = searching(lines, workers=2), await stored(lines, LOG)
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(len(children()))
            await asyncio.sleep(0.01)

    watching = asyncio.ensure_future(watch())
    try:
        await asyncio.gather(*(service.search([file], Query("nothing"), Place(0, 1), 5) for _ in range(6)))
        many = (service.search([file], Query("nothing"), Place(0, 1), 5) for _ in range(40))
        results = await asyncio.gather(*many, return_exceptions=True)
    finally:
        watching.cancel()
    assert max(seen) <= 2
    assert sum(isinstance(result, Overloaded) for result in results) >= 20
    assert children() == set()


async def test_one_who_goes_away_leaves_no_process(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    file = await stored(lines, LOG)

    async def stalling(*_: object) -> AsyncIterator[bytes]:
        yield LOG[:100_000]
        await asyncio.Event().wait()

    monkeypatch.setattr(lines.blobs, "read", stalling)  # type: ignore[attr-defined]
    search = searching(lines, timeout_seconds=60.0).search([file], Query("nothing"), Place(0, 1), 5)
    waiting = asyncio.ensure_future(search)
    async with asyncio.timeout(60):
        while not children():  # noqa: ASYNC110  (nobody tells that a process has begun)
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert children() == set()


async def test_content_that_is_lost_is_told(lines: Lines) -> None:
    file = await stored(lines, LOG)
    await lines.blobs.remove(file.blob_key)  # type: ignore[attr-defined]
    with pytest.raises(BlobMissing):
        await searching(lines).search([file], Query("x"), Place(0, 1), 5)
