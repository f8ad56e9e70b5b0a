"""From one process to the next: what is found again, and that not even a crash brings back what was purged."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from pastebin.cdn.chores import FeedState
from pastebin.cdn.freshness import Policy
from pastebin.errors import StoredDamaged
from tests.cdn.caches import HOUR, Shelf, opened

BODY = random.Random(2).randbytes(150_000)  # noqa: S311  (no secret)
AWKWARD = {"ETag": '"\udcff"', "X-Empty": "", "X-Long": "é" * 500}


async def filled(directory: Path, *keys: str) -> list[Path]:
    """A cache that was used, heard of the feed, and was closed."""
    async with opened(directory) as shelf:
        for key in keys:
            await shelf.kept(key, BODY + key.encode(), tags=[f"p-{key}", "all"])
        await shelf.cache.restored()
        shelf.cache.note_feed("epoch", 7)
        return shelf.files()


async def found(shelf: Shelf) -> set[str]:
    await shelf.cache.restored()
    return {key for key in "abc" if shelf.find(key) is not None}


async def test_everything_about_a_response_is_found_again(tmp_path: Path) -> None:
    policy = Policy(lifetime=12.5, initial_age=3.0, stale_if_error=60.0, for_authorised=True)
    variant = (("accept-encoding", "gzip"), ("x-absent", None))
    async with opened(tmp_path, lease_seconds=0) as shelf:
        stored = await shelf.kept("a", BODY, tags=["p-1", "p-2"], variant=variant, headers=AWKWARD)
        changed = shelf.cache.refresh(stored, stored.headers, policy, 1234.5, shelf.generations.clock)
        assert changed is not None
    async with opened(tmp_path, lease_seconds=0) as shelf:
        await shelf.cache.restored()
        (again,) = shelf.cache.peek("a")
        assert shelf.find("a", **{"Accept-Encoding": "gzip"}) is again
        assert (again.key, again.variant, again.status, again.tags) == ("a", variant, 200, frozenset({"p-1", "p-2"}))
        assert list(again.headers.items()) == list(AWKWARD.items())
        assert (again.policy, again.responded_at, again.size) == (policy, 1234.5, len(BODY))
        assert again.cost == changed.cost == shelf.figure("bytes", tier="disk")
        assert again.alive
        assert await shelf.body(again) == BODY
        assert shelf.purge("p-2") == 1


async def test_the_feed_state_is_found_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as shelf:
        assert shelf.cache.feed_state() is None
        await shelf.cache.restored()
        shelf.cache.note_feed("epoch", 6)
        shelf.cache.note_feed("epoch", 7)
        assert shelf.cache.feed_state() == FeedState("epoch", 7)
    async with opened(tmp_path) as shelf:
        assert shelf.cache.feed_state() == FeedState("epoch", 7)


@pytest.mark.parametrize("harm", ["missing", "empty", "garbage"])
async def test_without_a_feed_state_nothing_on_disk_can_be_trusted(tmp_path: Path, harm: str) -> None:
    await filled(tmp_path, "a", "b")
    match harm:
        case "missing":
            (tmp_path / "feed").unlink()
        case "empty":
            (tmp_path / "feed").write_bytes(b"")
        case "garbage":
            (tmp_path / "feed").write_bytes(b'{"epoch":1,"sequence":"x"}')
    async with opened(tmp_path) as shelf:
        assert shelf.cache.feed_state() is None
        assert await found(shelf) == set()
    assert list((tmp_path / "objects").iterdir()) == []


async def test_purges_while_nothing_is_known_of_the_files_yet(tmp_path: Path) -> None:
    """They reach what is found later through the purge clock."""
    await filled(tmp_path, "a", "b", "c")
    async with opened(tmp_path) as shelf:
        shelf.purge("p-a")
        shelf.purge("p-b", soft=True)
        assert await found(shelf) == {"c"}
    async with opened(tmp_path) as shelf:
        assert await found(shelf) == {"c"}


async def test_a_flush_reaches_them_too(tmp_path: Path) -> None:
    await filled(tmp_path, "a", "b")
    async with opened(tmp_path) as shelf:
        shelf.cache.flush()
        assert await found(shelf) == set()


async def test_what_was_stored_meanwhile_is_not_replaced_by_an_older_file(tmp_path: Path) -> None:
    await filled(tmp_path, "a")
    async with opened(tmp_path) as shelf:
        new = await shelf.kept("a", b"new")
        await shelf.cache.restored()
        assert shelf.find("a") is new


async def test_a_soft_purge_is_remembered(tmp_path: Path) -> None:
    await filled(tmp_path, "a", "b")
    async with opened(tmp_path) as shelf:
        await shelf.cache.restored()
        shelf.purge("p-a", soft=True)
    async with opened(tmp_path) as shelf:
        await shelf.cache.restored()
        (a,), (b,) = shelf.cache.peek("a"), shelf.cache.peek("b")
        assert (a.soft_purged, b.soft_purged) == (True, False)


async def test_what_is_from_the_future_is_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path, lease_seconds=0) as shelf:
        await shelf.kept("a", BODY, responded_at=time.time() + 3600)
        await shelf.kept("b", BODY, responded_at=time.time() - 3600)
    async with opened(tmp_path, lease_seconds=0) as shelf:
        assert await found(shelf) == {"b"}


async def test_leftovers_are_removed_and_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    await filled(tmp_path, "a")
    objects = tmp_path / "objects"
    (objects / "0123abcd-7.part").write_bytes(BODY)
    (objects / "0123abcd-8.object").write_bytes(BODY)
    (objects / "0123abcd-9.object").write_bytes(b"")
    (objects / "somebody's.object").write_bytes(BODY)
    (objects / "0123abcd-a.object").symlink_to(objects / "somebody's.object")
    async with opened(tmp_path) as shelf:
        assert await found(shelf) == {"a"}
    assert len(list(objects.iterdir())) == 2
    assert (objects / "somebody's.object").read_bytes() == BODY


async def test_whatever_byte_of_a_file_is_flipped_no_wrong_one_leaves(tmp_path: Path) -> None:
    (path,) = await filled(tmp_path, "a")
    whole, feed = path.read_bytes(), (tmp_path / "feed").read_bytes()
    body = BODY + b"a"
    chance = random.Random(3)  # noqa: S311
    places = [*(chance.randrange(len(whole)) for _ in range(25)), *range(len(body), len(whole), 9), len(whole) - 1]
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
        (tmp_path / "feed").write_bytes(feed)
        async with opened(tmp_path) as shelf:
            await shelf.cache.restored()
            stored = shelf.find("a")
            assert (stored is None) is (place >= len(body)), place
            if stored is not None:
                assert (stored.tags, stored.size) == (frozenset({"p-a", "all"}), len(body))
                got = b""
                with pytest.raises(StoredDamaged):
                    async for chunk in shelf.cache.read(stored):
                        got += bytes(chunk)
                assert body.startswith(got)
        assert list((tmp_path / "objects").iterdir()) == []


@pytest.mark.parametrize("length", [0, 10, 149_000, -1, -20, -200])
async def test_a_file_that_was_cut_is_given_up(tmp_path: Path, length: int) -> None:
    (path,) = await filled(tmp_path, "a")
    os.truncate(path, length if length >= 0 else path.stat().st_size + length)
    async with opened(tmp_path) as shelf:
        assert await found(shelf) == set()


async def test_the_look_through_is_bounded_in_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody looked at in time is removed, so that the disk stays bounded."""
    await filled(tmp_path, *(f"k{number}" for number in range(20)))
    monkeypatch.setattr("pastebin.cdn.restoring._MOST", 8)
    async with opened(tmp_path) as shelf:
        await shelf.cache.restored()
        assert shelf.figure("objects", tier="disk") == 8
        await shelf.kept("new", BODY)
    assert len(list((tmp_path / "objects").iterdir())) == 9


