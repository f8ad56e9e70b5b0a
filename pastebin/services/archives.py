"""Archives of a paste's files, made while they are read: nothing is ever in memory as a whole, nor on a disk."""

from __future__ import annotations

import asyncio
import tarfile
import zipfile
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

_AT_ONCE = 2
_INLINE_BYTES = 16 * 1024  # a fraction of a millisecond: the most that is worth holding up everybody else for
_PIECE_BYTES = 64 * 1024
_MODE = 0o644
_GZIP_WINDOW = 31
_LEVEL = 6
_BLOCK = 512  # of a tar file


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive: `path` is harmless, and `chunks` begins to read exactly `size` bytes."""

    path: str
    size: int
    modified: datetime
    chunks: Callable[[], AsyncIterator[bytes]]


class Archives:
    """Makes them; only so many chunks are compressed at a time, so that threads and cores are left to others."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def zipped(self, entries: Iterable[Entry]) -> AsyncIterator[bytes]:
        """A ZIP file (APPNOTE 6.3.10) that says the sizes behind each member, since they are not known before.

        Every member is deflated: who reads a stream cannot find the end of one that is merely stored.
        """
        sink = _Sink()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in entries:
                with archive.open(_member(entry), "w") as member:
                    async with _opened(entry) as chunks:
                        async for chunk in chunks:
                            await self._off(member.write, chunk)
                            if sink.is_full:
                                yield sink.take()
                if sink.is_full:
                    yield sink.take()
        yield sink.take()

    async def tarred(self, entries: Iterable[Entry]) -> AsyncIterator[bytes]:
        """A gzipped tar file in the format of POSIX.1-2001 (pax), which knows names in UTF-8 and files of any size."""
        sink = _Sink()
        compressor = zlib.compressobj(_LEVEL, wbits=_GZIP_WINDOW)

        def write(data: bytes) -> None:
            sink.write(compressor.compress(data))

        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.size, info.mtime, info.mode = entry.size, int(entry.modified.timestamp()), _MODE
            write(info.tobuf(tarfile.PAX_FORMAT))
            async with _opened(entry) as chunks:
                async for chunk in chunks:
                    await self._off(write, chunk)
                    if sink.is_full:
                        yield sink.take()
            write(bytes(-entry.size % _BLOCK))
        write(bytes(2 * _BLOCK))  # the end
        sink.write(compressor.flush())
        yield sink.take()

    async def _off(self, write: Callable[[bytes], object], chunk: bytes) -> None:
        if len(chunk) <= _INLINE_BYTES:
            write(chunk)
            return
        async with self._turns:
            await asyncio.to_thread(write, chunk)


class _Sink:
    """A file that cannot seek, emptied again and again."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._size = 0

    @property
    def is_full(self) -> bool:
        return self._size >= _PIECE_BYTES

    def write(self, data: bytes, /) -> int:
        self._written.append(bytes(data))
        self._size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing was opened."""

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        self._size = 0
        return taken


def _member(entry: Entry) -> zipfile.ZipInfo:
    at = entry.modified.astimezone(UTC)
    member = zipfile.ZipInfo(entry.path, (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second))
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = _MODE << 16
    member.file_size = entry.size
    return member


@asynccontextmanager
async def _opened(entry: Entry) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes of a file; a reading that is left early gives back what it holds."""
    chunks = entry.chunks()
    try:
        yield chunks
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
