"""The disk tier: files and threads. Which response is where, and who must go, is the cache's to know."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from pastebin.cdn.chores import Chores, FeedState, identify, read_state
from pastebin.cdn.figures import Figures
from pastebin.cdn.hot import CHUNK_BYTES, HotChunks
from pastebin.cdn.objects import DiskBody
from pastebin.cdn.spool import BLOCK_BYTES, ClosedFile, OpenFile, Part
from pastebin.errors import DataDirectoryUnusable

Result = TypeVar("Result")

_READERS = 4
_WRITERS = 3  # one of them may be looking through what an earlier process left
_MANY_READERS = 64  # beyond, each takes one block after another instead of a chunk ahead: memory stays bounded
_SUSPENDED_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Disk:
    """One directory, which belongs to this process alone: `objects/` with a file for each response, and `feed`.

    After the disk has refused something, nothing is written for `_SUSPENDED_SECONDS`; reading goes on.
    """

    def __init__(self, directory: Path, min_free_bytes: int, figures: Figures) -> None:
        self.directory = directory
        self.objects = directory / "objects"
        self.feed_state: FeedState | None = None
        self.identity = ""
        self.chores = Chores(directory, self.note_error)
        self.run = secrets.token_hex(4)  # files of this process begin with it
        self._figures = figures
        self._min_free_bytes = min_free_bytes
        self._numbers = count()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="edge-readers")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="edge-writers")
        self._suspended_until = 0.0
        self._reading = 0

    @classmethod
    @asynccontextmanager
    async def opened(cls, directory: Path, min_free_bytes: int, figures: Figures) -> AsyncIterator[Disk]:
        """Use `directory`, made if need be, and hold it. Raises DataDirectoryUnusable."""
        lock = _held(directory)
        try:
            disk = cls(directory, min_free_bytes, figures)
            try:
                disk.feed_state = await disk.in_writers(partial(read_state, directory))
                disk.identity = await disk.in_writers(partial(identify, directory))
                yield disk
            finally:
                await asyncio.shield(asyncio.to_thread(disk.shutdown))
        finally:
            os.close(lock)

    def shutdown(self) -> None:
        """Do what was asked for, and end the threads."""
        self._readers.shutdown()
        self._writers.shutdown()
        self.chores.shutdown()

    @property
    def is_writable(self) -> bool:
        """Whether the disk has refused nothing of late."""
        return time.monotonic() >= self._suspended_until

    def note_error(self, error: OSError) -> None:
        """Count what the disk refused, and leave it alone for a while. Any thread may call."""
        if self.is_writable:
            logger.warning("edge: the disk of the cache refuses: %s", error.strerror or error)
        self._suspended_until = time.monotonic() + _SUSPENDED_SECONDS
        self._figures.disk_errors.inc()

    def part(self, *, with_digest: bool) -> Part:
        """A new file, which is made when something is appended to it."""
        path = str(self.objects / f"{self.run}-{next(self._numbers):x}.part")
        return Part(path, min_free_bytes=self._min_free_bytes, with_digest=with_digest)

    def submit(self, work: Callable[[], None]) -> asyncio.Future[OSError | None]:
        """Write in a thread; what the disk refuses is counted and is the result."""

        def attempt() -> OSError | None:
            try:
                work()
            except ClosedFile as error:
                return error
            except OSError as error:
                self.note_error(error)
                return error
            return None

        return _submitted(self._writers, attempt)

    def discard(self, part: Part) -> None:
        """Let go of a file that is being written; it goes away unless it was published."""
        part.close()
        self.chores.remove((part.path,))

    async def read(self, body: DiskBody, start: int, stop: int, hot: HotChunks) -> AsyncGenerator[bytes, None]:
        """Bytes of a body, every block checked when it is read. Raises OSError, of which Damaged is one."""
        file = OpenFile(body.path, os.O_RDONLY)
        ahead: asyncio.Future[bytes] | None = None
        self._reading += 1
        try:
            while start < stop:
                chunk = hot.get(body, start, stop) if ahead is None else None
                if chunk is None:
                    chunk = await (ahead or self._read(file, body, start, stop))
                    hot.put(body, start, chunk)
                start, ahead = start + len(chunk), None
                if start < stop and self._reading <= _MANY_READERS and not hot.holds(body, start):
                    ahead = self._read(file, body, start, stop)
                yield chunk
        finally:
            self._reading -= 1
            if ahead is not None and not ahead.cancel() and not ahead.cancelled():
                ahead.exception()  # or asyncio complains of an error that nobody waits for any more
            self._release(file)

    async def read_part(self, part: Part, start: int, stop: int) -> bytes:
        """Bytes of what is being written, not more than a chunk. Raises OSError."""
        return await _submitted(self._readers, partial(part.read, start, self._end_of_chunk(start, stop)))

    async def in_writers(self, work: Callable[[], Result]) -> Result:
        """Work in a thread; once begun it is done even if nobody waits for it any more."""
        return await asyncio.shield(_submitted(self._writers, work))

    def _read(self, file: OpenFile, body: DiskBody, start: int, stop: int) -> asyncio.Future[bytes]:
        end = self._end_of_chunk(start, stop)
        return _submitted(self._readers, partial(file.read, start, end, body.size, body.checksums))

    def _end_of_chunk(self, start: int, stop: int) -> int:
        size = CHUNK_BYTES if self._reading <= _MANY_READERS else BLOCK_BYTES
        return min(stop, start - start % size + size)

    def _release(self, file: OpenFile) -> None:
        """Close in a thread: the last use of a file that was removed has work to do."""
        try:
            self._readers.submit(file.close)
        except RuntimeError:  # the threads are gone: a delivery that outlived the cache is ending
            file.close()


def _submitted(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> asyncio.Future[Result]:
    try:
        return asyncio.get_running_loop().run_in_executor(pool, work)
    except RuntimeError as error:
        raise ClosedFile(errno.ESHUTDOWN, "the cache is closed") from error


def _held(directory: Path) -> int:
    """Make the directory, for this user only, and lock it: a descriptor to be closed. Raises DataDirectoryUnusable.

    The lock is on the directory itself, so that it can be had when the disk is full.
    """
    objects = directory / "objects"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        objects.mkdir(mode=0o700, exist_ok=True)
        objects.chmod(0o700)
        lock = os.open(objects, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
    except BlockingIOError as error:
        raise DataDirectoryUnusable(f"the edge's directory {directory} is in use by another process") from error
    except OSError as error:
        raise DataDirectoryUnusable(f"the edge's directory {directory} cannot be used: {error.strerror}") from error
    return lock
