"""Lines of texts, inline and in both kinds of stores: by the index, by one that is made when needed, or without."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pastebin.errors import BlobMissing
from pastebin.models import File
from pastebin.sections import DatabaseSection
from pastebin.services.lines import INDEXED_BYTES, Lines, stored_form
from pastebin.services.lines_index import LineCounter
from pastebin.services.lines_window import LineWindow
from pastebin.services.passwords import Passwords
from pastebin.services.reading import Reading
from pastebin.store.blobs import Blobs, new_key
from pastebin.store.database import Database
from pastebin.store.leftovers import Leftovers
from pastebin.store.line_indexes import LineIndexes
from pastebin.store.pastes import Pastes

LOG = b"".join(b"%07d a line of a log that is long enough\n" % number for number in range(1, 100_001))
LINES = LOG.splitlines(keepends=True)


@dataclass
class Place:
    """Lines over a real database and store; `reads` are the parts of blobs that were asked for."""

    lines: Lines
    indexes: LineIndexes
    blobs: Blobs
    leftovers: Leftovers
    reads: list[tuple[int, int | None]] = field(default_factory=list)

    async def file(self, content: bytes) -> File:
        """A text as an upload leaves it, but without an index."""
        key = new_key()
        await self.leftovers.announce_blob(key)
        async with self.blobs.writer(key) as writer:
            await writer.write(content)
            await writer.complete()
        digest = hashlib.sha256(content).digest()
        return File(0, None, "text/plain", None, len(content), digest, blob_key=key)

    async def indexed(self, content: bytes) -> File:
        file = await self.file(content)
        counter = LineCounter()
        counter.feed(content)
        assert file.blob_key is not None
        await self.indexes.keep(file.blob_key, stored_form(counter.finish()))
        return file


class Watching:
    """A store that writes down what is read of it."""

    def __init__(self, blobs: Blobs, reads: list[tuple[int, int | None]]) -> None:
        self._blobs = blobs
        self._reads = reads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        self._reads.append((start, length))
        return self._blobs.read(key, start, length)


@pytest.fixture
async def place(database_dsn: str, blobs: Blobs) -> AsyncIterator[Place]:
    reads: list[tuple[int, int | None]] = []
    passwords = Passwords()
    async with (
        Database.opened(DatabaseSection(), database_dsn) as database,
        Pastes.opened(database, 64 * 1024) as pastes,
    ):
        indexes = LineIndexes(database)
        reading = Reading(pastes, Watching(blobs, reads), passwords)
        async with Lines.running(reading, indexes) as lines:
            yield Place(lines, indexes, blobs, Leftovers(database), reads)
    passwords.close()


async def raw(lines: Lines, file: File, first: int, last: int | None) -> bytes:
    return b"".join([chunk async for chunk in lines.chunks(file, first, last)])


async def test_a_window_is_found_by_reading_next_to_nothing(place: Place) -> None:
    file = await place.indexed(LOG)
    for first, expected in ((1, 1), (70_123, 70_123), (None, 99_501), (5_000_000, 99_501)):
        place.reads.clear()
        window = await place.lines.window(file, first)
        assert (window.first, window.line_count) == (expected, 100_000)
        assert window.content == b"".join(LINES[expected - 1 : expected + 499])
        ((_, length),) = place.reads
        assert length is not None
        assert length < 3 * 65_536


@pytest.mark.parametrize(("first", "last"), [(1, 1), (10, 20), (99_990, None), (99_999, 200_000), (100_001, None)])
async def test_bytes_of_lines(place: Place, first: int, last: int | None) -> None:
    expected = b"".join(LINES[first - 1 : last])
    assert await raw(place.lines, await place.indexed(LOG), first, last) == expected
    inline = LOG[:40_000]
    small = replace(await place.file(inline), blob_key=None, body=inline)
    assert await raw(place.lines, small, first, last) == LineWindow(first, last).feed(inline)


async def test_a_text_from_before_gets_its_index_when_it_is_needed(place: Place) -> None:
    file = await place.file(LOG)
    assert file.blob_key is not None
    # the first lines wait for nothing, and neither do bytes
    window = await place.lines.window(file, 1)
    assert (window.content, window.line_count) == (b"".join(LINES[:500]), None)
    assert await raw(place.lines, file, 2, 3) == b"".join(LINES[1:3])
    windows = await asyncio.gather(*(place.lines.window(file, first) for first in (300, None, 300)))
    counted = [(window.first, window.line_count) for window in windows]
    assert counted == [(300, 100_000), (99_501, 100_000), (300, 100_000)]
    whole = [read for read in place.reads if read == (0, len(LOG))]
    assert len(whole) <= 2  # the bytes above were read from the beginning, the lines were counted once
    assert await place.indexes.find(file.blob_key) is not None


async def test_a_small_text_has_none_and_needs_none(place: Place) -> None:
    content = LOG[: INDEXED_BYTES - 1]
    file = await place.file(content)
    window = await place.lines.window(file, None)
    assert window.line_count == len(content.splitlines())
    assert window.content == b"".join(content.splitlines(keepends=True)[-500:]) + b"\n"
    assert file.blob_key is not None
    assert await place.indexes.find(file.blob_key) is None


async def test_one_line_of_many_megabytes(place: Place) -> None:
    file = await place.indexed(b"first\n" + b"x" * 5_000_000 + b"\nlast\n")
    window = await place.lines.window(file, 1)
    assert [(len(line.text), line.hidden) for line in window.lines] == [(5, 0)]
    window = await place.lines.window(file, 2)
    assert [(len(line.text), line.hidden) for line in window.lines] == [(8192, None)]
    window = await place.lines.window(file, 3)
    assert [line.text for line in window.lines] == [b"last"]


async def test_an_index_that_contradicts_the_text_is_not_used(place: Place) -> None:
    file = await place.file(LOG)
    assert file.blob_key is not None
    counter = LineCounter()
    counter.feed(LOG[:-5])
    await place.indexes.keep(file.blob_key, stored_form(counter.finish()))
    window = await place.lines.window(file, None)
    assert window.line_count == 100_000


async def test_a_blob_that_is_lost_is_told(place: Place) -> None:
    file = await place.indexed(LOG)
    assert file.blob_key is not None
    await place.blobs.remove(file.blob_key)
    with pytest.raises(BlobMissing):
        await place.lines.window(file, 70_000)
