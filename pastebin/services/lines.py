"""Lines of a large text without reading all of it: by the index that is kept with a blob, or made when needed."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pastebin.errors import PastebinError, Unavailable
from pastebin.models import File
from pastebin.services.lines_index import LineCounter, LineIndex, Span, decoded
from pastebin.services.lines_window import READ_BYTES, WINDOW_LINES, Cutter, LineWindow, Window
from pastebin.services.reading import Reading, closing
from pastebin.services.workers import task_group
from pastebin.store.line_indexes import LineIndexes, StoredIndex

log = logging.getLogger(__name__)

# A smaller text is read whole to find a line: it has no index.
INDEXED_BYTES = 1024**2
CACHE_BYTES = 16 * 1024**2
WAIT_SECONDS = 10.0
_AT_ONCE = 2  # texts that are read to be indexed
_WAITING = 32


class Lines:
    """The lines of files, inline or blobs; indexes that were used last are kept in memory."""

    def __init__(self, reading: Reading, indexes: LineIndexes, tasks: asyncio.TaskGroup) -> None:
        self._reading = reading
        self._indexes = indexes
        self._tasks = tasks
        self._cache: OrderedDict[str, LineIndex] = OrderedDict()
        self._cache_bytes = 0
        self._flights: dict[str, asyncio.Task[LineIndex | None]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @classmethod
    @asynccontextmanager
    async def running(cls, reading: Reading, indexes: LineIndexes) -> AsyncIterator[Lines]:
        """For a node; leaving ends what is being indexed."""
        async with task_group() as tasks:
            lines = cls(reading, indexes, tasks)
            try:
                yield lines
            finally:
                for flight in list(lines._flights.values()):
                    flight.cancel()

    async def window(self, file: File, first: int | None, count: int = WINDOW_LINES) -> Window:
        """`count` lines from `first` on, None for the last ones, fewer where they are long. Lines behind the text are
        those at its end.

        Raises Unavailable while the lines of a text that has no index are still being counted, unless only the first
        are asked for; BlobMissing.
        """
        index = await self.index(file, wait_seconds=0.0 if first == 1 else WAIT_SECONDS)
        if index is None and first != 1:
            raise Unavailable("The lines of this file are being counted; try again shortly.", retry_after_seconds=5)
        span, line_count = Span(0, min(file.size, READ_BYTES), 0), None
        if index is not None:
            line_count = index.line_count
            if first is None or first > line_count:
                first = max(line_count - count + 1, 1)
            span = index.span(first, first + count - 1)
        cutter = Cutter(span.skip, count)
        async with closing(self._stream(file, span)) as chunks:
            async for chunk in chunks:
                cutter.feed(chunk)
                if cutter.is_full:
                    break
        return Window(first or 1, cutter.finish(is_end=span.stop == file.size), line_count)

    async def chunks(self, file: File, first: int, last: int | None) -> AsyncIterator[bytes]:
        """The bytes of lines `first` to `last`, however many. What has no index yet is read from its beginning."""
        index = await self.index(file)
        span = Span(0, file.size, first - 1) if index is None else index.span(first, last)
        window = LineWindow(span.skip + 1, None if last is None else span.skip + last - first + 1)
        async with closing(self._stream(file, span)) as chunks:
            async for chunk in chunks:
                if kept := window.feed(chunk):
                    yield kept
                if window.done:
                    return

    async def index(self, file: File, *, wait_seconds: float = 0.0) -> LineIndex | None:
        """The index of a text; None if it has to be made and that takes longer. It goes on being made then.

        Raises BlobMissing.
        """
        if file.blob_key is None or file.size <= INDEXED_BYTES:
            return await self._counted(file)
        if (known := self._cache.get(file.blob_key)) is not None:
            self._cache.move_to_end(file.blob_key)
            return known
        flight = self._flights.get(file.blob_key)
        if flight is None:
            if (stored := await self._stored(file, file.blob_key)) is not None:
                return stored
            flight = self._flights.get(file.blob_key) or self._begin(file, file.blob_key)
        if flight is None or not wait_seconds:
            return None
        done, _ = await asyncio.wait([flight], timeout=wait_seconds)
        return flight.result() if done and not flight.cancelled() else None

    async def _stored(self, file: File, key: str) -> LineIndex | None:
        """What the database has; nothing as well where it cannot say, since there is another way."""
        try:
            found = await self._indexes.find(key)
            if found is None:
                return None
            index = decoded(found.counts, size=found.size, block_bytes=found.block_bytes, is_ended=found.is_ended)
        except (PastebinError, ValueError) as error:
            log.warning("the line index of blob %s cannot be had: %s", key, error)
            return None
        return self._remember(key, index) if index.size == file.size else None

    def _begin(self, file: File, key: str) -> asyncio.Task[LineIndex | None] | None:
        if len(self._flights) >= _WAITING:
            return None
        flight = self._tasks.create_task(self._fly(file, key), name="line index")
        self._flights[key] = flight
        return flight

    async def _fly(self, file: File, key: str) -> LineIndex | None:
        try:
            async with self._turns:
                index = self._remember(key, await self._counted(file))
            await self._indexes.keep(key, stored_form(index))
        except PastebinError as error:
            log.warning("no line index of blob %s was stored: %s", key, error)
        except Exception:  # raised here it would end the TaskGroup and the node
            log.exception("the lines of blob %s cannot be counted", key)
        finally:
            del self._flights[key]
        return self._cache.get(key)

    async def _counted(self, file: File) -> LineIndex:
        counter = LineCounter()
        async with closing(self._stream(file, Span(0, file.size, 0))) as chunks:
            async for chunk in chunks:
                counter.feed(chunk)
        return counter.finish()

    def _stream(self, file: File, span: Span) -> AsyncIterator[bytes]:
        return self._reading.stream(file, span.start, span.stop - span.start)

    def _remember(self, key: str, index: LineIndex) -> LineIndex:
        if (old := self._cache.pop(key, None)) is not None:
            self._cache_bytes -= old.weight
        self._cache[key] = index
        self._cache_bytes += index.weight
        while self._cache_bytes > CACHE_BYTES:
            _, forgotten = self._cache.popitem(last=False)
            self._cache_bytes -= forgotten.weight
        return index


def stored_form(index: LineIndex) -> StoredIndex:
    """As the database keeps it."""
    return StoredIndex(index.size, index.block_bytes, index.is_ended, index.encode())
