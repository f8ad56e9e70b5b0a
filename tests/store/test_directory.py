"""What the directory store promises beyond test_blobs.py: crashes, full disks, descriptors and memory."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pastebin.errors import BlobMissing, DataDirectoryUnusable, StorageFull, Unavailable
from pastebin.store.blobs import CHUNK_BYTES, new_key
from pastebin.store.directory import DirectoryBlobs
from tests.descriptors import held_open

MIB = 1024**2


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[DirectoryBlobs]:
    async with DirectoryBlobs.opened(tmp_path, min_free_bytes=0) as store:
        yield store


async def stored(blobs: DirectoryBlobs, body: bytes) -> str:
    key = new_key()
    async with blobs.writer(key) as writer:
        await writer.write(body)
        await writer.complete()
    return key


async def whole(blobs: DirectoryBlobs, key: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(key)])


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[Path]:
    """A real file system of its own."""
    directory.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


class TestLayout:
    async def test_a_blob_stands_two_levels_down(self, blobs: DirectoryBlobs, tmp_path: Path) -> None:
        key = await stored(blobs, b"text")
        assert files_in(tmp_path) == [tmp_path / key[:2] / key[2:4] / key]

    async def test_nobody_else_may_look(self, tmp_path: Path) -> None:
        async with DirectoryBlobs.opened(tmp_path / "new" / "blobs", min_free_bytes=0) as blobs:
            await stored(blobs, b"text")
        for path in (tmp_path / "new").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)

    async def test_it_outlives_the_process(self, tmp_path: Path) -> None:
        async with DirectoryBlobs.opened(tmp_path, min_free_bytes=0) as blobs:
            key = await stored(blobs, b"text")
        async with DirectoryBlobs.opened(tmp_path, min_free_bytes=0) as blobs:
            assert await whole(blobs, key) == b"text"

    async def test_foreign_files_are_neither_listed_nor_removed(self, blobs: DirectoryBlobs, tmp_path: Path) -> None:
        key = await stored(blobs, b"text")
        leaf = tmp_path / key[:2] / key[2:4]
        for path in (tmp_path / "lost+found", tmp_path / "zz", leaf / new_key(), tmp_path / "tmp" / "directory"):
            path.mkdir()
        for path in (tmp_path / "README", tmp_path / "ab", leaf / "notes", leaf / f"{key}.bak"):
            path.exists() or path.write_text("foreign")
        (leaf / new_key()).symlink_to("/etc/passwd")
        assert [entry.key async for entry in blobs.entries()] == [key]
        assert await blobs.remove_abandoned(0) == 0

    async def test_a_link_is_not_followed(self, blobs: DirectoryBlobs, tmp_path: Path) -> None:
        key = await stored(blobs, b"text")
        link = key[:4] + new_key()[4:]
        (tmp_path / key[:2] / key[2:4] / link).symlink_to("/etc/passwd")
        with pytest.raises(BlobMissing):
            await whole(blobs, link)

    async def test_directories_removed_by_hand_come_back(self, blobs: DirectoryBlobs, tmp_path: Path) -> None:
        key = await stored(blobs, b"text")
        await blobs.remove(key)
        (tmp_path / key[:2] / key[2:4]).rmdir()
        (tmp_path / key[:2]).rmdir()
        async with blobs.writer(key) as writer:
            await writer.write(b"again")
            await writer.complete()
        assert await whole(blobs, key) == b"again"


class TestUnusable:
    async def opening(self, directory: Path) -> None:
        async with DirectoryBlobs.opened(directory, min_free_bytes=0):
            pass

    async def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for directory in (tmp_path / "file", tmp_path / "file" / "blobs"):
            with pytest.raises(DataDirectoryUnusable, match=str(directory)):
                await self.opening(directory)

    async def test_a_directory_without_permission(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        if os.access(tmp_path, os.W_OK):
            pytest.skip("root may write everywhere")
        for directory in (tmp_path, tmp_path / "blobs"):
            with pytest.raises(DataDirectoryUnusable, match="Permission denied"):
                await self.opening(directory)

    async def test_a_disk_that_cannot_be_written_to(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "size=1m,ro") as disk, pytest.raises(DataDirectoryUnusable, match="Read-only"):
            await self.opening(disk)

    async def test_unfinished_files_on_another_disk(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "tmp", "size=1m"), pytest.raises(DataDirectoryUnusable, match="same file system"):
            await self.opening(tmp_path)


class TestFullDisk:
    async def test_a_disk_that_fills_up(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "size=4m") as disk:
            async with DirectoryBlobs.opened(disk, min_free_bytes=0) as blobs:
                kept = await stored(blobs, b"kept")
                with pytest.raises(StorageFull):
                    await stored(blobs, bytes(16 * MIB))
                assert files_in(disk) == [disk / kept[:2] / kept[2:4] / kept]
                assert await whole(blobs, await stored(blobs, bytes(2 * MIB))) == bytes(2 * MIB)

    async def test_the_last_block_does_not_fit(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "size=1m") as disk:
            async with DirectoryBlobs.opened(disk, min_free_bytes=0) as blobs:
                kept = await stored(blobs, bytes(MIB // 2))
                async with blobs.writer(new_key()) as writer:
                    await writer.write(bytes(MIB - 1))
                    with pytest.raises(StorageFull):
                        await writer.complete()
            assert files_in(disk) == [disk / kept[:2] / kept[2:4] / kept]

    async def test_no_room_for_another_file(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "size=4m,nr_inodes=6") as disk:
            async with DirectoryBlobs.opened(disk, min_free_bytes=0) as blobs:
                kept = await stored(blobs, b"kept")
                with pytest.raises(StorageFull):
                    for _ in range(6):
                        await stored(blobs, b"more")
                assert await whole(blobs, kept) == b"kept"
            async with DirectoryBlobs.opened(disk, min_free_bytes=0) as blobs:
                assert await whole(blobs, kept) == b"kept"

    async def test_a_reserve_is_kept_for_others(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "size=4m") as disk:
            async with DirectoryBlobs.opened(disk, min_free_bytes=3 * MIB) as blobs:
                await stored(blobs, bytes(2 * MIB))
                with pytest.raises(StorageFull):
                    async with blobs.writer(new_key()):
                        pytest.fail("a writer began without room")

    async def test_the_reserve_is_looked_at_as_a_write_goes_on(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "size=160m") as disk:
            async with DirectoryBlobs.opened(disk, min_free_bytes=120 * MIB) as blobs:
                written = 0
                with pytest.raises(StorageFull):
                    async with blobs.writer(new_key()) as writer:
                        while True:
                            await writer.write(bytes(MIB))
                            written += 1
                assert written < 70
            assert files_in(disk) == []


class TestBrokenDisk:
    async def test_other_errors_are_logged(
        self, blobs: DirectoryBlobs, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "tmp").rmdir()
        with pytest.raises(Unavailable):
            await stored(blobs, b"text")
        with pytest.raises(Unavailable):
            await blobs.remove_abandoned(0)
        said = [record for record in caplog.records if record.name.startswith("pastebin.store.")]
        assert {record.levelno for record in said} == {logging.ERROR}
        assert "No such file or directory" in caplog.text

    async def test_a_disk_that_fails_while_writing(self, blobs: DirectoryBlobs, tmp_path: Path) -> None:
        key = new_key()
        (tmp_path / key[:2]).touch()
        with pytest.raises(Unavailable):
            async with blobs.writer(key) as writer:
                await writer.write(b"text")
                await writer.complete()
        assert files_in(tmp_path) == [tmp_path / key[:2]]

    async def test_a_blob_cut_short_while_it_is_read(
        self, blobs: DirectoryBlobs, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = await stored(blobs, bytes(10 * CHUNK_BYTES))
        chunks = blobs.read(key)
        await anext(chunks)
        os.truncate(tmp_path / key[:2] / key[2:4] / key, 2 * CHUNK_BYTES)
        with pytest.raises(BlobMissing):
            async for _ in chunks:
                pass
        assert "earlier than promised" in caplog.text

    async def test_a_blob_removed_while_it_is_read_is_read_to_its_end(self, blobs: DirectoryBlobs) -> None:
        body = os.urandom(4 * CHUNK_BYTES)
        key = await stored(blobs, body)
        chunks = blobs.read(key)
        first = await anext(chunks)
        await blobs.remove(key)
        assert first + b"".join([chunk async for chunk in chunks]) == body


class TestDescriptors:
    async def test_none_is_left_open(self, blobs: DirectoryBlobs, tmp_path: Path) -> None:
        key = await stored(blobs, bytes(8 * CHUNK_BYTES))
        assert not held_open(tmp_path)
        await asyncio.gather(*(self.trouble(blobs, key, turns) for turns in range(60)))
        async for _ in blobs.read(key):
            assert held_open(tmp_path)
            break  # nobody closes this generator but the collector
        gc.collect()
        for _ in range(200):
            await whole(blobs, key)
            if not held_open(tmp_path):
                break
        assert not held_open(tmp_path)

    async def trouble(self, blobs: DirectoryBlobs, key: str, turns: int) -> None:
        """Cancel a reader and a writer after so many turns of the loop."""
        tasks = [asyncio.create_task(whole(blobs, key)), asyncio.create_task(stored(blobs, bytes(2 * MIB)))]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def test_a_reader_may_outlive_the_store(self, tmp_path: Path) -> None:
        async with DirectoryBlobs.opened(tmp_path, min_free_bytes=0) as blobs:
            chunks = blobs.read(await stored(blobs, bytes(8 * CHUNK_BYTES)))
            await anext(chunks)
        assert held_open(tmp_path)
        await chunks.aclose()
        assert not held_open(tmp_path)


WRITING = """
import asyncio, sys
from pathlib import Path
from pastebin.store.blobs import new_key
from pastebin.store.directory import DirectoryBlobs

