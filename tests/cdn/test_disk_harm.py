"""What a disk can do to its cache: wrong bytes, files that vanish, no room. No wrong byte leaves, and it goes on."""

from __future__ import annotations

import os
import random
import resource
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn.spool import BLOCK_BYTES
from pastebin.errors import StoredDamaged
from tests.cdn.caches import HOUR, Shelf, opened, path_of

BODY = random.Random(1).randbytes(5 * BLOCK_BYTES + 1234)  # noqa: S311  (no secret)
NEW = CIMultiDictProxy(CIMultiDict({"Content-Type": "text/html"}))


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with opened(tmp_path / "edge") as shelf:
        yield shelf


def flip(path: Path, position: int, bits: int = 1) -> None:
    """Change a byte behind everybody's back."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)
        file.seek(position)
        file.write(bytes([byte[0] ^ bits]))


@pytest.mark.parametrize("position", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 4 * BLOCK_BYTES + 5, len(BODY) - 1])
async def test_a_flipped_byte_never_leaves(shelf: Shelf, position: int) -> None:
    stored = await shelf.kept("k", BODY)
    flip(path_of(stored), position)
    got = b""
    with pytest.raises(StoredDamaged):
        async for chunk in shelf.cache.read(stored):
            got += bytes(chunk)
    assert BODY.startswith(got)
    assert len(got) <= position
    assert not stored.alive
    assert shelf.find("k") is None
    assert shelf.figure("damaged_total") == 1
    await shelf.settled()
    assert shelf.files() == []


async def test_ranges_are_checked_by_themselves(shelf: Shelf) -> None:
    stored = await shelf.kept("k", BODY)
    flip(path_of(stored), 2 * BLOCK_BYTES)
    assert await shelf.body(stored, 0, 2 * BLOCK_BYTES) == BODY[: 2 * BLOCK_BYTES]
    assert await shelf.body(stored, 3 * BLOCK_BYTES + 5, 100) == BODY[3 * BLOCK_BYTES + 5 :][:100]
    with pytest.raises(StoredDamaged):
        await shelf.body(stored, 3 * BLOCK_BYTES - 1, 1)


@pytest.mark.parametrize("harm", ["truncate", "remove", "swap", "zero"])
async def test_other_harm_to_a_file(shelf: Shelf, harm: str) -> None:
    stored = await shelf.kept("k", BODY)
    other = await shelf.kept("other", BODY[::-1])
    match harm:
        case "truncate":
            os.truncate(path_of(stored), BLOCK_BYTES)
        case "remove":
            path_of(stored).unlink()
        case "swap":
            shutil.copy(path_of(other), path_of(stored))
        case "zero":
            path_of(stored).write_bytes(bytes(path_of(stored).stat().st_size))
    with pytest.raises(StoredDamaged):
        await shelf.body(stored)
    assert not stored.alive
    assert shelf.find("other") is other


async def test_damage_that_is_noticed_through_an_old_copy_ends_the_new_one(shelf: Shelf) -> None:
    old = await shelf.kept("k", BODY)
    new = shelf.cache.refresh(old, NEW, HOUR, 2e6, shelf.generations.clock)
    assert new is not None
    flip(path_of(old), 0)
    with pytest.raises(StoredDamaged):
        await shelf.body(old)
    assert not new.alive


async def test_damage_to_what_is_being_written_never_leaves(shelf: Shelf) -> None:
    async with shelf.writer("k", len(BODY)) as writer:
        await writer.write(BODY[: 4 * BLOCK_BYTES])
        await writer.write(BODY[4 * BLOCK_BYTES : 5 * BLOCK_BYTES])
        await writer.write(BODY[5 * BLOCK_BYTES :])
        stored = await writer.commit()
        assert stored is not None
        flip(path_of(stored), 10)
        with pytest.raises(StoredDamaged):
            [chunk async for chunk in writer.read(0)]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Have the kernel refuse to write beyond, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_refuses_is_left_alone(shelf: Shelf) -> None:
    before = await shelf.kept("before", BODY)
    with files_no_larger_than(2 * BLOCK_BYTES + 100):
        async with shelf.writer("k", len(BODY)) as writer:
            for start in range(0, len(BODY), BLOCK_BYTES):
                await writer.write(BODY[start : start + BLOCK_BYTES])
            assert await writer.commit() is None
            got = b"".join([chunk async for chunk in writer.read(0)])
            assert got == BODY[: writer.written], "what was taken can still be delivered"
    assert shelf.figure("disk_errors_total") == 1
    assert shelf.figure("unkept_total", reason="disk") == 1
    assert await shelf.put("k", BODY) is None, "nothing is tried for a while"
    assert shelf.figure("disk_errors_total") == 1
    assert await shelf.body(before) == BODY, "what is there is served"
    assert await shelf.put("small", b"body") is not None
    await shelf.settled()
    assert shelf.files() == [path_of(before)]


async def test_a_file_system_is_not_filled_up(tmp_path: Path) -> None:
    async with opened(tmp_path, min_free_bytes=2**60) as shelf:
        assert await shelf.put("k", BODY) is None
        assert shelf.figure("unkept_total", reason="disk") == 1
        assert await shelf.put("small", b"body") is not None
        await shelf.settled()
        assert shelf.files() == []


async def test_a_directory_that_vanishes_stops_nobody(shelf: Shelf) -> None:
    stored = await shelf.kept("k", BODY)
    shutil.rmtree(shelf.directory)
    with pytest.raises(StoredDamaged):
        await shelf.body(stored)
    assert await shelf.put("k", BODY) is None
    assert await shelf.put("small", b"body") is not None


async def test_what_cannot_be_removed_is_not_forgotten(shelf: Shelf) -> None:
    """The next process must not believe that the purge was done: without a feed state it drops everything."""
    await shelf.cache.restored()
    stored = await shelf.kept("k", BODY, tags=["p-1"])
    shelf.cache.note_feed("epoch", 1)
    shelf.cache._restart._write()
    await shelf.settled()
    assert (shelf.directory / "feed").exists()
    path_of(stored).unlink()
    path_of(stored).mkdir()
    shelf.purge("p-1")
    shelf.cache.note_feed("epoch", 2)
    shelf.cache._restart._write()
    await shelf.settled()
    assert shelf.figure("disk_errors_total") == 1
    assert not (shelf.directory / "feed").exists()


async def test_a_name_that_cannot_be_given(shelf: Shelf) -> None:
    async with shelf.writer("k", len(BODY)) as writer:
        await writer.write(BODY)
        (shelf.directory / "objects").rename(shelf.directory / "gone")  # at once: files come and go in it
        assert await writer.commit() is None
    assert shelf.figure("disk_errors_total") == 1
    assert shelf.find("k") is None


async def test_what_is_known_cannot_be_written_behind_a_body(shelf: Shelf) -> None:
    stored = await shelf.kept("k", BODY)
    path_of(stored).unlink()
    path_of(stored).symlink_to("/dev/full")
    assert shelf.cache.refresh(stored, NEW, HOUR, 2e6, shelf.generations.clock) is not None
    await shelf.settled()
    assert shelf.figure("disk_errors_total") == 1
    assert not path_of(stored).is_symlink(), "the next process will not see half of it"