async def test_the_look_through_is_bounded_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(tmp_path, "a", "b")
    monkeypatch.setattr("pastebin.cdn.restoring._SECONDS", -1.0)
    async with opened(tmp_path) as shelf:
        assert await found(shelf) == set()
    assert list((tmp_path / "objects").iterdir()) == []


async def test_a_stop_while_it_looks_loses_nothing(tmp_path: Path) -> None:
    await filled(tmp_path, *(f"k{number}" for number in range(100)))
    async with opened(tmp_path) as shelf:
        shelf.cache.note_feed("epoch", 9)
    assert json.loads((tmp_path / "feed").read_bytes())["sequence"] in (7, 9)
    async with opened(tmp_path) as shelf:
        await shelf.cache.restored()
        assert shelf.figure("objects", tier="disk") == 100


async def test_the_feed_state_says_no_more_than_what_is_on_disk(tmp_path: Path) -> None:
    """Until everything was looked through, what was purged may still lie in a file."""
    await filled(tmp_path, *(f"k{number}" for number in range(100)))
    async with opened(tmp_path) as shelf:
        shelf.purge("all")
        shelf.cache.note_feed("epoch", 8)
        shelf.cache._restart.end()
        state = json.loads((tmp_path / "feed").read_bytes())
        assert state["sequence"] == 7 or not shelf.files()


