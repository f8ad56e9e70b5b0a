"""Content on its way in: hashed, counted and stored while it arrives, visible to nobody until a paste is committed."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pastebin.errors import InvalidPaste, PastebinError, PasteTooLarge, Problem
from pastebin.metrics import Metrics
from pastebin.models import File
from pastebin.sections import LimitsSection
from pastebin.services import media, syntaxes
from pastebin.store.blobs import Blobs, new_key
from pastebin.store.leftovers import Leftovers

_HASH_BYTES = 128 * 1024  # worth a thread hop; an upload that waits for memory holds little more than a piece
_RENEW_SECONDS = 600.0
NAME_BYTES = 255


class Intake:
    """The files of one paste to be. Bounded memory: the inline limit, or a few hash buffers per file."""

    def __init__(
        self,
        blobs: Blobs,
        leftovers: Leftovers,
        limits: LimitsSection,
        inline_max_bytes: int,
        metrics: Metrics,
    ) -> None:
        self._blobs = blobs
        self._leftovers = leftovers
        self._limits = limits
        self._inline_max_bytes = inline_max_bytes
        self._metrics = metrics
        self.files: list[File] = []
        self.problems: list[Problem] = []
        self.size = 0
        self.blob_keys: list[str] = []

    async def add(self, chunks: AsyncIterator[bytes], *, name: str | None, syntax: str | None = None) -> None:
        """Take one file. Raises PasteTooLarge as soon as the paste is, InvalidPaste, StorageFull.

        A name that is refused is kept in `problems`, to be told with everything else that is wrong.
        """
        position = len(self.files)
        if position >= self._limits.max_files:
            raise InvalidPaste([Problem("files", f"a paste has at most {self._limits.max_files} files")])
        if name is not None:
            self.problems += name_problems(name, f"files[{position}].name")
        counted = self._counted(chunks)
        head = bytearray()
        async for chunk in counted:
            head += chunk
            if len(head) > self._inline_max_bytes:
                break
        complete = len(head) <= self._inline_max_bytes
        kind = media.media_type(bytes(head), complete=complete)
        guessed = syntaxes.guess(name, bytes(head[:4096])) if syntax is None and kind == media.TEXT else None
        if complete and (kind == media.TEXT or not head):
            body = bytes(head)
            size, digest, key = len(body), hashlib.sha256(body).digest(), None
        else:
            body = None
            key, size, digest = await self._store(head, counted)
        self.files.append(
            File(
                position=position,
                name=name,
                media_type=kind,
                syntax=guessed.name if guessed else syntax,
                size=size,
                sha256=digest,
                blob_key=key,
                body=body,
            )
        )

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self.size += len(chunk)
            if self.size > self._limits.max_paste_bytes:
                raise too_large(self._limits)
            self._metrics.received_bytes.inc(len(chunk))
            yield chunk

    async def _store(self, head: bytearray, rest: AsyncIterator[bytes]) -> tuple[str, int, bytes]:
        """Stream to the blob store, the head first; returns key, size and digest once everything is durable."""
        if self.problems:
            raise InvalidPaste(self.problems)  # no need to take the rest of something large
        key = new_key()
        digest = hashlib.sha256()
        size = 0
        await self._leftovers.announce_blob(key)
        self.blob_keys.append(key)
        renewed = time.monotonic()
        async with self._blobs.writer(key) as writer:
            async for piece in _pieces(head, rest):
                # hashing lets go of the GIL: it runs beside the write of the same bytes
                await asyncio.gather(asyncio.to_thread(digest.update, piece), writer.write(piece))
                size += len(piece)
                if time.monotonic() - renewed > _RENEW_SECONDS:
                    await self._leftovers.renew_blob(key)
                    renewed = time.monotonic()
            await writer.complete()
        return key, size, digest.digest()


@asynccontextmanager
async def opened(intake: Intake) -> AsyncIterator[Intake]:
    """Leaving the block with an error gives the stored blobs up; the sweeper removes what even that could not."""
    try:
        yield intake
    except BaseException:
        if intake.blob_keys:
            await asyncio.shield(_abandon(intake))
        raise


async def _abandon(intake: Intake) -> None:
    try:
        await intake._leftovers.abandon_blobs(intake.blob_keys)
        for key in intake.blob_keys:
            await intake._blobs.remove(key)
    except PastebinError:
        pass  # the rows are still there: the sweeper comes back to them


def too_large(limits: LimitsSection) -> PasteTooLarge:
    return PasteTooLarge(
        f"A paste holds at most {limits.max_paste_bytes} bytes here.", max_bytes=limits.max_paste_bytes
    )


def name_problems(name: str, field: str) -> list[Problem]:
    """File names are kept as given and never become paths; they only have to be text that fits."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return [Problem(field, "must be valid Unicode text")]
    if "\0" in name:
        return [Problem(field, "must not contain NUL")]
    if not 1 <= length <= NAME_BYTES:
        return [Problem(field, f"must be 1 to {NAME_BYTES} bytes of UTF-8")]
    return []


async def _pieces(buffer: bytearray, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces that are worth a hop to a thread; what is large enough already is not copied.

    `buffer` holds the first of them, and is used up: a stream that stands still should hold little.
    """
    async for chunk in rest:
        is_large = len(chunk) >= _HASH_BYTES
        if not is_large:
            buffer += chunk
        if buffer and (is_large or len(buffer) >= _HASH_BYTES):
            piece = bytes(buffer)
            buffer.clear()
            yield piece
        if is_large:
            yield chunk
    if buffer:
        yield bytes(buffer)
