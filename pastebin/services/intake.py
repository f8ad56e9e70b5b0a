"""Content on its way in: hashed, counted and stored while it arrives, visible to nobody until a paste is committed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from pastebin.errors import InvalidPaste, PastebinError, PasteTooLarge, Problem, Unavailable
from pastebin.metrics import Metrics
from pastebin.models import File
from pastebin.sections import LimitsSection
from pastebin.services import media, syntaxes
from pastebin.store.blobs import Blobs, new_key
from pastebin.store.leftovers import Leftovers

log = logging.getLogger(__name__)

_HASH_BYTES = 128 * 1024  # worth a thread hop; an upload that waits for memory holds little more than a piece
_RENEW_SECONDS = 60.0
_INLINE_SHARE = 16  # all inline files of a paste together, in inline limits
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
        # a paste of many small files is read as a whole: what it keeps in SQL has to stay small as well
        self._inline_left = _INLINE_SHARE * inline_max_bytes
        self.files: list[File] = []
        self.problems: list[Problem] = []
        self.size = 0
        self.blob_keys: list[str] = []
        self._tasks = asyncio.TaskGroup()
        self._renewal: asyncio.Task[None] | None = None
        self._may_be_committed = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leaving with an error gives the stored blobs up; the sweeper removes what even that could not."""
        if self._renewal is not None:
            self._renewal.cancel()
        # what went wrong in the block is not an affair of the group, which would wrap it
        await self._tasks.__aexit__(None, None, None)
        if kind is not None and self.blob_keys and not self._may_be_committed:
            await asyncio.shield(self.abandon(self.blob_keys))

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Around the commit: unless the database has said no, the blobs may be those of a paste, now or in a moment.

        So nobody but the sweeper may give them up then, which asks the rows once every commit is over.
        """
        self._may_be_committed = True
        try:
            yield
        except Unavailable:
            raise
        except PastebinError:
            self._may_be_committed = False
            raise

    async def abandon(self, keys: Sequence[str]) -> None:
        """Remove blobs that no commit made live, nor ever will."""
        try:
            for key in await self._leftovers.abandon_blobs(keys):
                await self._blobs.remove(key)
        except PastebinError as error:
            log.info("abandoned blobs are left to the sweeper: %s", error)

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
        longest = min(self._inline_max_bytes, self._inline_left)
        async for chunk in counted:
            head += chunk
            if len(head) > longest:
                break
        complete = len(head) <= longest
        kind = media.media_type(bytes(head), complete=complete)
        guessed = syntaxes.guess(name, bytes(head[:4096])) if syntax is None and kind == media.TEXT else None
        if complete and (kind == media.TEXT or not head):
            body = bytes(head)
            size, digest, key = len(body), hashlib.sha256(body).digest(), None
            self._inline_left -= size
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
        if self._renewal is None:
            self._renewal = self._tasks.create_task(self._renew(), name="renewal of an upload")
        async with self._blobs.writer(key) as writer:
            async for piece in _pieces(head, rest):
                # hashing lets go of the GIL: it runs beside the write of the same bytes
                await asyncio.gather(asyncio.to_thread(digest.update, piece), writer.write(piece))
                size += len(piece)
            await writer.complete()
        return key, size, digest.digest()

    async def _renew(self) -> None:
        """Keep all blobs of this paste while it arrives, however long it takes and whatever is waited for."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                await self._leftovers.renew_blobs(self.blob_keys)
            except PastebinError as error:
                log.warning("a running upload could not be renewed: %s", error)


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
