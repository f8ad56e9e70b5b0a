"""Collapsed forwarding: requests for one thing that is not here share one fetch (RFC 9111, section 4).

A flight begins with the request that leads it. It lands when the head of the answer is known; others who wait for it
learn then whether the answer is for them too. Its body, if it is being stored, is read by everybody at their own pace.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum, auto

from multidict import CIMultiDictProxy

from pastebin.cdn.exchanges import Reply
from pastebin.cdn.objects import Stored
from pastebin.cdn.variants import Variant, variant_of
from pastebin.cdn.writer import Writer
from pastebin.errors import BadUpstream, PastebinError, StoredDamaged, UpstreamUnavailable

# What is left of a body that nobody waits for any more, and is finished all the same.
_NEAR_BYTES = 1024**2
_ALONE = 8


class Landing(Enum):
    """What became of a flight."""

    STORED = auto()  # its answer is stored, or was confirmed
    FILLING = auto()  # its answer is being stored
    UNCACHEABLE = auto()  # its answer is for the leader only
    FAILED = auto()  # there was none, or an error of the server


class Flight:
    """One fetch that others may wait for. `born` is the purge clock when it began."""

    def __init__(self, key: str, headers: CIMultiDictProxy[str], born: int, *, is_shared: bool = True) -> None:
        self.key = key
        self.is_shared = is_shared  # others may join it
        self.headers = headers
        self.born = born
        self.began_at = time.monotonic()
        self.landing: Landing | None = None
        self.variant: Variant | None = None
        self.tags: frozenset[str] = frozenset()
        self.stored: Stored | None = None
        self.fill: Fill | None = None
        self.forward_status: int | None = None
        self.error: PastebinError | None = None
        self.alone = asyncio.Semaphore(_ALONE)  # for those who are tired of waiting
        self._landed = asyncio.Event()
        self._said: tuple[tuple[str, ...], Variant] = ((), ())  # what its own request says, for the names asked last

    def suits(self, headers: CIMultiDictProxy[str], names: tuple[str, ...]) -> bool:
        """Whether a request with these headers can expect the same answer; `names` are those of a Vary seen before."""
        if self.variant is not None:
            names = tuple([name for name, _ in self.variant])
            return variant_of(names, headers) == self.variant
        if names and self._said[0] != names:
            self._said = names, variant_of(names, self.headers)
        return not names or variant_of(names, headers) == self._said[1]

    def land(self, landing: Landing) -> None:
        """Tell those who wait; only the first landing counts."""
        if self.landing is None:
            self.landing = landing
            self._landed.set()

    async def landed(self, seconds: float) -> Landing | None:
        """How it landed; None if that took longer than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._landed.wait()
        except TimeoutError:
            return None
        return self.landing


