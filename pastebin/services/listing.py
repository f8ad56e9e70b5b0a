"""What is in an archive, read from where the file is kept: a bounded number of bytes, in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pastebin.models import File
from pastebin.services.reading import Reading
from pastebin.services.renderings import zips
from pastebin.services.renderings.tarballs import Member, Scan, Unpacking

# Of an archive that is packed everything has to be unpacked up to the last name that is wanted.
_UNPACKED_BYTES = 32 * 1024**2
_READ_BYTES = 32 * 1024**2
_READS = 64
_LEAST, _MOST = 128 * 1024, 4 * 1024**2
_GZIP = b"\x1f\x8b"
_DIRECTORY_BYTES = 2 * 1024**2  # of a zip archive, some of which have more to say


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of an archive as far as it was read: `is_complete` says that this is to its end.

    Only of one that is not packed, as each file of a zip archive is, the bytes of a member can be found.
    """

    members: tuple[Member, ...]
    is_complete: bool
    is_packed: bool


async def members_of(reading: Reading, file: File, seconds: float) -> Listing | None:
    """What is in the archive; None if it is none. Raises TimeoutError where that is not known after so many seconds."""
    scan = Scan()
    head = await _part(reading, file, 0, len(zips.SIGNS[0]))
    is_packed = head.startswith(_GZIP)
    if head in zips.SIGNS:
        return await _zipped(reading, file, seconds)
    try:
        async with asyncio.timeout(seconds):
            await (_unpack(reading, file, scan) if is_packed else _skim(reading, file, scan))
    except TimeoutError:
        if not scan.members:
            raise
        scan.end(is_whole=False)
    if not scan.members and not (scan.is_complete and scan.is_sound):
        return None
    return Listing(tuple(scan.members), scan.is_complete, is_packed)


async def _zipped(reading: Reading, file: File, seconds: float) -> Listing | None:
    async with asyncio.timeout(seconds):
        tail = await _part(reading, file, max(file.size - zips.END_BYTES, 0), zips.END_BYTES)
        place = zips.directory(tail, file.size)
        if place is None:
            return None
        content = await _part(reading, file, place.start, min(place.length, _DIRECTORY_BYTES))
    members, is_complete = await asyncio.to_thread(zips.members, content)
    if not members and place.length:
        return None
    return Listing(members, is_complete and len(content) == place.length, is_packed=True)


async def _skim(reading: Reading, file: File, scan: Scan) -> None:
    """Read headers, and of what they stand before only what comes along with them."""
    step, total = _LEAST, 0
    for _ in range(_READS):
        if scan.is_over or scan.position >= file.size:
            scan.end(is_whole=True)
            return
        start = scan.position
        data = await _part(reading, file, start, min(step, file.size - start))
        is_last = start + len(data) >= file.size or len(data) >= _LEAST
        await asyncio.to_thread(scan.take, data, is_last=is_last)
        total += len(data)
        if (scan.position == start and not scan.is_over) or total > _READ_BYTES:
            break
        step = min(step * 2, _MOST) if scan.position <= start + len(data) else _LEAST
    scan.end(is_whole=False)


async def _unpack(reading: Reading, file: File, scan: Scan) -> None:
    unpacking = Unpacking(_UNPACKED_BYTES)
    held, start = b"", 0
    async for chunk in reading.stream(file):
        held, start = await asyncio.to_thread(_feed, scan, unpacking, chunk, held, start)
        if scan.is_over or unpacking.is_over:
            break
    scan.is_sound = scan.is_sound and unpacking.is_sound
    scan.end(is_whole=unpacking.is_whole)


def _feed(scan: Scan, unpacking: Unpacking, chunk: bytes, held: bytes, start: int) -> tuple[bytes, int]:
    """Take what a chunk unpacks to; what is held of it begins at `start` of the archive."""
    for piece in unpacking.feed(chunk):
        held += piece
        wanted = min(scan.position - start, len(held))
        held, start = held[wanted:], start + wanted
        if scan.position == start:
            scan.take(held, is_last=False)
        if scan.is_over:
            break
    return held, start


async def _part(reading: Reading, file: File, start: int, length: int) -> bytes:
    chunks: AsyncIterator[bytes] = reading.stream(file, start, min(length, file.size - start))
    return b"".join([chunk async for chunk in chunks])
