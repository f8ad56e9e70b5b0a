"""Reading pastes while they are written, wherever that happens: many readers of one cost its node as much as one.

A node looks for more of a paste when it is called, and now and then by itself, as long as somebody follows it here.
What has arrived lately is in memory; who begins further back reads that part from the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import Context

from pastebin.errors import Overloaded, PastebinError, PasteNotFound, Unavailable
from pastebin.models import Paste
from pastebin.services.reading import Reading
from pastebin.store.database import Database
from pastebin.store.lives import Arrived, Lives
from pastebin.store.pastes import Pastes
from pastebin.store.wakeups import Listener

log = logging.getLogger(__name__)

MOST_FOLLOWERS = 2048
# Of the end of a paste, in memory for all who follow it here, and shown at first.
WINDOW_BYTES = 256 * 1024
_AT_ONCE_BYTES = 64 * 1024
_LOOK_SECONDS = 2.0
_PAUSE_SECONDS = 0.1
# So often a follower hears of nothing: what writes to him notices then that he has gone.
_BEAT_SECONDS = 10.0


class _Tail:
    """The bytes of one paste from `start` to `end`. `final` is the paste once it is over, if it is not gone."""

    def __init__(self, paste: Paste) -> None:
        self.paste_id = paste.id
        self.slug = paste.slug
        self.start = self.end = -1  # unknown
        self.window = bytearray()
        self.followers = 0
        self.is_over = False
        self.final: Paste | None = None
        self.wanted = asyncio.Event()
        self.news = asyncio.Event()

    def take(self, start: int, body: bytes) -> None:
        if self.start < 0:
            self.start = self.end = start
        self.window += body
        self.end += len(body)
        if (excess := len(self.window) - WINDOW_BYTES) > 0:
            del self.window[:excess]
            self.start += excess
        self.tell()

    def tell(self) -> None:
        told, self.news = self.news, asyncio.Event()
        told.set()


class Following:
    """The read side of live pastes, for one node."""

    def __init__(
        self,
        database: Database,
        pastes: Pastes,
        reading: Reading,
        draining: asyncio.Event,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._lives = Lives(database)
        self._pastes = pastes
        self._reading = reading
        self._draining = draining
        self._tasks = tasks
        self._tails: dict[int, _Tail] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._followers = 0
        self._wanted = asyncio.Event()
        self._listener = Listener(database, ("pastebin_live",), self._look_all, self._called)

    @classmethod
    @asynccontextmanager
    async def running(
        cls, database: Database, pastes: Pastes, reading: Reading, draining: asyncio.Event
    ) -> AsyncIterator[Following]:
        """Let pastes be followed while the block lasts."""
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            following = cls(database, pastes, reading, draining, tasks)
            started = [tasks.create_task(following._listen(), name="listening for live pastes")]
            started.append(tasks.create_task(following._stop(), name="ending those who follow"))
            try:
                yield following
            except Exception as error:  # the group would wrap it
                failure = error
            finally:
                for task in (*started, *following._keeping):
                    task.cancel()
        if failure is not None:
            raise failure

    async def pieces(self, paste: Paste, at: int) -> AsyncGenerator[bytes, None]:
        """The bytes of a paste from `at` on, as they come, to its end; empty ones now and then while nothing comes.

        Raises PasteNotFound where it is gone before its end, Unavailable while the node stops, Overloaded.
        """
        final: Paste | None = paste
        if paste.is_growing:
            with self._followed(paste) as tail:
                while (piece := await self._next(tail, at)) is not None:
                    yield piece
                    at += len(piece)
                final = tail.final
        if final is None or not _is_for_its_readers(final, paste):
            raise PasteNotFound
        file = final.files[0]
        if at < file.size:
            async for piece in self._reading.stream(file, at, file.size - at):
                yield piece

    async def latest(self, paste: Paste) -> tuple[int, bytes]:
        """Where the end of what has arrived begins, WINDOW_BYTES long at most, and the end itself."""
        size = await self._size(paste.id)
        at = start = max(size - WINDOW_BYTES, 0)
        body = bytearray()
        while at < size and (arrived := await self._read(paste.id, at)) is not None and arrived.body:
            body += arrived.body
            at += len(arrived.body)
        return start, bytes(body)

    async def arrived(self, paste: Paste) -> AsyncGenerator[bytes, None]:
        """What has arrived until now, or a little more; all of it where the paste ends meanwhile.

        Raises PasteNotFound where it is gone.
        """
        size = await self._lives.size(paste.id, from_primary=True)
        at = 0
        while size is not None and at < size:
            arrived = await self._read(paste.id, at)
            if arrived is None:
                break
            if not arrived.body:
                return
            yield arrived.body
            at += len(arrived.body)
        else:
            if size is not None:
                return
        final = await self._pastes.find(paste.slug, bodies="sole", from_primary=True)
        if final.is_growing or not _is_for_its_readers(final, paste):
            raise PasteNotFound
        file = final.files[0]
        if at < file.size:
            async for piece in self._reading.stream(file, at, file.size - at):
                yield piece

    async def _size(self, paste_id: int) -> int:
        size = await self._lives.size(paste_id, from_primary=False)
        return (await self._lives.size(paste_id, from_primary=True) if size is None else size) or 0

    async def _read(self, paste_id: int, at: int) -> Arrived | None:
        """From there on, by whom knows of it."""
        found = await self._lives.read(paste_id, at, from_primary=False)
        if found is None or not found.body:
            found = await self._lives.read(paste_id, at, from_primary=True)
        return found

    @contextmanager
    def _followed(self, paste: Paste) -> Iterator[_Tail]:
        if self._followers >= MOST_FOLLOWERS:
            raise Overloaded(f"{MOST_FOLLOWERS} follow live pastes here already, which is all that may.")
        tail = self._tails.get(paste.id)
        if tail is None:
            tail = self._tails[paste.id] = _Tail(paste)
            # for all who follow: neither the deadline nor the session of this one
            keeping = self._tasks.create_task(self._keep(tail), name=f"following {paste.id}", context=Context())
            self._keeping.add(keeping)
            keeping.add_done_callback(self._keeping.discard)
        tail.followers += 1
        self._followers += 1
        self._wanted.set()
        try:
            yield tail
        finally:
            tail.followers -= 1
            self._followers -= 1

    async def _next(self, tail: _Tail, at: int) -> bytes | None:
        """The next bytes; empty if there are none for a while, None at the end. Raises Unavailable."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEAT_SECONDS):
                while True:
                    if self._draining.is_set():
                        raise Unavailable("This node is about to stop; ask again.")
                    if 0 <= tail.start <= at < tail.end:
                        begin = at - tail.start
                        return bytes(tail.window[begin : begin + _AT_ONCE_BYTES])
                    if tail.is_over:
                        return None
                    news = tail.news
                    if 0 <= at < tail.start:
                        found = await self._read(tail.paste_id, at)
                        if found is not None and found.body:
                            return found.body
                    await news.wait()
        return b""

    async def _keep(self, tail: _Tail) -> None:
        """Look for more as long as somebody follows."""
        try:
            while tail.followers and not tail.is_over:
                tail.wanted.clear()
                try:
                    await self._look(tail)
                except PastebinError as error:
                    log.info("looking for more of a live paste failed: %s", error)
                    await asyncio.sleep(_LOOK_SECONDS)
                await asyncio.sleep(_PAUSE_SECONDS)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await tail.wanted.wait()
        finally:
            del self._tails[tail.paste_id]

    async def _look(self, tail: _Tail) -> None:
        """Everything that is new. The primary is asked: another server may not know of it yet."""
        if tail.start < 0:
            size = await self._lives.size(tail.paste_id, from_primary=True) or 0
            tail.take(max(size - WINDOW_BYTES, 0), b"")
        while (arrived := await self._lives.read(tail.paste_id, tail.end, from_primary=True)) is not None:
            if not arrived.body:
                return
            tail.take(tail.end, arrived.body)
        with suppress(PasteNotFound):
            tail.final = await self._pastes.find(tail.slug, bodies="sole", from_primary=True)
            if tail.final.is_growing and tail.final.id == tail.paste_id:
                tail.final = None  # what is over there has begun here: look again
                return
        tail.is_over = True
        tail.tell()

    async def _listen(self) -> None:
        """There is a connection from the first follower on."""
        await self._wanted.wait()
        await self._listener.run()

    async def _stop(self) -> None:
        await self._draining.wait()
        for tail in self._tails.values():
            tail.tell()

    def _called(self, what: str) -> None:
        if what.isdecimal() and (tail := self._tails.get(int(what))) is not None:
            tail.wanted.set()

    def _look_all(self) -> None:
        for tail in self._tails.values():
            tail.wanted.set()


def _is_for_its_readers(final: Paste, paste: Paste) -> bool:
    """Whether what is read under the name now is what was followed, and not something else, or for others."""
    is_closed = final.needs_reveal or (final.visibility == "private" != paste.visibility)
    return not is_closed and (final.id, final.revision) == (paste.id, paste.revision)
