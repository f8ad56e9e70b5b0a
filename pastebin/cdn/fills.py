"""A body on its way from the origin into the cache, and to all who read it meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pastebin.cdn.objects import Stored
from pastebin.cdn.writer import Writer
from pastebin.errors import BadUpstream, PastebinError, StoredDamaged, UpstreamUnavailable
from pastebin.http.exchanges import Reply

# What is left of a body that nobody waits for any more, and is finished all the same.
_NEAR_BYTES = 1024**2
# Where storing had to stop: how far the fastest reader may be before the slowest one, and how long, all in all, the
# others wait for such.
_WINDOW_BYTES = 256 * 1024
_PATIENCE_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class Reader:
    """One who reads from a fill."""

    at: int = 0  # how far


class Fill:
    """One body for all its readers.

    The origin is read as fast as the cache takes it, whatever the readers do. Every reader is attached before it reads
    and detached when it is done. Where storing has to stop nobody is cut off: those who read already bring the rest
    from the origin themselves, piece by piece for all of them, and the fastest waits for the slowest, for a while.
    When nobody reads any more it is finished if little is missing, else given up.
    """

    def __init__(self, reply: Reply, writer: Writer, seconds: float) -> None:
        self.writer = writer
        self.stored: Stored | None = None
        self.is_over = False  # nothing more is stored
        self.failure: PastebinError | None = None
        self._reply = reply
        self._seconds = seconds
        self._readers: set[Reader] = set()
        self._is_running = True
        self._is_closed = False
        self._progress = asyncio.Event()
        self._rest: Rest | None = None

    @property
    def size(self) -> int | None:
        """Of the whole body, if the origin has said so."""
        return self.writer.draft.size

    @property
    def is_handed_over(self) -> bool:
        """Whether it turned out, half-way, that it cannot be kept."""
        return self._rest is not None

    @property
    def is_open(self) -> bool:
        """Whether it can still be read from its beginning by one more."""
        return not self._is_closed and self._rest is None

    def attach(self) -> Reader:
        """One more reader."""
        reader = Reader()
        self._readers.add(reader)
        return reader

    def detach(self, reader: Reader) -> None:
        """It reads no more."""
        self._readers.discard(reader)
        if self._rest is not None:
            self._rest.moved()
        self._let_go()

    async def run(self) -> None:
        """Read the origin to its end and store what it sends. Raises nothing: readers learn what went wrong."""
        try:
            while piece := await self._reply.read():
                if self._is_abandoned():
                    self.failure = UpstreamUnavailable("Nobody waited for the rest.")
                    return
                if not await self.writer.write(piece):
                    self._rest = Rest(self._reply, self._readers, self.writer.written, piece)
                    return
                self._tell()
            self.stored = await self.writer.commit()
            if self.writer.is_damaged:
                self.failure = BadUpstream("Its digest is that of something else.")
        except PastebinError as error:
            self.failure = error
        finally:
            self._is_running = False
            if self.failure is None and self._rest is None and not self._reply.is_complete:
                self.failure = UpstreamUnavailable("It was cut off here.")  # cancelled
            self.writer.abort()
            self.is_over = True
            self._tell()
            self._let_go()

    async def finished(self) -> None:
        """Until it has ended, one way or another."""
        while not self.is_over:
            await self._moved()

    async def read(self, reader: Reader, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes of the body from `start` to `stop`, as they come.

        Raises what went wrong: whatever was read before is not the whole then. What is known to be wrong before
        anything was read is not read at all.
        """
        reader.at = start
        if self.failure is not None:
            raise self.failure.with_traceback(None)  # it is raised for every reader
        while stop is None or reader.at < stop:
            if reader.at < self.writer.written:
                async for chunk in self.writer.read(reader.at):
                    yield self._taken(reader, chunk, stop)
                    if reader.at == stop:
                        return
            elif not self.is_over:
                await self._moved()
            elif self.failure is not None:
                raise self.failure.with_traceback(None)
            elif self._rest is not None and (piece := await self._rest.read(reader)):
                yield self._taken(reader, piece, stop)
            else:
                return

    def _taken(self, reader: Reader, chunk: bytes, stop: int | None) -> bytes:
        """What of a chunk is wanted."""
        piece = chunk if stop is None else chunk[: stop - reader.at]
        reader.at += len(piece)
        return piece

    async def _moved(self) -> None:
        """Until there is more, or an end. The reply has a deadline for silence, the disk needs one here."""
        self._progress.clear()
        try:
            async with asyncio.timeout(2 * self._seconds):
                await self._progress.wait()
        except TimeoutError:
            raise UpstreamUnavailable("The cache takes too long to keep the answer.") from None

    def _tell(self) -> None:
        self._progress.set()

    def _is_abandoned(self) -> bool:
        size = self.size
        return not self._readers and (size is None or size - self.writer.written > _NEAR_BYTES)

    def _let_go(self) -> None:
        """Close what nobody needs any more."""
        if not self._is_running and not self._readers:
            self._is_closed = True
            self._reply.close()
            self.writer.close()


class Rest:
    """What comes after all that was stored: a window over the origin's answer that the readers move themselves.

    Who is too slow for the others in the end is left behind: the next read raises StoredDamaged.
    """

    def __init__(self, reply: Reply, readers: set[Reader], start: int, piece: bytes) -> None:
        self._reply = reply
        self._readers = readers
        self._pieces: deque[tuple[int, bytes]] = deque([(start, piece)])
        self._front = 0  # whoever stands before it was left behind
        self._end = start + len(piece)
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self._patience = _PATIENCE_SECONDS

    async def read(self, reader: Reader) -> bytes:
        """What comes next for a reader; empty at the end. Raises what went wrong."""
        self.moved()
        while reader.at >= self._front:
            for start, piece in self._pieces:
                if start <= reader.at < start + len(piece):
                    return piece[reader.at - start :]
            async with self._turn:
                if reader.at >= self._end and not await self._bring():
                    return b""
        raise StoredDamaged("The rest could not be kept for one so slow.")

    def moved(self) -> None:
        """A reader has taken what it got, or has gone: let go of what nobody needs any more."""
        self._drop(self._slowest())
        self._moved.set()

    async def _bring(self) -> bool:
        """One more piece; False at the end."""
        await self._room()
        piece = await self._reply.read()
        if piece:
            self._pieces.append((self._end, piece))
            self._end += len(piece)
        return bool(piece)

    async def _room(self) -> None:
        """Until the slowest is near. What is complete takes no more memory here than where it is."""
        while self._end - self._slowest() > _WINDOW_BYTES and not self._reply.is_complete:
            began = time.monotonic()
            self._moved.clear()
            try:
                async with asyncio.timeout(self._patience):
                    await self._moved.wait()
            except TimeoutError:
                self._drop(self._end - _WINDOW_BYTES)
                self._front = self._end - _WINDOW_BYTES
            self._patience = max(0.0, self._patience - (time.monotonic() - began))

    def _slowest(self) -> int:
        return min((reader.at for reader in self._readers if reader.at >= self._front), default=self._end)

    def _drop(self, before: int) -> None:
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= before:
            self._pieces.popleft()
