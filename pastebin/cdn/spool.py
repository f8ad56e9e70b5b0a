"""Files of the disk tier: blocks with checksums, and what is being written. The calls are for threads.

What the disk refuses is an OSError. A body is cut into blocks of `BLOCK_BYTES`; each is checked whenever it is read,
so that no byte leaves that is not what was written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

BLOCK_BYTES = 65_536
_SUM_BYTES = 4


class Damaged(OSError):
    """A block is not what was written."""


class ClosedFile(OSError):
    """Whoever wanted this has gone meanwhile."""


def sums_of(data: bytes) -> bytes:
    """The checksums of the blocks of `data`."""
    view = memoryview(data)
    return b"".join(
        zlib.crc32(view[start : start + BLOCK_BYTES]).to_bytes(_SUM_BYTES, "little")
        for start in range(0, len(data), BLOCK_BYTES)
    )


class OpenFile:
    """A file that is opened by its first use, in the thread of that, and closed by its last one after `close`.

    So whoever waits for a use may stop waiting at any moment: after `close` no descriptor is left, nor ever will be.
    """

    def __init__(self, path: str, flags: int) -> None:
        self.path = path
        self._flags = flags | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor: int | None = None
        self._lock = Lock()
        self._users = 1

    @contextmanager
    def used(self) -> Iterator[int]:
        """The descriptor, while the block lasts. Raises ClosedFile, OSError."""
        with self._lock:
            if not self._users:
                raise ClosedFile(errno.EBADF, "the file is closed")
            if self._descriptor is None:
                self._descriptor = os.open(self.path, self._flags, 0o600)
            self._users += 1
            descriptor = self._descriptor
        try:
            yield descriptor
        finally:
            self.close()

    def open(self) -> None:
        """From now on it can be read whatever becomes of its name. Raises ClosedFile, OSError."""
        with self.used():
            pass

    def close(self) -> None:
        """Give up one use; once for whoever made this."""
        with self._lock:
            self._users -= 1
            if not self._users and self._descriptor is not None:
                os.close(self._descriptor)

    def read(self, start: int, stop: int, size: int, sums: bytes) -> bytes:
        """Bytes `start` to `stop` of a body of `size` bytes with these checksums. Raises Damaged."""
        first = start - start % BLOCK_BYTES
        last = min(size, stop + -stop % BLOCK_BYTES)
        with self.used() as descriptor:
            data = os.pread(descriptor, last - first, first)
        index = first // BLOCK_BYTES * _SUM_BYTES
        if len(data) != last - first or not sums.startswith(sums_of(data), index):
            raise Damaged(errno.EIO, f"bytes {first} to {last} are not what was written")
        return data if (first, last) == (start, stop) else data[start - first : stop - first]


class Part:
    """A body on its way to the disk, under a name that nobody looks for. One thread at a time appends to it."""

    def __init__(self, path: str, *, min_free_bytes: int, with_digest: bool) -> None:
        self.path = path
        self.size = 0  # bytes that are in the file
        self._sums = bytearray()
        self._min_free_bytes = min_free_bytes
        self._digest = hashlib.sha256() if with_digest else None
        self._file = OpenFile(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    @property
    def checksums(self) -> bytes:
        """Of the blocks so far."""
        return bytes(self._sums)

    @property
    def sha256(self) -> bytes | None:
        """Of everything so far, if it was asked for."""
        return None if self._digest is None else self._digest.digest()

    def append(self, data: bytes) -> None:
        """Write more of the body: whole blocks, but for the last time."""
        with self._file.used() as descriptor:
            disk = os.fstatvfs(descriptor)
            if disk.f_bavail * disk.f_frsize < self._min_free_bytes:
                raise OSError(errno.ENOSPC, "the file system has less room than is to be left free")
            _write(descriptor, data, self.size)
        self._sums += sums_of(data)
        if self._digest is not None:
            self._digest.update(data)
        self.size += len(data)

    def finish(self, trailer: bytes) -> None:
        """Write what follows the body."""
        with self._file.used() as descriptor:
            _write(descriptor, trailer, self.size)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of what was appended. Raises Damaged."""
        size, sums = self.size, self.checksums
        return self._file.read(start, stop, size, sums)

    def close(self) -> None:
        """Nothing more is to be written or read; what has begun goes on. Call it once."""
        self._file.close()


def rewrite(path: str, body_size: int, trailer: bytes) -> None:
    """Put another trailer behind a body. A crash in between leaves a file that nobody can take for a whole one."""
    file = OpenFile(path, os.O_RDWR)
    try:
        with file.used() as descriptor:
            _write(descriptor, trailer, body_size)
            os.ftruncate(descriptor, body_size + len(trailer))
    finally:
        file.close()


def _write(descriptor: int, data: bytes, start: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written