# Fills, purges and notes without end, each body telling its key and its version.
CHILD = """
import asyncio, sys, random
from pathlib import Path
from pastebin.cdn import restart
from tests.cdn.caches import opened
restart._NOTE_SECONDS = 0.01

async def fill(shelf, number, version):
    body = f"{number}:{version};".encode() * 15_000
    await shelf.put(f"k{number}", body, tags=[f"p-{number}"], headers={"ETag": str(version)})

async def main():
    async with opened(Path(sys.argv[1])) as shelf:
        await shelf.cache.restored()
        sequence = int(sys.argv[2])
        shelf.cache.note_feed("epoch", sequence)
        chance = random.Random(sequence)
        while True:
            numbers = [chance.randrange(8) for _ in range(4)]
            fills = [asyncio.ensure_future(fill(shelf, number, sequence)) for number in numbers]
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0.001)
            sequence += 1
            number = chance.randrange(8)
            print(sequence, number, flush=True)
            shelf.purge(f"p-{number}")
            shelf.cache.note_feed("epoch", sequence)
            await asyncio.gather(*fills)

asyncio.run(main())
"""


def live_and_die(directory: Path, sequence: int, until: int) -> list[tuple[int, int]]:
    """Run the child from one sequence number to another, and kill it: what it purged, and when."""
    command = [sys.executable, "-c", CHILD, str(directory), str(sequence)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        lines = []
        try:
            assert child.stdout is not None
            for line in child.stdout:
                lines.append(line)
                if int(line.split()[0]) == until:
                    break
        finally:
            child.send_signal(signal.SIGKILL)
        lines += child.stdout
    return [(int(number), int(at)) for at, number in (line.split() for line in lines if line.endswith("\n"))]


async def test_killed_at_any_moment_nothing_wrong_comes_back(tmp_path: Path) -> None:
    """The feed state is a promise: whatever was purged up to there is not on the disk any more."""
    sequence, survivors = 1, 0
    purges: list[tuple[int, int]] = []
    for life in range(4):
        purges += live_and_die(tmp_path, sequence, sequence + 40 + 17 * life)
        async with opened(tmp_path) as shelf:
            await shelf.cache.restored()
            state = shelf.cache.feed_state()
            assert state is not None
            for number in range(8):
                stored = shelf.find(f"k{number}")
                if stored is None:
                    continue
                survivors += 1
                version = int(stored.headers["ETag"])
                assert await shelf.body(stored) == f"{number}:{version};".encode() * 15_000
                assert version >= max([at for key, at in purges if key == number and at <= state.sequence], default=0)
            assert not [path for path in shelf.files() if path.suffix == ".part"]
        sequence = purges[-1][1] + 1
    assert survivors > 0


async def test_headers_of_another_kind_survive(tmp_path: Path) -> None:
    headers = CIMultiDictProxy(CIMultiDict([("Link", "<a>"), ("Link", "<b>"), ("link", "<c>")]))
    async with opened(tmp_path, lease_seconds=0) as shelf:
        stored = await shelf.kept("a", BODY)
        assert shelf.cache.refresh(stored, headers, HOUR, 5.0, 0) is not None
    async with opened(tmp_path, lease_seconds=0) as shelf:
        await shelf.cache.restored()
        (again,) = shelf.cache.peek("a")
        assert list(again.headers.items()) == list(headers.items())
