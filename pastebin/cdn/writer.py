"""One answer on its way into the cache, and out of it again to those who wait for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from multidict import CIMultiDictProxy

from pastebin.cdn.disk import Disk
from pastebin.cdn.freshness import Policy
from pastebin.cdn.objects import DiskBody, Stored
from pastebin.cdn.spool import BLOCK_BYTES, Part
from pastebin.cdn.variants import Variant
from pastebin.errors import StoredDamaged
from pastebin.positions import Position

_FLUSH_BYTES = 4 * BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of an answer before its body has come."""

    key: str
    variant: Variant
    status: int
    headers: CIMultiDictProxy[str]
    policy: Policy
    responded_at: float
    tags: frozenset[str]
    born: int
    size: int | None  # of the body, if the origin has said so
    seen: Position | None
    sha256: bytes | None  # of the body, if the origin has said so

    def stored(self, body: bytes | DiskBody) -> Stored:
        """The stored response that it becomes."""
        return Stored(
            key=self.key,
            variant=self.variant,
            status=self.status,
            headers=self.headers,
            policy=self.policy,
            responded_at=self.responded_at,
            tags=self.tags,
            born=self.born,
            size=len(body) if isinstance(body, bytes) else body.size,
            body=body,
            seen=self.seen,
        )


class Keeper(Protocol):
    """What a writer asks of its cache."""

    def reserve_memory(self, size: int) -> bool: ...
    def release_memory(self, size: int) -> None: ...
    def reserve_disk(self, size: int) -> bool: ...
    async def disk_settled(self) -> None: ...
    def release_disk(self, size: int) -> None: ...
    def unkept(self, reason: str) -> None: ...
    def publish(self, draft: Draft, body: bytes) -> Stored | None: ...
    async def publish_part(self, draft: Draft, part: Part, reserved: int) -> Stored | None: ...


