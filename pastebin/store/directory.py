"""Blobs as files in a directory, for one node or for several that share a file system."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from pastebin.errors import BlobMissing, StorageFull, Unavailable
from pastebin.store.blobs import BlobEntry
from pastebin.store.shelves import FULL, Shelves, Source, Unfinished, checked, leaves, listed

Result = TypeVar("Result")

_THREADS = 4
_BLOCK_BYTES = 1024**2
_ROOM_SECONDS = 1.0

logger = logging.getLogger(__name__)


class DirectoryBlobs:
    """The blob store of a node that has no object store.

    File calls run in threads of its own; what a request holds in memory is a few blocks, whatever the blob's
    size. An error of the disk is logged and becomes Unavailable (BlobMissing while reading), one of room
    StorageFull; a key that `new_key` cannot have made is a ValueError.
    """

    def __init__(self, shelves: Shelves, readers: ThreadPoolExecutor, writers: ThreadPoolExecutor) -> None:
        self._shelves = shelves
        self._readers = readers
        self._writers = writers
        self._room_until = 0.0

    @classmethod
    @asynccontextmanager
    async def opened(cls, directory: Path, *, min_free_bytes: int) -> AsyncIterator[DirectoryBlobs]:
        """Use `directory`, made if need be; refuse writers while its disk has less than `min_free_bytes`.

        Raises DataDirectoryUnusable.
        """
        shelves = Shelves(directory, min_free_bytes)
        # apart from each other, or a few uploads that wait for the disk would hold up every download
        readers = ThreadPoolExecutor(_THREADS, thread_name_prefix="blob-readers")
        writers = ThreadPoolExecutor(_THREADS, thread_name_prefix="blob-writers")
        try:
            await _finished(writers, shelves.prepare)
            yield cls(shelves, readers, writers)
        finally:
            await asyncio.to_thread(readers.shutdown)
            await asyncio.to_thread(writers.shutdown)

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[DirectoryWriter]:
        """See `Blobs.writer`; refuses with StorageFull when there is not enough room to begin with."""
        file = Unfinished(self._shelves, checked(key))
        writer = DirectoryWriter(file, self._writers)
        try:
            with _translating("begin", key):
                await _finished(self._writers, file.open)
            yield writer
        finally:
            if not writer.is_complete:
                await _released(self._writers, file.discard)

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """See `Blobs.read`; one chunk is read ahead.

        `length` is a promise: a blob that ends before it is BlobMissing, at once where that can be seen at
        once.
        """
        source = Source(self._shelves.place(checked(key)), start, length)
        ahead: asyncio.Future[bytes] | None = None
        try:
            with _translating("read", key):
                chunk = await _finished(self._readers, source.open)
            while not source.is_closed:
                ahead = _submitted(self._readers, source.next_chunk)
                yield chunk
                with _translating("read", key):
                    chunk = await ahead
            if chunk:
                yield chunk
        finally:
            if ahead is not None and not ahead.cancel() and not ahead.cancelled():
                ahead.exception()  # or asyncio complains of an error that nobody waits for any more
            if not source.is_closed:
                await _released(self._readers, source.close)

    async def require_room(self) -> None:
        """See `Blobs.require_room`; what was seen holds for `_ROOM_SECONDS`."""
        now = time.monotonic()
        if now >= self._room_until:
            with _translating("look for room"):
                await _finished(self._readers, self._shelves.require_room)
            self._room_until = now + _ROOM_SECONDS

    @property
    def knows_room(self) -> bool:
        """See `Blobs.knows_room`."""
        return time.monotonic() < self._room_until

    async def remove(self, key: str) -> None:
        """See `Blobs.remove`; not forced to the disk: what a crash brings back is an orphan like others."""
        place = self._shelves.place(checked(key))
        with _translating("remove", key):
            await _finished(self._writers, partial(place.unlink, missing_ok=True))

    async def exists(self, key: str) -> bool:
        """See `Blobs.exists`."""
        with _translating("look for", key):
            return await _finished(self._readers, self._shelves.place(checked(key)).is_file)

    async def entries(self) -> AsyncIterator[BlobEntry]:
        """See `Blobs.entries`; no more than a few directories at a time are held in memory."""
        with _translating("list"):
            branches = await _finished(self._writers, self._shelves.branches)
        for branch in branches:
            with _translating("list"):
                waiting = await _finished(self._writers, partial(leaves, branch))
            while waiting:
                with _translating("list"):
                    batch = await _finished(self._writers, partial(listed, waiting))
                for entry in batch:
                    yield entry

    async def remove_abandoned(self, age_seconds: float) -> int:
        """See `Blobs.remove_abandoned`; a file whose writer lives is left alone, however old."""
        with _translating("sweep"):
            return await _finished(self._writers, partial(self._shelves.sweep, age_seconds))


class DirectoryWriter:
    """Collects small chunks: a thread is asked once for every `_BLOCK_BYTES`."""

    def __init__(self, file: Unfinished, pool: ThreadPoolExecutor) -> None:
        self._file = file
        self._pool = pool
        self._block = bytearray()
        self.is_complete = False

    async def write(self, chunk: bytes) -> None:
        """See `BlobWriter.write`."""
        self._block += chunk
        if len(self._block) >= _BLOCK_BYTES:
            block, self._block = self._block, bytearray()
            with _translating("write", self._file.key):
                await _finished(self._pool, partial(self._file.append, block))

    async def complete(self) -> None:
        """See `BlobWriter.complete`."""
        with _translating("complete", self._file.key):
            await _finished(self._pool, partial(self._file.publish, self._block))
        self.is_complete = True


def _submitted(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> asyncio.Future[Result]:
    return asyncio.get_running_loop().run_in_executor(pool, work)


async def _finished(pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    """Work once submitted is done even if nobody waits for it any more: so what cleans up is never lost."""
    return await asyncio.shield(_submitted(pool, work))


async def _released(pool: ThreadPoolExecutor, work: Callable[[], None]) -> None:
    try:
        await _finished(pool, work)
    except OSError:
        logger.exception("blobs: cannot clean up")
    except RuntimeError:  # the threads are gone: a generator that outlived the store is closing
        work()


@contextmanager
def _translating(verb: str, key: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull from error
        if verb == "read" and error.errno == errno.ENOENT:
            raise BlobMissing from error
        logger.exception("blobs: cannot %s", verb, extra={"key": key} if key else None)
        raise (BlobMissing if verb == "read" else Unavailable) from error