class Flights:
    """The flights that can be joined, by key; their number is bounded by that of the requests inside."""

    def __init__(self, overtaken_at: Callable[[str, frozenset[str], int], int | None]) -> None:
        self._overtaken_at = overtaken_at
        self._flights: dict[str, list[Flight]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._flights

    def find(
        self, key: str, headers: CIMultiDictProxy[str], names: tuple[str, ...], *, earliest: float = 0.0
    ) -> Flight | None:
        """One whose answer may be for a request that comes now: nothing of it was purged since it began.

        It began at the moment `earliest` of the monotonic clock, or later.
        """
        for flight in self._flights.get(key, ()):
            if not flight.is_shared or flight.began_at < earliest or not flight.suits(headers, names):
                continue
            if self._overtaken_at(key, flight.tags, flight.born) is None:
                return flight
        return None

    def begin(self, key: str, headers: CIMultiDictProxy[str], born: int, *, is_shared: bool = True) -> Flight:
        """A flight that is known, and can be joined if it is shared, until it is ended."""
        flight = Flight(key, headers, born, is_shared=is_shared)
        self._flights.setdefault(key, []).append(flight)
        return flight

    def end(self, flight: Flight) -> None:
        """Nobody joins it any more; those who wait are told that it failed if they know nothing yet."""
        flight.land(Landing.FAILED)
        here = self._flights.get(flight.key, [])
        if flight in here:
            here.remove(flight)
            if not here:
                del self._flights[flight.key]

    def is_for(self, flight: Flight, asked: int) -> bool:
        """Whether the answer may go to who asked at this purge clock: nothing of it was purged in between."""
        overtaken = self._overtaken_at(flight.key, flight.tags, flight.born)
        return overtaken is None or asked < overtaken


@dataclass(slots=True, eq=False)
class Reader:
    """One who reads from a fill. The reader that `leads` goes on alone where storing has to stop."""

    leads: bool = False


class Fill:
    """A body on its way from the origin into the cache, and to its readers.

    The origin is read as fast as the cache takes it, whatever the readers do. Every reader is attached before it reads
    and detached when it is done. What cannot be stored any more is handed over: the leading reader reads on from the
    origin itself, the others fail. When nobody reads any more it is finished if little is missing, else given up.
    """

    def __init__(self, reply: Reply, writer: Writer, seconds: float) -> None:
        self.writer = writer
        self.stored: Stored | None = None
        self._reply = reply
        self._seconds = seconds
        self._readers: set[Reader] = set()
        self.is_over = False
        self._is_running = True
        self._is_closed = False
        self.failure: PastebinError | None = None
        self._leftover: bytes | None = None
        self._progress = asyncio.Event()

    @property
    def size(self) -> int | None:
        """Of the whole body, if the origin has said so."""
        return self.writer.draft.size

    @property
    def is_handed_over(self) -> bool:
        """Whether it turned out, half-way, that it cannot be kept."""
        return self._leftover is not None

    @property
    def is_open(self) -> bool:
        """Whether it can still be read."""
        return not self._is_closed

    def attach(self, *, leads: bool = False) -> Reader:
        """One more reader."""
        reader = Reader(leads)
        self._readers.add(reader)
        return reader

    def detach(self, reader: Reader) -> None:
        """It reads no more."""
        self._readers.discard(reader)
        self._let_go()

    async def run(self) -> None:
        """Read the origin to its end and store what it sends. Raises nothing: readers learn what went wrong."""
        try:
            while piece := await self._reply.read():
                if self._is_abandoned():
                    self.failure = UpstreamUnavailable("Nobody waited for the rest.")
                    return
                if not await self.writer.write(piece):
                    self._leftover = piece
                    return
                self._tell()
            self.stored = await self.writer.commit()
            if self.writer.is_damaged:
                self.failure = BadUpstream("Its digest is that of something else.")
        except PastebinError as error:
            self.failure = error
        finally:
            self._is_running = False
            if self.failure is None and self._leftover is None and not self._reply.is_complete:
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
        at = start
        if self.failure is not None:
            raise self.failure.with_traceback(None)  # it is raised for every reader
        while stop is None or at < stop:
            if at < self.writer.written:
                async for chunk in self.writer.read(at):
                    piece = chunk if stop is None else chunk[: stop - at]
                    at += len(piece)
                    yield piece
                    if at == stop:
                        return
            elif not self.is_over:
                await self._moved()
            elif self._leftover is not None:
                async for chunk in self._rest(reader, at, stop):
                    yield chunk
                return
            elif self.failure is not None:
                raise self.failure.with_traceback(None)
            else:
                return

    async def _rest(self, reader: Reader, at: int, stop: int | None) -> AsyncIterator[bytes]:
        """What comes after all that was stored, for the leader only."""
        if not reader.leads:
            raise StoredDamaged("The rest could not be kept for everybody who asked.")
        piece = self._leftover or b""
        offset = self.writer.written
        while piece:
            end = len(piece) if stop is None else min(len(piece), stop - offset)
            if (chunk := piece[max(at - offset, 0) : end]) and end > 0:
                yield chunk
            offset += len(piece)
            if stop is not None and offset >= stop:
                return
            piece = await self._reply.read()

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


class Uncacheable:
    """The keys whose last answer could not be stored: nobody waits for another one's answer there.

    At most `most` keys are remembered, the latest.
    """

    def __init__(self, most: int = 16_384) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        self._most = most

    def note(self, key: str, until: float) -> None:
        self._until[key] = until
        self._until.move_to_end(key)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def forget(self, key: str) -> None:
        self._until.pop(key, None)

    def __call__(self, key: str, now: float) -> bool:
        """Whether it is remembered."""
        until = self._until.get(key)
        if until is None:
            return False
        if until <= now:
            del self._until[key]
            return False
        return True
