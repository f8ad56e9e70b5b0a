from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.services import segments
from pastebin.services.segments import Appender, Segment
from pastebin.services.spool import Parcel, Spool


def visits(*numbers: int) -> list[bytes]:
    return [b"[%d]" % number for number in numbers]


def numbers_of(parcel: Parcel) -> list[int]:
    return [number for (number,) in orjson.loads(b"[" + parcel.visits + b"]")]


@asynccontextmanager
async def spooling(
    path: Path, drops: Counter[str] | None = None, *, most_bytes: int = 10**6, batch_events: int = 4
) -> AsyncIterator[Spool]:
    def dropped(count: int, reason: str) -> None:
        if drops is not None:
            drops[reason] += count

    async with Spool.opened(path, most_bytes=most_bytes, batch_events=batch_events, dropped=dropped) as spool:
        yield spool


async def left(spool: Spool) -> dict[str, list[int]]:
    """All batches, by id; they are taken."""
    batches = {}
    while spool.began is not None:
        parcel = await spool.next()
        assert parcel.id not in batches
        batches[parcel.id] = numbers_of(parcel)
        await spool.taken(parcel)
    return batches


async def test_visits_leave_in_batches_and_their_files_with_them(tmp_path: Path) -> None:
    async with spooling(tmp_path) as spool:
        spool.put(visits(*range(10)))
        await spool.flushed()
        batches = await left(spool)
        assert list(batches.values()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert (spool.size, list(tmp_path.iterdir())) == (0, [])


async def test_whoever_waits_for_a_batch_gets_it_at_once(tmp_path: Path) -> None:
    async with spooling(tmp_path) as spool:
        waiting = asyncio.ensure_future(spool.next())
        await asyncio.sleep(0)
        spool.put(visits(1))
        assert numbers_of(await waiting) == [1]


async def test_the_next_process_finds_the_same_batches(tmp_path: Path) -> None:
    async with spooling(tmp_path) as spool:
        spool.put(visits(*range(6)))
        await spool.flushed()
        first = await spool.next()  # it is sent, and nobody hears the answer
    async with spooling(tmp_path) as spool:
        spool.put(visits(100))
        await spool.flushed()
        batches = await left(spool)
        assert list(batches.values()) == [[0, 1, 2, 3], [4, 5], [100]]
        assert (next(iter(batches)), first.node) == (first.id, first.id.partition("-")[0])


async def test_the_oldest_are_dropped_and_counted_when_there_is_no_room(tmp_path: Path) -> None:
    drops: Counter[str] = Counter()
    frame = len(segments.framed("x", b",".join(visits(1, 2, 3, 4)), 4))
    async with spooling(tmp_path, drops, most_bytes=2 * frame) as spool:
        spool.put(visits(*range(8)))
        await spool.flushed()
        in_the_air = await spool.next()
        spool.put(visits(8, 9, 1, 2, 3, 4))
        await spool.flushed()
        assert spool.size <= 2 * frame
        assert drops == {"full": 8}
        await spool.taken(in_the_air)
        assert list((await left(spool)).values()) == [[3, 4]]


async def test_what_is_refused_is_kept_aside_within_the_bound(tmp_path: Path) -> None:
    drops: Counter[str] = Counter()
    async with spooling(tmp_path, drops, batch_events=1, most_bytes=1000) as spool:
        spool.put(visits(1))
        await spool.refused(await spool.next())
        assert [path.suffix for path in tmp_path.iterdir()] == [segments.REFUSED]
        assert spool.size > 0
    async with spooling(tmp_path, drops, batch_events=1, most_bytes=1) as spool:
        assert (spool.size, list(tmp_path.iterdir())) == (0, [])


async def test_what_is_postponed_comes_after_the_others(tmp_path: Path) -> None:
    async with spooling(tmp_path) as spool:
        spool.put(visits(*range(9)))
        await spool.flushed()
        parcel = await spool.next()
        await spool.postponed(parcel)
        assert list((await left(spool)).values()) == [[4, 5, 6, 7], [0, 1, 2, 3], [8]]


@pytest.mark.parametrize("step", ["opening", "writing"])
async def test_a_disk_that_is_full_is_a_reason_to_go_on_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    drops: Counter[str] = Counter()
    async with spooling(tmp_path, drops, batch_events=2) as spool:
        spool.put(visits(1))
        await spool.flushed()
        with monkeypatch.context() as patch:
            if step == "opening":
                patch.setattr(os, "open", _full)
            else:
                patch.setattr(os, "write", _half)
            spool.put(visits(2, 3))
            await spool.flushed()
        spool.put(visits(4, 5, 6))
        await spool.flushed()
        assert sorted(chain(*(await left(spool)).values())) == [1, 2, 3, 4, 5, 6]
        assert (drops, spool.size, list(tmp_path.iterdir())) == ({}, 0, [])


async def test_what_may_be_on_disk_is_not_put_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drops: Counter[str] = Counter()
    async with spooling(tmp_path, drops) as spool:
        spool.put(visits(1))
        await spool.flushed()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _half)
            patch.setattr(os, "ftruncate", _full)
            spool.put(visits(2))
            await spool.flushed()
        assert list((await left(spool)).values()) == [[1]]
        assert drops == {"disk": 1, "torn": 1}


