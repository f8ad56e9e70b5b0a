"""The cache in memory stays within its bounds, and counts in full."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cdn.caches import Shelf, opened


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with opened(tmp_path / "edge", disk_bytes=0) as shelf:
        yield shelf


async def test_the_memory_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, disk_bytes=0, memory_bytes=500_000) as shelf:
        made = []
        for number in range(400):
            made.append(await shelf.kept(f"k{number}", bytes(900), tags=[f"p-{number}", "all"]))
            assert shelf.figure("bytes", tier="memory") <= 500_000
        living = [stored for stored in made if stored.alive]
        assert 50 < len(living) < 200
        assert all(shelf.find(stored.key) is stored for stored in living)
        assert shelf.figure("evictions_total", tier="memory") == 400 - len(living)
        assert shelf.purge("all") == len(living), "the index forgets with the cache"


async def test_headers_and_tags_count_too(shelf: Shelf) -> None:
    plain = await shelf.kept("plain", b"")
    rich = await shelf.kept("rich", b"", headers={"X-Long": "x" * 10_000}, tags=[f"{n}" * 20 for n in range(100)])
    assert rich.cost > plain.cost + 10_000 + 100 * 20


async def test_what_writers_hold_in_memory_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, disk_bytes=0, memory_bytes=40_000) as shelf:
        writers = [shelf.writer(f"k{number}", None) for number in range(20)]
        taken = [await writer.write(bytes(1000)) for writer in writers]
        assert taken == [True] * 10 + [False] * 10, "a quarter of the memory"
        assert shelf.figure("unkept_total", reason="room") == 10
        for writer in writers:
            writer.close()
        assert shelf.figure("bytes", tier="memory") == 0
        assert await shelf.put("k", bytes(1000)) is not None


async def test_a_scan_leaves_what_is_read_often(tmp_path: Path) -> None:
    async with opened(tmp_path, disk_bytes=0, memory_bytes=500_000) as shelf:
        for number in range(40):
            await shelf.kept(f"hot{number}", bytes(900))
            for _ in range(3):
                shelf.find(f"hot{number}")
        for number in range(2000):
            await shelf.put(f"cold{number}", bytes(900))
        assert all(shelf.find(f"hot{number}") is not None for number in range(40))


@pytest.mark.parametrize(("headers", "tags"), [(3, 2), (20, 1), (1, 40)])
async def test_memory_is_counted_in_full(tmp_path: Path, headers: int, tags: int) -> None:
    """What is counted is not less than what Python takes."""
    async with opened(tmp_path, disk_bytes=0, memory_bytes=10**8) as shelf:
        await shelf.kept("warm", b"up")
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(300):
                await shelf.kept(
                    f"example.org/path/{number}",
                    bytes(500),
                    headers={f"X-Header-{n}-{number}": f"value {n} {number}" for n in range(headers)},
                    tags=[f"p-{number}-{n}" for n in range(tags)],
                    variant=(("accept-encoding", f"gzip {number}"),),
                )
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        counted = shelf.figure("bytes", tier="memory")
        assert taken <= counted <= 2.5 * taken
