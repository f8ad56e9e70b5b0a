"""One answer on its way into the cache, and out of it again to those who wait for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from multidict import CIMultiDictProxy

from pastebin.cdn.objects import DiskBody, Stored
from pastebin.cdn.variants import Variant
from pastebin.positions import Position

if TYPE_CHECKING:
    from pastebin.cdn.freshness import Policy


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
    def unkept(self, reason: str) -> None: ...
    async def publish(self, draft: Draft, body: bytes | DiskBody) -> Stored | None: ...


class Writer:
    """Takes a body chunk by chunk, and gives back whatever it has taken until it is closed.

    `is_keeping` is False once it cannot take more (too large, no room, a broken disk), or from the start: then nothing
    will be stored, `write` does nothing, and what was taken before can still be read. Writing never raises for want
    of room. An async context manager: leaving it without `commit` leaves nothing behind.
    """

    def __init__(self, draft: Draft, keeper: Keeper, *, memory_bytes: int, max_bytes: int) -> None:
        self.draft = draft
        self.written = 0  # bytes taken, all of which `read` gives back
        self.is_keeping = True
        self.stored: Stored | None = None
        self._keeper = keeper
        self._memory_bytes = memory_bytes
        self._limit = max_bytes if draft.size is None else min(draft.size, max_bytes)
        self._chunks: list[bytes] = []
        self._reserved = 0
        if draft.size is not None and draft.size > max_bytes:
            self._give_up("large")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def write(self, chunk: bytes) -> bool:
        """Take the next bytes of the body; False, and none of them taken, if it is not being kept."""
        if not self.is_keeping:
            return False
        if self.written + len(chunk) > self._limit:
            return self._give_up("large" if self.draft.size is None else "length")
        if self.written + len(chunk) > self._memory_bytes or not self._reserve(len(chunk)):
            return self._give_up("room")
        self._chunks.append(bytes(chunk))
        self.written += len(chunk)
        return True

    async def read(self, start: int) -> AsyncIterator[bytes]:
        """What has been taken from offset `start` on, to where that ends now; for as many readers as like, at once.

        Raises StoredDamaged if it cannot be read back.
        """
        offset = 0
        for chunk in list(self._chunks):
            if offset + len(chunk) > start:
                yield chunk[max(0, start - offset) :]
            offset += len(chunk)

    async def commit(self) -> Stored | None:
        """Make it visible, at once and whole; None if it may not be: too short, overtaken by a purge, no room.

        What was taken can be read until `close`.
        """
        if not self.is_keeping:
            return None
        self.is_keeping = False
        if self.draft.size is not None and self.written != self.draft.size:
            self._keeper.unkept("length")
            return None
        self._release()
        self.stored = await self._keeper.publish(self.draft, b"".join(self._chunks))
        return self.stored

    async def abort(self) -> None:
        """Keep nothing; what was taken can be read until `close`."""
        self.is_keeping = False

    async def close(self) -> None:
        """Let go of everything; nobody may be reading any more."""
        self.is_keeping = False
        self._chunks.clear()
        self._release()

    def _reserve(self, size: int) -> bool:
        if not self._keeper.reserve_memory(size):
            return False
        self._reserved += size
        return True

    def _release(self) -> None:
        self._keeper.release_memory(self._reserved)
        self._reserved = 0

    def _give_up(self, reason: str) -> bool:
        self.is_keeping = False
        self._keeper.unkept(reason)
        return False
