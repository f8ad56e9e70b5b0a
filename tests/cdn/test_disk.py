"""The disk tier while it runs: bodies in files, read along, removed, bounded."""

from __future__ import annotations

import asyncio
import hashlib
import random
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn.arena import Held
from pastebin.cdn.spool import BLOCK_BYTES
from pastebin.errors import DataDirectoryUnusable, StoredDamaged
from tests.cdn.caches import HOUR, Shelf, opened, path_of
from tests.descriptors import held_open

BODY = random.Random(1).randbytes(5 * BLOCK_BYTES + 1234)  # noqa: S311  (no secret)
NEW = CIMultiDictProxy(CIMultiDict({"Content-Type": "text/html"}))


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with opened(tmp_path / "edge") as shelf:
        yield shelf


async def test_large_bodies_lie_in_files_of_this_user_alone(shelf: Shelf) -> None:
    small = await shelf.kept("small", b"s" * 1000)
    large = await shelf.kept("large", BODY, tags=["p-1"])
    assert (small.on_disk, large.on_disk) == (False, True)
    assert shelf.find("large") is large
    assert [path.name for path in shelf.files()] == [path_of(large).name]
    assert stat.S_IMODE(path_of(large).stat().st_mode) == 0o600
    assert stat.S_IMODE(shelf.directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((shelf.directory / "objects").stat().st_mode) == 0o700
    assert large.cost == path_of(large).stat().st_size
    assert shelf.figure("bytes", tier="disk") == large.cost
    assert shelf.figure("objects", tier="disk") == 1


@pytest.mark.parametrize("size", [1001, *(BLOCK_BYTES + more for more in (-1, 0, 1)), 4 * BLOCK_BYTES, len(BODY)])
async def test_bodies_come_back_as_they_were(shelf: Shelf, size: int) -> None:
    body = BODY[:size]
    stored = await shelf.kept("k", body, sha256=hashlib.sha256(body).digest())
    assert await shelf.body(stored) == body
    for start, length in [(0, 1), (size - 1, 1), (size // 2, 1000), (1, size), (BLOCK_BYTES - 1, 2), (size, 1)]:
        assert await shelf.body(stored, start, length) == body[start : start + length]


async def test_a_size_nobody_knew_goes_to_disk_when_it_grows(shelf: Shelf) -> None:
    async with shelf.writer("k", None) as writer:
        for start in range(0, len(BODY), 777):
            assert await writer.write(BODY[start : start + 777])
        stored = await writer.commit()
    assert stored is not None
    assert stored.on_disk
    assert await shelf.body(stored) == BODY


async def test_one_piece_larger_than_everything(shelf: Shelf) -> None:
    async with shelf.writer("k", None) as writer:
        assert await writer.write(BODY * 3)
        stored = await writer.commit()
    assert stored is not None
    assert await shelf.body(stored) == BODY * 3


async def test_waiters_read_along_from_anywhere(shelf: Shelf) -> None:
    """From the file, from what is being written to it, and from what has just come; also after the end."""
    async with shelf.writer("k", len(BODY)) as writer:
        for start in range(0, len(BODY), 30_000):
            await writer.write(BODY[start : start + 30_000])
            for offset in (0, start // 2, max(0, start - 10), writer.written - 1, writer.written):
                assert b"".join([chunk async for chunk in writer.read(offset)]) == BODY[offset : writer.written]
        stored = await writer.commit()
        assert stored is not None
        shelf.purge("none")
        shelf.cache.flush()
        await shelf.settled()
        assert shelf.files() == []
        assert b"".join([chunk async for chunk in writer.read(1)]) == BODY[1:]


async def test_no_waiter_holds_more_than_a_few_blocks(shelf: Shelf) -> None:
    async with shelf.writer("k", None) as writer:
        await writer.write(BODY * 2)
        sizes = [len(chunk) async for chunk in writer.read(0)]
        assert max(sizes) <= 4 * BLOCK_BYTES
        stored = await writer.commit()
    assert stored is not None
    assert max([len(chunk) async for chunk in shelf.cache.read(stored)]) <= 4 * BLOCK_BYTES


async def test_what_is_given_up_leaves_nothing(shelf: Shelf) -> None:
    async with shelf.writer("k", len(BODY)) as writer:
        await writer.write(BODY[:-1])
        assert await writer.commit() is None
    async with shelf.writer("k", None) as writer:
        await writer.write(BODY)
        writer.abort()
    with pytest.raises(asyncio.CancelledError):
        async with shelf.writer("k", None) as writer:
            await writer.write(BODY)
            raise asyncio.CancelledError
    await shelf.settled()
    assert shelf.files() == []
    assert shelf.figure("bytes", tier="disk") == 0
    assert shelf.figure("bytes", tier="memory") == 0


@pytest.mark.parametrize("how", ["purge", "drop", "flush", "replace"])
async def test_what_is_removed_leaves_nothing(shelf: Shelf, how: str) -> None:
    stored = await shelf.kept("k", BODY, tags=["p-1"])
    match how:
        case "purge":
            shelf.purge("p-1")
        case "drop":
            shelf.cache.drop("k")
        case "flush":
            shelf.cache.flush()
        case "replace":
            await shelf.kept("k", b"small")
    assert not stored.alive
    await shelf.settled()
    assert shelf.files() == []
    assert shelf.figure("bytes", tier="disk") == 0


@pytest.mark.parametrize("is_hot", [False, True])
async def test_a_delivery_that_has_begun_goes_on(shelf: Shelf, is_hot: bool) -> None:
    stored = await shelf.kept("k", BODY, tags=["p-1"])
    if is_hot:
        await shelf.body(stored)
    got = b""
    async for chunk in shelf.cache.read(stored):
        got += bytes(chunk)
        shelf.purge("p-1")
        await shelf.settled()
    assert got == BODY
    with pytest.raises(StoredDamaged):
        await shelf.body(stored)
    assert shelf.figure("damaged_total") == 0, "it was purged, not damaged"


async def test_purged_at_any_moment_of_its_commit_it_is_never_seen_again(tmp_path: Path) -> None:
    for turns in range(12):
        async with opened(tmp_path, lease_seconds=0) as shelf:
            async with shelf.writer("k", len(BODY), tags=["p-1"]) as writer:
                await writer.write(BODY)
                committing = asyncio.ensure_future(writer.commit())
                for _ in range(turns):
                    await asyncio.sleep(0.0003)
                shelf.purge("p-1")
                await committing
                assert shelf.find("k") is None
        async with opened(tmp_path, lease_seconds=0) as shelf:
            await shelf.cache.restored()
            assert shelf.find("k") is None
            assert shelf.files() == []


async def test_a_commit_that_is_cancelled_leaves_a_whole_object_or_none(shelf: Shelf) -> None:
    for turns in range(8):
        async with shelf.writer("k", len(BODY)) as writer:
            await writer.write(BODY)
            committing = asyncio.ensure_future(writer.commit())
            for _ in range(turns):
                await asyncio.sleep(0.0003)
            committing.cancel()
            await asyncio.wait([committing])
        stored = shelf.find("k")
        if stored is not None:
            assert await shelf.body(stored) == BODY
            shelf.cache.drop("k")
        await shelf.settled()
        assert shelf.files() == []
        assert shelf.figure("bytes", tier="disk") == 0


async def test_a_body_keeps_its_file_when_it_is_refreshed(shelf: Shelf) -> None:
    old = await shelf.kept("k", BODY, tags=["p-1"])
    new = shelf.cache.refresh(old, NEW, HOUR, 2e6, shelf.generations.clock, tags=frozenset({"p-2", "longer" * 30}))
    assert new is not None
    assert await shelf.body(new) == BODY
    assert await shelf.body(old) == BODY, "whoever still delivers the old one can do so"
    await shelf.settled()
    assert path_of(new) == path_of(old)
    assert new.cost == path_of(new).stat().st_size == shelf.figure("bytes", tier="disk")


async def test_the_disk_is_bounded(tmp_path: Path) -> None:
    room = 20 * BLOCK_BYTES
    async with opened(tmp_path, disk_bytes=room, lease_seconds=0) as shelf:
        made = []
        for number in range(60):
            size = 1500 + number * 7919 % (3 * BLOCK_BYTES)
            made.append(await shelf.kept(f"k{number}", bytes(size)))
            assert shelf.figure("bytes", tier="disk") <= room
            assert shelf.taken() <= room + 4 * BLOCK_BYTES
        living = {stored.key for stored in made if stored.alive}
        assert shelf.figure("evictions_total", tier="disk") == 60 - len(living) > 0
        await shelf.settled()
        assert len(shelf.files()) == len(living)
    async with opened(tmp_path, disk_bytes=room // 2, lease_seconds=0) as shelf:
        await shelf.cache.restored()
        await shelf.settled()
        assert 0 < shelf.figure("bytes", tier="disk") <= room // 2
        assert shelf.taken() <= room // 2


async def test_what_is_known_of_bodies_on_disk_is_bounded_too(tmp_path: Path) -> None:
    async with opened(tmp_path, memory_bytes=200_000, disk_bytes=10**9) as shelf:
        for number in range(100):
            await shelf.put(f"k{number}", bytes(1500), headers={"X-Long": "x" * 5000})
        assert 0 < shelf.figure("objects", tier="disk") * 5000 < 200_000 / 4
        await shelf.settled()
        assert len(shelf.files()) == shelf.figure("objects", tier="disk")


@pytest.mark.parametrize("declared", [True, False])
async def test_what_writers_hold_on_disk_is_bounded(tmp_path: Path, declared: bool) -> None:
    room = 20 * BLOCK_BYTES
    async with opened(tmp_path, disk_bytes=room) as shelf:
        hot = await shelf.kept("hot", BODY[: 2 * BLOCK_BYTES])
        writers = [shelf.writer(f"k{number}", len(BODY) if declared else None) for number in range(10)]
        for writer in writers:
            await writer.write(BODY)
            assert shelf.taken() <= room
        assert shelf.figure("unkept_total", reason="room") > 0
        for writer in writers:
            writer.close()
        await shelf.settled()
        assert hot.alive
        assert [path.name for path in shelf.files()] == [path_of(hot).name]


async def test_one_process_for_one_directory(shelf: Shelf) -> None:
    with pytest.raises(DataDirectoryUnusable, match="in use"):
        async with opened(shelf.directory):
            pass


async def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryUnusable):
        async with opened(tmp_path / "file" / "edge"):
            pass


async def test_a_scan_leaves_what_is_read_often(tmp_path: Path) -> None:
    room = 2_000_000
    async with opened(tmp_path, disk_bytes=room) as shelf:
        for number in range(50):
            await shelf.kept(f"hot{number}", bytes(20_000))
            for _ in range(3):
                shelf.find(f"hot{number}")
        for number in range(100):
            await shelf.kept(f"cold{number}", bytes(room // 20))
        assert all(shelf.find(f"hot{number}") for number in range(50))
        assert await shelf.put("huge", bytes(room // 2 + 1)) is None
        assert all(shelf.find(f"hot{number}") for number in range(50)), "what has no room does not make any"


async def test_what_is_read_often_is_kept_in_memory(tmp_path: Path) -> None:
    """Within the bound of the memory, and no longer than the body is there."""
    async with opened(tmp_path, memory_bytes=8 * len(BODY)) as shelf:
        small = await shelf.kept("small", b"s" * 900)
        stored = await shelf.kept("k", BODY, tags=["p-1"])
        before = shelf.figure("bytes", tier="memory")
        assert await shelf.body(stored) == BODY
        assert before + len(BODY) <= shelf.figure("bytes", tier="memory")
        path_of(stored).write_bytes(b"")
        assert await shelf.body(stored) == BODY
        assert await shelf.body(stored, 70_000, 300_000) == BODY[70_000:370_000]
        shelf.purge("p-1")
        assert shelf.figure("bytes", tier="memory") == small.cost


async def test_what_is_read_often_is_sent_from_where_it_is(tmp_path: Path) -> None:
    """Whoever has begun with it gets it, even if its place would be for something else by now."""
    async with opened(tmp_path, memory_bytes=16 * len(BODY)) as shelf:
        stored = await shelf.kept("k", BODY, tags=["p-1"])
        for _ in range(3):
            assert await shelf.body(stored) == BODY
        pieces = [piece async for piece in shelf.cache.read(stored, 1)]
        assert any(isinstance(piece, Held) for piece in pieces)
        shelf.purge("p-1")
        for key in ("l", "m", "n"):
            other = await shelf.kept(key, BODY[::-1])
            for _ in range(4):
                assert await shelf.body(other) == BODY[::-1]
        assert b"".join(map(bytes, pieces)) == BODY[1:]


async def test_the_memory_is_bounded_whatever_it_holds(tmp_path: Path) -> None:
    room = 8 * len(BODY)
    async with opened(tmp_path, memory_bytes=room, memory_object_bytes=50_000) as shelf:
        large = [await shelf.kept(f"large{number}", BODY) for number in range(8)]
        for number in range(100):
            await shelf.kept(f"small{number}", bytes(49_000))
            assert await shelf.body(large[number % 8]) == BODY
            assert shelf.figure("bytes", tier="memory") <= room
        assert shelf.figure("objects", tier="memory") > 20
        assert all(shelf.find(stored.key) is stored for stored in large)


async def test_many_readers_take_small_pieces(shelf: Shelf) -> None:
    stored = await shelf.kept("k", BODY)
    readers = [shelf.cache.read(stored, 1) for _ in range(80)]
    pieces = [await anext(reader) for reader in readers]
    assert {len(piece) for piece in pieces[-10:]} == {BLOCK_BYTES - 1}
    for reader, piece in zip(readers, pieces, strict=True):
        assert bytes(piece) + b"".join([bytes(chunk) async for chunk in reader]) == BODY[1:]


async def test_a_delivery_may_be_given_up_at_any_moment(tmp_path: Path) -> None:
    async with opened(tmp_path) as shelf:
        stored = await shelf.kept("k", BODY * 3)
        for turns in range(6):
            reading = asyncio.ensure_future(shelf.body(stored))
            for _ in range(turns):
                await asyncio.sleep(0.0003)
            reading.cancel()
            await asyncio.wait([reading])
        assert await shelf.body(stored) == BODY * 3
    path = path_of(stored)
    assert path.exists()
    assert not held_open(path)
