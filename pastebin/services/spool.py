"""Visits that analytics has not taken yet, on disk: put in one by one, they leave as batches, never as two.

A batch is a segment, which is closed before it is sent and removed when it was taken; a process that comes after a
crash finds those that were not. What the disk does not take stays in memory, as far as there is room.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pastebin.services import segments
from pastebin.services.segments import Appender, Segment, Torn

log = logging.getLogger(__name__)

Result = TypeVar("Result")
# Told how many visits were lost, and one word about why.
Dropped = Callable[[int, str], None]

# What is sent stays under the 1 MiB that the signed addresses take, however badly it compresses.
_SEGMENT_BYTES = 900_000
_PENDING_EVENTS = 65_536
_HELD_BYTES = 8 * 1024**2
_MOST_SEGMENTS = 10_000
_MOST_REFUSED = 16
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent at once: JSON of visits with commas between them, in order."""

    id: str
    node: str
    visits: bytes
    count: int
    segment: Segment


class Spool:
    """The calls that wait, wait for the disk, which is worked on by one thread; `put` does not."""

    def __init__(self, directory: Path, most_bytes: int, batch_events: int, dropped: Dropped) -> None:
        self.identity = f"{int(time.time()):010x}{secrets.token_hex(5)}"
        self.size = 0  # bytes, also of what was set aside
        self._directory = directory
        self._most_bytes = most_bytes
        self._batch_events = batch_events
        self._dropped = dropped
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="visits")
        self._loop = asyncio.get_running_loop()
        self._pending: deque[bytes] = deque()
        self._is_writing = False
        self._filled = asyncio.Event()
        # from here on: the thread's
        self._segments: deque[Segment] = deque()
        self._open: Segment | None = None
        self._appender: Appender | None = None
        self._in_the_air: Segment | None = None
        self._number = 0
        self._held_bytes = 0
        self._lock: int | None = None
        self._is_failing = False

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, directory: Path, *, most_bytes: int, batch_events: int, dropped: Dropped
    ) -> AsyncIterator[Spool]:
        """Take over what is there. A directory that cannot be had is a reason to work without, not to fail.

        `dropped` is called on the loop.
        """
        spool = cls(directory, most_bytes, batch_events, dropped)
        try:
            await spool._in_thread(spool._start)
            spool._tell()
            yield spool
        finally:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await spool._in_thread(spool._stop)
            except TimeoutError:
                log.warning("the disk of the visits does not answer; what it was given may be lost")
            spool._thread.shutdown(wait=False)

    @property
    def has_room(self) -> bool:
        """Whether the disk keeps up with what is put in."""
        return len(self._pending) < _PENDING_EVENTS

    @property
    def began(self) -> float | None:
        """Since when the oldest visits wait, by the wall clock."""
        with suppress(IndexError):  # the thread may have removed it this moment
            oldest = self._segments[0]
            return oldest.began if oldest.size else None
        return None

    def put(self, visits: list[bytes]) -> None:
        """Take visits as JSON, each of them once; they are on disk a little later."""
        self._pending.extend(visits)
        if self._pending and not self._is_writing:
            self._is_writing = True
            writing = self._loop.run_in_executor(self._thread, self._write)
            writing.add_done_callback(self._written)

    async def next(self) -> Parcel:
        """The oldest batch, when there is one. Whoever has it ends it with `taken`, `refused` or `postponed`."""
        while True:
            self._filled.clear()
            parcel = await self._in_thread(self._take)
            if parcel is not None:
                return parcel
            await self._filled.wait()

    async def taken(self, parcel: Parcel) -> None:
        """It is where it belongs."""
        await self._in_thread(self._remove, parcel.segment)

    async def refused(self, parcel: Parcel) -> None:
        """It will never be taken: keep it where an operator finds it."""
        await self._in_thread(self._set_aside, parcel.segment)

    async def postponed(self, parcel: Parcel) -> None:
        """Let the others go first."""
        await self._in_thread(self._postpone, parcel.segment)

    async def flushed(self) -> None:
        """Return when all that was put in is written."""
        await self._in_thread(self._write)

    async def _in_thread(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Whoever stops waiting does not stop the work."""
        return await asyncio.shield(self._loop.run_in_executor(self._thread, work, *arguments))

    def _written(self, writing: asyncio.Future[None]) -> None:
        self._is_writing = False
        if not writing.cancelled():
            writing.result()
        self._tell()
        if self._pending:
            self.put([])

    def _tell(self) -> None:
        if self._segments:
            self._filled.set()

    # What follows runs in the thread.

    def _start(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._segments.extend(segments.found(self._directory))
        except OSError as error:
            self._release()
            why = "another process has it" if isinstance(error, BlockingIOError) else error.strerror
            log.warning("visits stay in memory: %s cannot be used: %s", self._directory, why)
            return
        self.size = sum(segment.size for segment in self._segments)
        with suppress(OSError):
            self.size += sum(path.stat().st_size for path in segments.refused(self._directory))
        self._shrink()

    def _stop(self) -> None:
        self._write()
        self._end()
        if held := sum(segments.count(segment) for segment in self._segments if segment.path is None):
            self._drop(held, "disk")
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _write(self) -> None:
        while self._pending:
            segment = self._open or self._begin()
            room = self._batch_events - (segment.count or 0)
            visits: list[bytes] = []
            size = 0
            while self._pending and len(visits) < room and (not visits or segment.size + size < _SEGMENT_BYTES):
                visits.append(self._pending.popleft())
                size += len(visits[-1]) + 1
            self._append(segment, visits)
            if (segment.count or 0) >= self._batch_events or segment.size >= _SEGMENT_BYTES:
                self._end()
            self._shrink()

    def _begin(self) -> Segment:
        """A new segment: on disk, else in memory."""
        name = f"{self.identity}-{self._number:09d}"
        self._number += 1
        segment = Segment(name, self._directory / f"{name}{segments.SUFFIX}")
        if self._lock is None:
            segment.path = None
        else:
            try:
                self._appender = Appender(segment)
            except OSError as error:
                self._fail(error)
                segment.path = None
        self._open = segment
        self._segments.append(segment)
        return segment

    def _append(self, segment: Segment, visits: list[bytes]) -> None:
        payload = b",".join(visits)
        try:
            if self._appender is not None:
                before = segment.size
                self._appender.write(payload, len(visits))
                self.size += segment.size - before
                self._is_failing = False
            elif self._held_bytes + len(payload) > _HELD_BYTES:
                self._drop(len(visits), "disk")
                return
            else:
                frame = segments.framed(segment.name, payload, len(visits))
                segment.held += frame
                segment.size += len(frame)
                self._held_bytes += len(frame)
        except Torn as error:
            self._fail(error)
            self._end()
            self._drop(len(visits), "disk")
        except OSError as error:
            self._fail(error)
            self._end()
            self._pending.extendleft(reversed(visits))
            self._hold()
        else:
            segment.count = (segment.count or 0) + len(visits)

    def _hold(self) -> None:
        """Go on in memory with the next segment; the one after that tries the disk again."""
        segment = Segment(f"{self.identity}-{self._number:09d}", None)
        self._number += 1
        self._open = segment
        self._segments.append(segment)

    def _end(self) -> None:
        """Nothing is added to the open segment any more."""
        ended, self._open = self._open, None
        if self._appender is not None:
            self._appender.close()
            self._appender = None
        if ended is not None and not ended.size:
            self._remove(ended)

    def _take(self) -> Parcel | None:
        while self._segments:
            segment = self._segments[0]
            if segment is self._open:
                self._end()
                if segment not in self._segments:
                    continue
            self._in_the_air = segment
            try:
                payloads, kept, lost = segments.read(segment)
            except OSError as error:
                self._fail(error)
                self._drop(segment.count or 1, "unreadable")
                self._set_aside(segment)
                continue
            if lost:
                self._drop(lost, "torn")
            segment.count = kept
            if payloads:
                return Parcel(segment.name, segment.node, b",".join(payloads), kept, segment)
            self._remove(segment)
        return None

    def _remove(self, segment: Segment) -> None:
        self._forget(segment)
        if segment.path is not None:
            try:
                segment.path.unlink(missing_ok=True)
            except OSError as error:  # found again by the next process, sent again under the same id: no harm
                self._fail(error)

    def _set_aside(self, segment: Segment) -> None:
        self._forget(segment)
        if segment.path is None:
            return
        with suppress(OSError):
            segment.path.rename(segment.path.with_name(segment.path.name + segments.REFUSED))
            self.size += segment.size
            for path in segments.refused(self._directory)[:-_MOST_REFUSED]:
                self._remove_refused(path)

    def _postpone(self, segment: Segment) -> None:
        self._in_the_air = None
        if segment in self._segments and len(self._segments) > 1:
            self._segments.remove(segment)
            # before the open one, which is not full
            self._segments.insert(len(self._segments) - (self._open is not None), segment)

    def _shrink(self) -> None:
        """Drop the oldest until the rest is allowed; first of all what was set aside."""
        while self.size > self._most_bytes or len(self._segments) > _MOST_SEGMENTS:
            if self._lock is not None and any(map(self._remove_refused, segments.refused(self._directory)[:1])):
                continue
            oldest = next((one for one in self._segments if one is not self._in_the_air), None)
            if oldest is None:
                return
            if oldest is self._open:
                self._end()
            self._drop(segments.count(oldest), "full")
            self._remove(oldest)

    def _remove_refused(self, path: Path) -> bool:
        try:
            size = path.stat().st_size
            path.unlink()
        except OSError as error:
            self._fail(error)
            return False
        self.size -= size
        return True

    def _forget(self, segment: Segment) -> None:
        if self._in_the_air is segment:
            self._in_the_air = None
        if segment not in self._segments:
            return
        self._segments.remove(segment)
        if segment.path is None:
            self._held_bytes -= segment.size
        else:
            self.size -= segment.size

    def _fail(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            log.warning("the disk of the visits fails: %s", error.strerror)

    def _drop(self, count: int, reason: str) -> None:
        if count and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._dropped, count, reason)
