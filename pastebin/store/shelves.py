"""The files of the directory store: the file calls that `pastebin.store.directory` makes in threads.

A blob stands at `ab/cd/<key>`. What is being written stands in `tmp/` and moves to its place by rename, once
its bytes are on the disk: a crash at any moment leaves whole blobs and, in `tmp/`, leftovers that nobody
reads. A writer holds a lock on its file in `tmp/`, so that leftovers can be told from slow uploads of this or
another process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from pastebin.errors import DataDirectoryUnusable, StorageFull
from pastebin.store.blobs import CHUNK_BYTES, BlobEntry, new_key

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_RECHECK_BYTES = 64 * 1024**2
_LISTING_SIZE = 1000
_KEY = re.compile("[0-9a-f]{32}")
_FAN_OUT = re.compile("[0-9a-f]{2}")


def checked(key: str) -> str:
    """Refuse with ValueError whatever `new_key` cannot have made: a key becomes a path."""
    if not _KEY.fullmatch(key):
        raise ValueError("a blob key is 32 hexadecimal digits, in lower case")
    return key


class Shelves:
    """The directory itself. Here and below, what the disk refuses is an OSError."""

    def __init__(self, root: Path, min_free_bytes: int) -> None:
        self.root = root
        self.tmp = root / "tmp"
        self._min_free_bytes = min_free_bytes
        # one byte for each `ab/cd`: 1 if this process has seen its directories reach the disk
        self._durable = bytearray(0x10000)

    def place(self, key: str) -> Path:
        return self.root / key[:2] / key[2:4] / key

    def prepare(self) -> None:
        """Make what is not there and try to write. Raises DataDirectoryUnusable."""
        try:
            _make_durably(self.root)
            _make_durably(self.tmp)
            if self.tmp.stat().st_dev != self.root.stat().st_dev:
                raise DataDirectoryUnusable(f"{self.tmp}: must be on the same file system as {self.root}")
            self._probe()
        except OSError as error:
            reason = error.strerror or str(error)
            text = f"{self.root}: must be a directory that this process may make and write to: {reason}"
            raise DataDirectoryUnusable(text) from error

    def require_room(self) -> None:
        """Raise StorageFull if the disk has too little left."""
        disk = os.statvfs(self.root)
        if disk.f_bavail * disk.f_frsize < self._min_free_bytes:
            raise StorageFull

    def put(self, file: Path, key: str) -> Path:
        """Move a file that is on the disk to its place; once `sync_place` has returned it survives a crash there."""
        place = self.place(key)
        if not place.parent.is_dir():
            self._durable[_number(key)] = 0
            place.parent.parent.mkdir(mode=0o700, exist_ok=True)
            place.parent.mkdir(mode=0o700, exist_ok=True)
        return file.rename(place)

    def sync_place(self, key: str) -> None:
        """See the directories of a key on the disk.

        Somebody else may have made those above `ab/cd` and not waited for the disk: so each writer waits, until this
        process has once seen them there.
        """
        leaf = self.place(key).parent
        _sync(leaf)  # first, for where there is a journal this writes the others along
        if not self._durable[_number(key)]:
            _sync(leaf.parent)
            _sync(self.root)
            self._durable[_number(key)] = 1

    def branches(self) -> list[Path]:
        """The directories `ab`."""
        return leaves(self.root)

    def sweep(self, age_seconds: float) -> int:
        """Remove files in `tmp/` that were last written to so long ago and whose writer is no more."""
        newest = time.time() - age_seconds
        removed = 0
        with os.scandir(self.tmp) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # its writer has just finished
                    if _is_older(entry, newest) and not _has_writer(entry.path):
                        Path(entry.path).unlink()
                        removed += 1
        return removed

    def _probe(self) -> None:
        file = Unfinished(self, new_key())
        try:
            file.create()
        except OSError as error:
            if error.errno not in FULL:  # a full disk can still be read from
                raise
        finally:
            file.discard()


class Unfinished:
    """A file in `tmp/` on its way to its place.

    The lock keeps calls of the same file apart: after a cancelled wait one may still be running, or not have
    begun, when `discard` comes. After `discard` there is no file and no descriptor, and there never will be.
    """

    def __init__(self, shelves: Shelves, key: str) -> None:
        self.key = key
        self._shelves = shelves
        self._path = shelves.tmp / f"{key}.{new_key()}"
        self._lock = Lock()
        self._descriptor: int | None = None
        self._is_discarded = False
        self._unchecked_bytes = 0

    def open(self) -> None:
        """Begin, if there is room to begin with."""
        self._shelves.require_room()
        self.create()

    def create(self) -> None:
        """Begin, whatever room there is."""
        with self._lock:
            if self._is_discarded:
                return
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
            with suppress(OSError):  # some network file systems have no locks; there only the age counts
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, block: bytes | bytearray) -> None:
        """Add to the file; looks for room again every `_RECHECK_BYTES`."""
        with self._lock:
            self._append(block)

    def publish(self, rest: bytes | bytearray) -> None:
        """Add `rest`, then make the file durable under its key."""
        with self._lock:
            os.fsync(self._append(rest))
            self._path = self._shelves.put(self._path, self.key)
            self._shelves.sync_place(self.key)
            self._close()

    def discard(self) -> None:
        """Undo everything, also a `publish` whose end nobody has awaited."""
        with self._lock:
            self._is_discarded = True
            try:
                self._path.unlink(missing_ok=True)
            finally:
                self._close()

    def _append(self, block: bytes | bytearray) -> int:
        if self._descriptor is None:
            raise ValueError("this blob is complete or was given up")
        left = memoryview(block)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._unchecked_bytes += len(block)
        if self._unchecked_bytes >= _RECHECK_BYTES:
            self._unchecked_bytes = 0
            self._shelves.require_room()
        return self._descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class Source:
    """A blob being read; closes itself with the last chunk. The lock is there for the reason given above."""

    def __init__(self, path: Path, start: int, length: int | None) -> None:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length cannot be negative")
        self._path = path
        self._offset = start
        self._end = None if length is None else start + length
        self._lock = Lock()
        self._descriptor: int | None = None
        self.is_closed = False

    def open(self) -> bytes:
        """Open the file, see that it is as long as promised and return the first chunk."""
        with self._lock:
            if self.is_closed:
                return b""
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
            size = os.fstat(self._descriptor).st_size
            self._end = size if self._end is None else self._end
            if max(self._offset, self._end) > size:
                raise _short(self._path, size)
        return self.next_chunk()

    def next_chunk(self) -> bytes:
        """At most CHUNK_BYTES more, nothing after the last."""
        with self._lock:
            if self._descriptor is None or self._end is None:
                return b""
            wanted = min(CHUNK_BYTES, self._end - self._offset)
            chunk = os.pread(self._descriptor, wanted, self._offset)
            self._offset += len(chunk)
            if wanted and not chunk:
                raise _short(self._path, self._offset)
            if self._offset == self._end:
                self._close()
            return chunk

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        self.is_closed = True
        if descriptor is not None:
            os.close(descriptor)


def leaves(branch: Path) -> list[Path]:
    """The directories of two hexadecimal digits in `branch`, in order."""
    with os.scandir(branch) as entries:
        return sorted(Path(entry.path) for entry in entries if _FAN_OUT.fullmatch(entry.name) and entry.is_dir())


def listed(waiting: list[Path]) -> list[BlobEntry]:
    """The blobs of as many of the first `waiting` leaves as make a fair list; those leaves are taken off."""
    found: list[BlobEntry] = []
    while waiting and len(found) < _LISTING_SIZE:
        with os.scandir(waiting.pop(0)) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                with suppress(FileNotFoundError):  # removed since
                    if _KEY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        moment = datetime.fromtimestamp(status.st_mtime, UTC)
                        found.append(BlobEntry(entry.name, status.st_size, moment))
    return found


def _number(key: str) -> int:
    """Which of the 65,536 directories `ab/cd` a key belongs to."""
    return int(key[:4], 16)


def _short(path: Path, size: int) -> OSError:
    return OSError(errno.ENODATA, f"the blob ends after {size} bytes, earlier than promised", str(path))


def _make_durably(directory: Path) -> None:
    if not directory.is_dir():
        _make_durably(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
        _sync(directory.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_older(entry: os.DirEntry[str], newest: float) -> bool:
    return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime <= newest


def _has_writer(path: str) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks here: only the age counts
        return False
    finally:
        os.close(descriptor)
    return False