class Writer:
    """Takes a body chunk by chunk, and gives back whatever it has taken until it is closed.

    `is_keeping` is False once it cannot take more (too large, no room, a broken disk), or from the start: then nothing
    will be stored, `write` does nothing, and what was taken before can still be read. Writing never raises for want
    of room. An async context manager: leaving it without `commit` leaves nothing behind.

    The body is in memory up to `memory_bytes`, then in a file, but for the last blocks: whole blocks are written in a
    thread while the next ones come in, and only a disk that is slower than the origin is waited for.
    """

    def __init__(self, draft: Draft, keeper: Keeper, disk: Disk | None, *, memory_bytes: int, max_bytes: int) -> None:
        self.draft = draft
        self.written = 0  # bytes taken, all of which `read` gives back
        self.is_keeping = True
        self.is_damaged = False  # it is not what the origin has named the digest of; known once all of it is here
        self._keeper = keeper
        self._disk = disk
        self._memory_bytes = memory_bytes
        self._limit = max_bytes if draft.size is None else min(draft.size, max_bytes)
        self._part: Part | None = None
        self._flushed = 0  # bytes in the file
        self._flying = b""  # what is being written to it
        self._buffer: bytearray | bytes = bytearray()  # what comes after
        self._flush_bytes = _FLUSH_BYTES
        self._job: asyncio.Future[OSError | None] | None = None
        self._reserved_memory = 0
        self._reserved_disk = 0
        if draft.size is not None and (draft.size > max_bytes or (disk is None and draft.size > memory_bytes)):
            self._give_up("large")
        elif draft.size is not None and draft.size > memory_bytes and disk is not None and not disk.is_writable:
            self._give_up("disk")  # before anybody waits for it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def write(self, chunk: bytes) -> bool:
        """Take the next bytes of the body; False, and none of them taken, if it is not being kept."""
        if not self.is_keeping:
            return False
        expected = self.written + len(chunk)
        if expected > self._limit:
            return self._give_up("large" if self.draft.size is None else "length")
        if self._part is None:
            is_small = max(expected, self.draft.size or 0) <= self._memory_bytes
            if not (is_small and self._reserve(len(chunk))) and not self._begin_part():
                return self._give_up("room" if is_small else "large" if self._disk is None else "disk")
        self._buffer += chunk
        self.written = expected
        if self._part is not None and len(self._buffer) >= self._flush_bytes:
            await self._flush(self._part, whole_blocks=True)
        return True

    async def read(self, start: int) -> AsyncGenerator[bytes, None]:
        """What has been taken from offset `start` on, to where that ends now; for as many readers as like, at once.

        Raises StoredDamaged if it cannot be read back.
        """
        stop = self.written
        while start < stop:
            chunk = self._in_memory(start, stop)
            if chunk is None and self._part is not None and self._disk is not None:
                try:
                    chunk = await self._disk.read_part(self._part, start, min(stop, self._flushed))
                except OSError as error:
                    self.is_keeping = False
                    raise StoredDamaged from error
            if not chunk:  # closed while it was being read
                raise StoredDamaged
            start += len(chunk)
            yield chunk

    async def commit(self) -> Stored | None:
        """Make it visible, at once and whole; None if it may not be: too short, overtaken by a purge, no room.

        What was taken can be read until `close`.
        """
        if not self.is_keeping:
            return None
        if self.draft.size is not None and self.written != self.draft.size:
            self._give_up("length")
            return None
        return self._commit_memory() if self._part is None else await self._commit_part(self._part)

    def abort(self) -> None:
        """Keep nothing; what was taken can be read until `close`."""
        self.is_keeping = False

    def close(self) -> None:
        """Let go of everything; nobody may be reading any more."""
        self.is_keeping = False
        self._buffer, self._flying = b"", b""
        self._release_memory()
        if self._part is not None and self._disk is not None:
            self._disk.discard(self._part)
            self._part = None
            self._keeper.release_disk(self._reserved_disk)
            self._reserved_disk = 0

    def _commit_memory(self) -> Stored | None:
        self._buffer = body = bytes(self._buffer)
        if self.draft.sha256 is not None and hashlib.sha256(body).digest() != self.draft.sha256:
            self.is_damaged = True
            self._give_up("digest")
            return None
        self.is_keeping = False
        self._release_memory()
        return self._keeper.publish(self.draft, body)

    async def _commit_part(self, part: Part) -> Stored | None:
        await self._flush(part, whole_blocks=False)
        await self._settle()
        if self.is_keeping and part.sha256 != self.draft.sha256:
            self.is_damaged = True
            self._give_up("digest")
        if not self.is_keeping:
            return None
        self.is_keeping = False
        reserved, self._reserved_disk = self._reserved_disk, 0
        return await self._keeper.publish_part(self.draft, part, reserved)

    def _begin_part(self) -> bool:
        if self._disk is None or not self._disk.is_writable:
            return False
        if not self._reserve(2 * _FLUSH_BYTES):
            self._flush_bytes = BLOCK_BYTES
        self._part = self._disk.part(with_digest=self.draft.sha256 is not None)
        return True

    async def _flush(self, part: Part, *, whole_blocks: bool) -> None:
        """Begin to write what is in the buffer, once the write before has ended."""
        await self._settle()
        size = len(self._buffer)
        size -= size % BLOCK_BYTES if whole_blocks else 0
        if not self.is_keeping or not size or self._disk is None:
            return
        if not self._keeper.reserve_disk(size):
            self._give_up("room")
            return
        self._reserved_disk += size
        await self._keeper.disk_settled()
        self._flying, self._buffer = bytes(memoryview(self._buffer)[:size]), self._buffer[size:]
        self._job = self._disk.submit(partial(part.append, self._flying))

    async def _settle(self) -> None:
        if self._job is None:
            return
        error = await asyncio.shield(self._job)
        self._job = None
        if error is None:
            self._flushed += len(self._flying)
            self._flying = b""
        elif self.is_keeping:
            self._give_up("disk")

    def _in_memory(self, start: int, stop: int) -> bytes | None:
        """Bytes from `start` on, not many at once, unless they are in the file."""
        if start < self._flushed:
            return None
        first = self._flushed
        held: bytes | bytearray = self._flying
        if start >= first + len(held):
            first, held = first + len(held), self._buffer
        return bytes(memoryview(held)[start - first : min(stop - first, start - first + BLOCK_BYTES)])

    def _reserve(self, size: int) -> bool:
        if not self._keeper.reserve_memory(size):
            return False
        self._reserved_memory += size
        return True

    def _release_memory(self) -> None:
        self._keeper.release_memory(self._reserved_memory)
        self._reserved_memory = 0

    def _give_up(self, reason: str) -> bool:
        self.is_keeping = False
        self._keeper.unkept(reason)
        return False
