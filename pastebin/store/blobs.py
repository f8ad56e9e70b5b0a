"""Where large files live: the interface that the directory store and object stores share."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """One stored blob, as a listing shows it."""

    key: str
    size: int
    modified_at: datetime


class BlobWriter(Protocol):
    """A blob on its way in. Nobody can read it before `complete` has returned; after that it survives a crash."""

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes; returns when there is room for more. Raises StorageFull."""

    async def complete(self) -> None:
        """Make everything written durable and readable. Raises StorageFull."""


class Blobs(Protocol):
    """A flat space of immutable byte strings under keys made by `new_key`; no user string ever becomes a key."""

    def writer(self, key: str) -> AbstractAsyncContextManager[BlobWriter]:
        """Leaving the context before `complete` leaves nothing behind, whatever the reason."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start`, at most `length` of them, in chunks. Raises BlobMissing, also in mid-stream."""

    async def require_room(self) -> None:
        """Raise StorageFull if no more should be stored now, here or by others on the same disk."""

    @property
    def knows_room(self) -> bool:
        """Whether `require_room` would return at once."""

    async def remove(self, key: str) -> None:
        """Remove a blob; one that is not there is no error."""

    async def exists(self, key: str) -> bool:
        """Whether a complete blob is there."""

    def entries(self) -> AsyncIterator[BlobEntry]:
        """Every complete blob that was there all the time, in the order of their keys."""

    async def remove_abandoned(self, age_seconds: float) -> int:
        """Remove what interrupted writers left unfinished for longer than `age_seconds`; returns how many."""


def new_key() -> str:
    """A key nobody can guess: 32 hexadecimal digits."""
    return secrets.token_hex(16)
