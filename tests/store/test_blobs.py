"""What every blob store promises. A store joins by becoming a parameter of the fixture `blobs`."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pastebin.errors import BlobMissing
from pastebin.store.blobs import CHUNK_BYTES, BlobEntry, Blobs, new_key

MIB = 1024**2
BODY = secrets.token_bytes(3 * MIB + 17)

# the store is the same for all examples: each has a key of its own
together = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)


async def stored(blobs: Blobs, body: bytes, *cuts: int) -> str:
    key = new_key()
    edges = [0, *sorted(cuts), len(body)]
    async with blobs.writer(key) as writer:
        for start, stop in pairwise(edges):
            await writer.write(body[start:stop])
        await writer.complete()
    return key


async def whole(blobs: Blobs, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(key, start, length)])


async def listing(blobs: Blobs) -> list[BlobEntry]:
    return [entry async for entry in blobs.entries()]


async def keys(blobs: Blobs) -> set[str]:
    return {entry.key for entry in await listing(blobs)}


class TestBlobs:
    @together
    @given(cuts=st.lists(st.integers(0, len(BODY)), max_size=20), size=st.integers(0, len(BODY)))
    async def test_what_was_written_is_read_however_it_was_cut(self, blobs: Blobs, cuts: list[int], size: int) -> None:
        key = await stored(blobs, BODY[:size], *(min(cut, size) for cut in cuts))
        assert await whole(blobs, key) == BODY[:size]

    @together
    @given(data=st.data())
    async def test_ranges_are_slices(self, blobs: Blobs, data: st.DataObject) -> None:
        size = data.draw(st.sampled_from([0, 1, 1000, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]))
        start = data.draw(st.integers(0, size))
        length = data.draw(st.none() | st.integers(0, size - start))
        key = await stored(blobs, BODY[:size])
        assert await whole(blobs, key, start, length) == BODY[start : size if length is None else start + length]

    async def test_many_tiny_chunks(self, blobs: Blobs) -> None:
        assert await whole(blobs, await stored(blobs, BODY[:5000], *range(5000))) == BODY[:5000]

    async def test_chunks_read_are_bounded(self, blobs: Blobs) -> None:
        key = await stored(blobs, BODY)
        sizes = [len(chunk) async for chunk in blobs.read(key)]
        assert sum(sizes) == len(BODY)
        assert max(sizes) <= CHUNK_BYTES

    async def test_nobody_reads_or_lists_a_blob_before_it_is_complete(self, blobs: Blobs) -> None:
        key = new_key()
        async with blobs.writer(key) as writer:
            await writer.write(BODY)
            with pytest.raises(BlobMissing):
                await whole(blobs, key)
            assert await listing(blobs) == []
            await writer.complete()
            assert await whole(blobs, key) == BODY
        assert await keys(blobs) == {key}

    async def test_leaving_without_complete_leaves_nothing(self, blobs: Blobs) -> None:
        key = new_key()
        async with blobs.writer(key) as writer:
            await writer.write(BODY)
        with pytest.raises(BlobMissing):
            await whole(blobs, key)
        assert await listing(blobs) == []
        assert await blobs.remove_abandoned(0) == 0

    async def test_an_error_of_the_caller_leaves_nothing_and_passes(self, blobs: Blobs) -> None:
        with pytest.raises(LookupError):
            async with blobs.writer(new_key()) as writer:
                await writer.write(BODY)
                raise LookupError
        assert await listing(blobs) == []
        assert await blobs.remove_abandoned(0) == 0

    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 50])
    async def test_a_cancelled_writer_leaves_nothing(self, blobs: Blobs, turns: int) -> None:
        async def upload() -> None:
            async with blobs.writer(new_key()) as writer:
                while True:
                    await writer.write(BODY[:MIB])

        task = asyncio.create_task(upload())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await listing(blobs) == []
        assert await blobs.remove_abandoned(0) == 0

    async def test_a_writer_cancelled_while_it_completes_leaves_all_or_nothing(self, blobs: Blobs) -> None:
        completed = set()

        async def upload(key: str) -> None:
            async with blobs.writer(key) as writer:
                await writer.write(BODY[:1000])
                await writer.complete()
                completed.add(key)

        for turns in range(12):
            task = asyncio.create_task(upload(new_key()))
            for _ in range(turns):
                await asyncio.sleep(0.0002)  # spreads the cancellations over the work of the threads
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await keys(blobs) == completed
        assert await blobs.remove_abandoned(0) == 0

    async def test_writers_do_not_disturb_each_other(self, blobs: Blobs) -> None:
        sizes = [0, 1, 1000, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB] * 3
        made = await asyncio.gather(*(stored(blobs, BODY[:size], size // 3) for size in sizes))
        for key, size in zip(made, sizes, strict=True):
            assert await whole(blobs, key) == BODY[:size]
        assert {(entry.key, entry.size) for entry in await listing(blobs)} == set(zip(made, sizes, strict=True))

    async def test_of_two_writers_of_one_key_one_wins_whole(self, blobs: Blobs) -> None:
        key = new_key()
        bodies = [b"a" * 2 * MIB, b"b" * 2 * MIB]

        async def upload(body: bytes) -> None:
            async with blobs.writer(key) as writer:
                await writer.write(body)
                await writer.complete()

        await asyncio.gather(*(upload(body) for body in bodies))
        assert await whole(blobs, key) in bodies
        assert await keys(blobs) == {key}

    async def test_many_readers(self, blobs: Blobs) -> None:
        key = await stored(blobs, BODY)
        assert set(await asyncio.gather(*(whole(blobs, key) for _ in range(20)))) == {BODY}

    async def test_a_reader_may_leave_at_any_chunk(self, blobs: Blobs) -> None:
        key = await stored(blobs, BODY)
        for wanted in range(4):
            async with aclosing(blobs.read(key)) as chunks:
                for _ in range(wanted):
                    await anext(chunks)

    async def test_a_blob_that_is_not_there_is_missing(self, blobs: Blobs) -> None:
        with pytest.raises(BlobMissing):
            await whole(blobs, new_key())

    @pytest.mark.parametrize(("start", "length"), [(0, 11), (5, 6), (10, 1), (11, None), (11, 0)])
    async def test_a_blob_shorter_than_promised_is_missing(self, blobs: Blobs, start: int, length: int | None) -> None:
        key = await stored(blobs, b"0123456789")
        with pytest.raises(BlobMissing):
            await whole(blobs, key, start, length)

    async def test_removed_is_gone(self, blobs: Blobs) -> None:
        key, other = await stored(blobs, BODY), await stored(blobs, b"other")
        await blobs.remove(key)
        with pytest.raises(BlobMissing):
            await whole(blobs, key)
        assert await keys(blobs) == {other}
        await blobs.remove(key)
        await blobs.remove(new_key())

    async def test_entries_say_when(self, blobs: Blobs) -> None:
        key = await stored(blobs, b"text")
        [entry] = await listing(blobs)
        assert (entry.key, entry.size) == (key, 4)
        assert abs(datetime.now(UTC) - entry.modified_at) < timedelta(minutes=5)

    async def test_everything_is_listed(self, blobs: Blobs) -> None:
        made = await asyncio.gather(*(stored(blobs, b"x") for _ in range(300)))
        assert sorted(entry.key for entry in await listing(blobs)) == sorted(made)

    async def test_a_live_writer_is_not_abandoned(self, blobs: Blobs) -> None:
        key = new_key()
        async with blobs.writer(key) as writer:
            await writer.write(BODY)
            assert await blobs.remove_abandoned(3600) == 0
            await writer.complete()
        assert await whole(blobs, key) == BODY

    UNSAFE = ("", ".", "..", "../" * 10 + "x", "/etc/passwd", "a" * 31, "a" * 33, "A" * 32, "g" * 32, "a" * 31 + "\n")

    @pytest.mark.parametrize("key", [*UNSAFE, "a" * 32 + "\0", "a" * 32 + "\n", "\u0661" * 32, "ab/cd/" + "a" * 26])
    async def test_unsafe_keys_are_refused(self, blobs: Blobs, key: str) -> None:
        with pytest.raises(ValueError, match="32 hexadecimal digits"):
            await whole(blobs, key)
        with pytest.raises(ValueError, match="32 hexadecimal digits"):
            await blobs.remove(key)
        with pytest.raises(ValueError, match="32 hexadecimal digits"):
            async with blobs.writer(key):
                pass
        assert await listing(blobs) == []

    async def test_negative_ranges_are_refused(self, blobs: Blobs) -> None:
        key = await stored(blobs, b"text")
        for start, length in [(-1, None), (0, -1)]:
            with pytest.raises(ValueError, match="negative"):
                await whole(blobs, key, start, length)