async def main():
    async with DirectoryBlobs.opened(Path(sys.argv[1]), min_free_bytes=0) as blobs:
        done = new_key()
        async with blobs.writer(done) as writer:
            await writer.write(bytes(2**20))
            await writer.complete()
        async with blobs.writer(new_key()) as writer:
            for _ in range(8):
                await writer.write(bytes(2**20))
            print(done, flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


class TestKilled:
    async def test_what_a_killed_process_was_writing_is_nowhere(self, blobs: DirectoryBlobs, tmp_path: Path) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", WRITING, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            done = process.stdout.readline().strip()
            assert len(files_in(tmp_path / "tmp")) == 1
            assert await blobs.remove_abandoned(0) == 0  # it lives
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        assert [entry.key async for entry in blobs.entries()] == [done]
        assert await whole(blobs, done) == bytes(MIB)
        assert await blobs.remove_abandoned(3600) == 0
        assert await blobs.remove_abandoned(0) == 1
        assert files_in(tmp_path / "tmp") == []


MEASURED = """
import asyncio, re, sys
from pathlib import Path
from pastebin.store.blobs import new_key
from pastebin.store.directory import DirectoryBlobs

async def go(blobs, mebibytes):
    key, chunk = new_key(), bytes(65536)
    async with blobs.writer(key) as writer:
        for _ in range(16 * mebibytes):
            await writer.write(chunk)
        await writer.complete()
    size = 0
    async for chunk in blobs.read(key):
        size += len(chunk)
    assert size == mebibytes * 2**20
    await blobs.remove(key)
    # not ru_maxrss, which begins with what the process had that has started this one
    return re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]

async def main():
    async with DirectoryBlobs.opened(Path(sys.argv[1]), min_free_bytes=0) as blobs:
        print(await go(blobs, 10), await go(blobs, 200))

asyncio.run(main())
"""


LISTED = """
import asyncio, sys, tracemalloc
from pathlib import Path
from pastebin.store.directory import DirectoryBlobs

async def main():
    async with DirectoryBlobs.opened(Path(sys.argv[1]), min_free_bytes=0) as blobs:
        tracemalloc.start()
        found = 0
        async for _ in blobs.entries():
            found += 1
        print(found, tracemalloc.get_traced_memory()[1])

asyncio.run(main())
"""


def measured(program: str, directory: Path) -> tuple[int, int]:
    """Two numbers that a process of its own says: in this one others take memory meanwhile."""
    command = [sys.executable, "-c", program, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    one, other = (int(word) for word in done.stdout.split())
    return one, other


class TestMemory:
    def test_it_is_flat_however_large_the_blob(self, tmp_path: Path) -> None:
        small, large = measured(MEASURED, tmp_path)
        assert large - small < 8 * 1024

    def test_a_listing_is_not_held(self, tmp_path: Path) -> None:
        for number in range(20_000):
            key = f"{number % 100:04x}{number:028x}"
            leaf = tmp_path / key[:2] / key[2:4]
            if number < 100:
                leaf.mkdir(parents=True)
            (leaf / key).touch()
        found, peak = measured(LISTED, tmp_path)
        assert found == 20_000
        assert peak < 2 * MIB
