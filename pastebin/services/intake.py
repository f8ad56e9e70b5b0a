"""Content on its way in: hashed, counted and stored while it arrives, visible to nobody until a paste is committed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Self

from pastebin.errors import InvalidPaste, PastebinError, PasteTooLarge, Problem, Unavailable
from pastebin.metrics import Metrics
from pastebin.models import File
from pastebin.phrases import Phrase
from pastebin.sections import LimitsSection
from pastebin.services import media, syntaxes
from pastebin.services.credentials import MOST_BYTES, Scanner
from pastebin.services.lines import INDEXED_BYTES, stored_form
from pastebin.services.lines_index import LineCounter
from pastebin.store.blobs import Blobs, new_key
from pastebin.store.leftovers import Leftovers
from pastebin.store.line_indexes import LineIndexes

log = logging.getLogger(__name__)

_HASH_BYTES = 128 * 1024  # worth a thread hop; an upload that waits for memory holds little more than a piece
_RENEW_SECONDS = 60.0
_INLINE_SHARE = 16  # all inline files of a paste together, in inline limits
NAME_BYTES = 255


class Committing:
    """See `Intake.committing`."""

    def __init__(self, taken: Intake) -> None:
        self._taken = taken

    def __enter__(self) -> None:
        self._taken.note_commit(is_possible=True)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, PastebinError) and not isinstance(error, Unavailable):
            self._taken.note_commit(is_possible=False)


class Intake:
    """The files of one paste to be. Bounded memory: the inline limit, or a few hash buffers per file."""

    def __init__(
        self,
        blobs: Blobs,
        leftovers: Leftovers,
        limits: LimitsSection,
        inline_max_bytes: int,
        metrics: Metrics,
        line_indexes: LineIndexes,
    ) -> None:
        self._blobs = blobs
        self._line_indexes = line_indexes
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
        # one for each file, where somebody asked for it before there was any
        self.scanners: list[Scanner] | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._may_be_committed = False
        self._held = 0
        self.shares_blobs = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leaving with an error gives the stored blobs up; the sweeper removes what even that could not."""
        if self._tasks is not None and self._renewal is not None:
            self._renewal.cancel()
            # what went wrong in the block is not an affair of the group, which would wrap it
            await self._tasks.__aexit__(None, None, None)
        if kind is not None and self.blob_keys and not self._may_be_committed:
            await asyncio.shield(self.abandon(self.blob_keys))

    def committing(self) -> Committing:
        """Around the commit: unless the database has said no, the blobs may be those of a paste, now or in a moment.

        So nobody but the sweeper may give them up then, which asks the rows once every commit is over.
        """
        return Committing(self)

    def note_commit(self, *, is_possible: bool) -> None:
        """Whether what was stored may belong to a paste."""
        self._may_be_committed = is_possible

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
        self._admit(name)
        counted = self._counted(chunks)
        head = bytearray()
        async for chunk in counted:
            head += chunk
            if len(head) > self._longest_inline:
                break
        complete = len(head) <= self._longest_inline
        content = bytes(head)
        kind = media.media_type(content, complete=complete)
        if complete and _stays_inline(content, kind):
            self._keep(content, name, syntax, kind)
            return
        if syntax is None and kind == media.TEXT:
            syntax = _guessed(name, content)
        del content
        position = len(self.files)
        key, size, digest = await self._store(head, counted, LineCounter() if kind == media.TEXT else None)
        self.files.append(File(position, name, kind, syntax, size, digest, blob_key=key))

    def add_whole(self, content: bytes, *, name: str | None, syntax: str | None = None) -> bool:
        """Take one file that is here already, if it goes into the database; False: it has to be added as a stream.

        Raises as `add` does.
        """
        kind = media.media_type(content, complete=True)
        if len(content) > self._longest_inline or not _stays_inline(content, kind):
            return False
        self._admit(name)
        self._count(content)
        self._keep(content, name, syntax, kind)
        return True

    def hold(self, kept: Iterable[File]) -> None:
        """Count files that a change leaves as they are: limits are those of the whole paste. Raises PasteTooLarge."""
        for file in kept:
            self._held += 1
            self.size += file.size
            self._inline_left = max(self._inline_left - (0 if file.blob_key else file.size), 0)
        if self.size > self._limits.max_paste_bytes:
            raise too_large(self._limits)

    def adopt(self, file: File) -> None:
        """Take a file of another paste, with its inline body; its blob is shared. Raises as `add` does."""
        self._admit(file.name)
        self.hold([file])
        self._held -= 1
        self.shares_blobs = self.shares_blobs or file.blob_key is not None
        self.files.append(replace(file, position=len(self.files)))

    @property
    def _longest_inline(self) -> int:
        return min(self._inline_max_bytes, self._inline_left)

    def _admit(self, name: str | None) -> None:
        position = len(self.files)
        if position + self._held >= self._limits.max_files:
            raise InvalidPaste(
                [Problem("files", Phrase("a paste has at most %(num)s files", num=self._limits.max_files))]
            )
        if name is not None:
            self.problems += name_problems(name, f"files[{position}].name")
        if self.scanners is not None:
            self.scanners.append(Scanner(self.scanners[-1].left if self.scanners else MOST_BYTES))

    def _keep(self, content: bytes, name: str | None, syntax: str | None, kind: str) -> None:
        if syntax is None and kind == media.TEXT:
            syntax = _guessed(name, content)
        size, digest = len(content), hashlib.sha256(content).digest()
        self._inline_left -= size
        self.files.append(File(len(self.files), name, kind, syntax, size, digest, body=content))

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._count(chunk)
            yield chunk

    def _count(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self._limits.max_paste_bytes:
            raise too_large(self._limits)
        self._metrics.received_bytes.inc(len(chunk))
        if self.scanners is not None:
            self.scanners[-1].feed(chunk)

    async def _store(
        self, head: bytearray, rest: AsyncIterator[bytes], lines: LineCounter | None
    ) -> tuple[str, int, bytes]:
        """Stream to the blob store, the head first; returns key, size and digest once everything is durable.

        The `lines` are counted while they pass.
        """
        if self.problems:
            raise InvalidPaste(self.problems)  # no need to take the rest of something large
        key = new_key()
        digest = hashlib.sha256()
        size = 0
        await self._leftovers.announce_blob(key)
        self.blob_keys.append(key)
        if self._tasks is None:
            self._tasks = await asyncio.TaskGroup().__aenter__()
            self._renewal = self._tasks.create_task(self._renew(), name="renewal of an upload")
        async with self._blobs.writer(key) as writer:
            async for piece in _pieces(head, rest):
                # hashing lets go of the GIL: it runs beside the write of the same bytes
                await asyncio.gather(asyncio.to_thread(digest.update, piece), writer.write(piece))
                size += len(piece)
                if lines is not None:
                    lines.feed(piece)
            await asyncio.gather(writer.complete(), self._keep_lines(key, lines))
        return key, size, digest.digest()

    async def _keep_lines(self, key: str, lines: LineCounter | None) -> None:
        """Keep where the lines of a large text are; where that fails now, the first who needs it does it again."""
        if lines is None or (index := lines.finish()).size <= INDEXED_BYTES:
            return
        try:
            await self._line_indexes.keep(key, stored_form(index))
        except PastebinError as error:
            log.warning("no line index of blob %s was stored: %s", key, error)

    async def _renew(self) -> None:
        """Keep all blobs of this paste while it arrives, however long it takes and whatever is waited for."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                await self._leftovers.renew_blobs(self.blob_keys)
            except PastebinError as error:
                log.warning("a running upload could not be renewed: %s", error)


def _stays_inline(content: bytes, kind: str) -> bool:
    return kind == media.TEXT or not content


def _guessed(name: str | None, content: bytes) -> str | None:
    guessed = syntaxes.guess(name, content[: syntaxes.HEAD_BYTES])
    return guessed.name if guessed else None


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
        return [Problem(field, Phrase("must be 1 to %(num)s bytes of UTF-8", num=NAME_BYTES))]
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
