"""Files of the spool of visits: frames with checksums, appended and never changed. The calls are for a thread.

What the disk refuses is an OSError. The checksum begins with the name of the file, so that a frame counts in its own
file only. A process adds to the files that it has made, never to what it finds: a file that has been sent stays as it
was.
"""

from __future__ import annotations

import os
import re
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SUFFIX = ".visits1"
REFUSED = ".refused"
NAME = re.compile(r"([0-9a-f]{20})-[0-9]{9}\Z")

_FRAME = struct.Struct("<III")  # bytes of the payload, visits in it, CRC-32 of both and of the payload
_NUMBERS = struct.Struct("<II")
_MOST_VISITS = 100_000
_MOST_FILE_BYTES = 64 * 1024**2


@dataclass(slots=True, eq=False)
class Segment:
    """Visits that make one batch. `path` is None for one in memory; `count` None where nobody has counted."""

    name: str
    path: Path | None
    began: float = field(default_factory=time.time)
    size: int = 0
    count: int | None = 0
    held: bytearray = field(default_factory=bytearray)
    refusals: int = 0  # how often it alone was met with a failure
    refused_at: int = 0  # how many batches had been taken when that was noted last

    @property
    def node(self) -> str:
        """The place in which it was made."""
        return self.name.partition("-")[0]


class Torn(OSError):
    """A frame may stand in the file in part or as a whole: what was in it must not be written elsewhere."""


class Appender:
    """The end of a segment on disk."""

    def __init__(self, segment: Segment) -> None:
        assert segment.path is not None  # noqa: S101  (those in memory have no end on disk)
        self._segment = segment
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(segment.path, flags, 0o600)

    def write(self, payload: bytes, count: int) -> None:
        """Add a frame, all of it or nothing. Raises OSError; Torn if not even nothing could be had."""
        frame = framed(self._segment.name, payload, count)
        try:
            written = 0
            while written < len(frame):
                written += os.write(self._descriptor, memoryview(frame)[written:])
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, self._segment.size)
            except OSError:
                raise Torn(error.errno, os.strerror(error.errno or 0)) from error
            raise
        self._segment.size += len(frame)

    def close(self) -> None:
        """What was written outlives a loss of power from now on, if the disk can do that."""
        with suppress(OSError):
            os.fdatasync(self._descriptor)
        with suppress(OSError):
            os.close(self._descriptor)


def framed(name: str, payload: bytes, count: int) -> bytes:
    """A frame as it stands in the segment called `name`."""
    return _FRAME.pack(len(payload), count, _checksum(name, payload, count)) + payload


def read(segment: Segment) -> tuple[list[bytes], int, int]:
    """The payloads up to the first damage, how many visits they hold, and how many are lost (1 for unknown)."""
    if segment.path is None:
        data = bytes(segment.held)
    else:
        with segment.path.open("rb") as file:
            data = file.read(_MOST_FILE_BYTES)
    payloads: list[bytes] = []
    kept = lost = end = 0
    for count, payload in _frames(segment.name, data):
        payloads.append(payload)
        kept += count
        end += _FRAME.size + len(payload)
    if end < len(data):
        claimed = _FRAME.unpack_from(data, end)[1] if len(data) - end >= _FRAME.size else 1
        lost = claimed if 0 < claimed <= _MOST_VISITS else 1
    return payloads, kept, lost


def count(segment: Segment) -> int:
    """How many visits are in it, as far as that can be told."""
    if segment.count is None:
        try:
            _, kept, lost = read(segment)
        except OSError:
            return 1
        segment.count = kept + lost
    return segment.count


def found(directory: Path) -> list[Segment]:
    """What earlier processes have left, in the order in which it was made."""
    segments = []
    with os.scandir(directory) as entries:
        for entry in entries:
            name = entry.name.removesuffix(SUFFIX)
            if name != entry.name and NAME.match(name) and entry.is_file(follow_symlinks=False):
                state = entry.stat(follow_symlinks=False)
                segments.append(Segment(name, Path(entry.path), state.st_mtime, state.st_size, None))
    return sorted(segments, key=lambda segment: segment.name)


def refused(directory: Path) -> list[Path]:
    """What was set aside, the oldest first."""
    return sorted(directory.glob(f"*{SUFFIX}{REFUSED}"))


def _frames(name: str, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _FRAME.size <= len(data):
        size, count, checksum = _FRAME.unpack_from(data, at)
        payload = data[at + _FRAME.size : at + _FRAME.size + size]
        if len(payload) < size or count > _MOST_VISITS or checksum != _checksum(name, payload, count):
            return
        yield count, payload
        at += _FRAME.size + size


def _checksum(name: str, payload: bytes, count: int) -> int:
    return zlib.crc32(payload, zlib.crc32(_NUMBERS.pack(len(payload), count), zlib.crc32(name.encode("ascii"))))
