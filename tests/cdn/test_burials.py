"""A purge of very much: nothing of it is found from that moment on, and the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pastebin.cdn import burials
from tests.cdn.caches import Shelf, opened

MANY = 3 * burials._SLICE + 7


async def filled(shelf: Shelf, count: int, body: bytes = b"old") -> None:
    for number in range(count):
        await shelf.kept(f"k{number}", body, tags=["all", f"p-{number}"])


async def tidied(shelf: Shelf) -> int:
    """Turns of the event loop until everything is taken out."""
    turns = 0
    while shelf.cache._burials._dead:
        turns += 1
        await asyncio.sleep(0)
    return turns


async def test_what_is_purged_is_gone_before_it_is_tidied_up(tmp_path: Path) -> None:
    async with opened(tmp_path, disk_bytes=0) as shelf:
        await filled(shelf, MANY)
        assert shelf.purge("all") == MANY
        last = f"k{MANY - 1}"
        assert [shelf.find(f"k{number}") for number in range(MANY)] == [None] * MANY
        assert [shelf.cache.peek(f"k{number}") for number in range(MANY)] == [[]] * MANY
        assert shelf.purge("all") == 0
        new = [await shelf.kept(key, b"new", tags=["all"]) for key in ("k0", last)]
        assert await tidied(shelf) >= 2
        assert [shelf.find("k0"), shelf.find(last), shelf.find("k1")] == [*new, None]
        assert shelf.figure("objects", tier="memory") == 2
        assert shelf.purge("all") == 2
        assert shelf.figure("bytes", tier="memory") == 0


async def test_their_files_go_at_once(tmp_path: Path) -> None:
    """The state of the feed may be noted right behind the purge."""
    async with opened(tmp_path) as shelf:
        await filled(shelf, burials._SLICE + 50, bytes(2000))
        shelf.purge("all")
        await shelf.settled()
        assert shelf.files() == []
        await tidied(shelf)
        assert shelf.figure("bytes", tier="disk") == 0


async def test_purges_and_a_flush_while_it_is_tidied_up(tmp_path: Path) -> None:
    async with opened(tmp_path, disk_bytes=0) as shelf:
        await filled(shelf, MANY)
        await shelf.kept("other", b"old", tags=["other"])
        shelf.purge("all")
        assert shelf.purge("other") == 1
        assert shelf.find("other") is None
        assert shelf.purge("p-5", "p-9") == 0
        shelf.cache.flush()
        kept = await shelf.kept("k5", b"new", tags=["all"])
        await tidied(shelf)
        assert shelf.find("k5") is kept
        assert shelf.figure("objects", tier="memory") == 1