async def test_memory_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pastebin.services.spool._HELD_BYTES", 50)
    drops: Counter[str] = Counter()
    (tmp_path / "file").touch()
    async with spooling(tmp_path / "file", drops) as spool:  # which is no directory
        spool.put(visits(*range(100)))
        await spool.flushed()
        kept = list(chain(*(await left(spool)).values()))
        assert 0 < len(kept) < 20
        await asyncio.sleep(0)
        assert drops == {"disk": 100 - len(kept)}


async def test_of_two_processes_one_has_the_directory(tmp_path: Path) -> None:
    async with spooling(tmp_path) as one, spooling(tmp_path) as other:
        other.put(visits(1))
        one.put(visits(2))
        await one.flushed()
        await other.flushed()
        assert list((await left(other)).values()) == [[1]]
        assert list((await left(one)).values()) == [[2]]


def _full(*_arguments: object, **_options: object) -> int:
    raise OSError(28, "No space left on device")


_write = os.write


def _half(descriptor: int, data: bytes) -> int:
    """Every second write finds no room."""
    if len(data) > 6:
        return _write(descriptor, data[: len(data) - 6])
    raise OSError(28, "No space left on device")


@given(
    groups=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    cut=st.integers(0, 400),
    flips=st.lists(st.tuples(st.integers(0, 399), st.integers(1, 255)), max_size=3),
)
def test_damage_costs_visits_but_makes_none(groups: list[int], cut: int, flips: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x"
        appender = Appender(segment := Segment("a-1", path))
        written, number = [], 0
        for size in groups:
            payload = b",".join(visits(*range(number, number + size)))
            appender.write(payload, size)
            written.append(payload)
            number += size
        appender.close()
        data = bytearray(path.read_bytes())
        for at, change in flips:
            if at < len(data):
                data[at] ^= change
        damaged = bytes(data[:cut] if cut < 350 else data)
        path.write_bytes(damaged)
        payloads, kept, lost = segments.read(segment)
        assert payloads == written[: len(payloads)]
        assert kept == sum(groups[: len(payloads)])
        assert (lost > 0) == (len(damaged) > sum(len(segments.framed("a-1", one, 1)) for one in payloads))


def test_a_frame_counts_in_its_own_file_only(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(segments.framed("a-1", b"[1]", 1))
    assert segments.read(Segment("a-1", path)) == ([b"[1]"], 1, 0)
    assert segments.read(Segment("a-2", path)) == ([], 0, 1)


_WRITER = """
import asyncio, sys
from pathlib import Path
from pastebin.services.spool import Spool

async def main():
    path = Path(sys.argv[1])
    async with Spool.opened(path, most_bytes=10**9, batch_events=50, dropped=print) as spool:
        number = int(sys.argv[2])
        sent = open(path / "sent", "a")
        while True:
            spool.put([b"[%d]" % n for n in range(number, number + 7)])
            number += 7
            await spool.flushed()
            parcel = await spool.next()
            sent.write(f"{parcel.id} {parcel.visits.decode()}\\n")
            sent.flush()
            print(number, flush=True)
            if number % 2:
                await spool.taken(parcel)

asyncio.run(main())
"""


async def test_kill_9_in_mid_write_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Everything that was written is found, and what had been sent is found as it was sent or not at all."""
    reached = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), str(reached + 1000)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(40):
            reached = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    lines = [line.split(" ", 1) for line in (tmp_path / "sent").read_text().splitlines(keepends=True)]
    sent: dict[str, str] = {}
    for identity, what in lines:
        assert sent.setdefault(identity, what.strip()) == what.strip()
    drops: Counter[str] = Counter()
    async with spooling(tmp_path, drops, most_bytes=10**9) as spool:
        found = await left(spool)
    for identity, numbers in found.items():
        if identity in sent:
            assert numbers == [number for (number,) in orjson.loads(f"[{sent[identity]}]")]
        sent[identity] = ",".join(f"[{number}]" for number in numbers)
    everything = Counter(number for (number,) in orjson.loads(f"[{','.join(sent.values())}]"))
    assert max(everything.values()) == 1
    assert sum(drops.values()) <= 7
