"""Many callers, few statements: what is handed in while others are under way travels together in the next flight.

Nobody waits for company where nobody flies: the first one leaves at once. The next flights take along who arrives
while the loop is busy with arrivals, for a moment at most. Everything that waits is bounded, in number, in bytes and in
time, and is served in the order of its arrival.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Iterable, Sequence, Set
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, TypeVar

from pastebin.errors import Overloaded, Unavailable

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much travels at once and how much may wait. An item larger than a bound in bytes travels alone."""

    flight_rows: int
    flight_bytes: int
    flights: int = 2
    queue_rows: int = 4096
    held_bytes: int = 64 * 1024**2
    wait_seconds: float = 5.0
    boarding_seconds: float = 0.002


class NothingDone(Exception):
    """A flight failed and certainly left no trace, so its items may be tried again; raised from the reason."""


def choose(waiting: Iterable[tuple[int, Collection[Hashable]]], busy: Set[Hashable], bounds: Bounds) -> list[int]:
    """Which of those `waiting`, given as (bytes, keys) in order of arrival, make the next flight; their indexes.

    No two items with a key in common travel at once, whether in this flight or in those whose keys are `busy`; the
    later one waits without losing its place. Apart from that nobody is overtaken, so nothing starves.
    """
    chosen: list[int] = []
    size = 0
    taken: set[Hashable] = set()
    for index, (cost_bytes, keys) in enumerate(waiting):
        if len(chosen) >= bounds.flight_rows:
            break
        if keys:
            is_free = taken.isdisjoint(keys) and busy.isdisjoint(keys)
            taken.update(keys)
            if not is_free:
                continue
        if chosen and size + cost_bytes > bounds.flight_bytes:
            break
        chosen.append(index)
        size += cost_bytes
    return chosen


# So many turns of the loop without an arrival end the boarding: a request takes some to get from its socket to here.
_STILL_TURNS = 2


class _Stage(Enum):
    IN_LINE = auto()
    QUEUED = auto()
    FLYING = auto()
    SETTLED = auto()


@dataclass(eq=False, slots=True)
class _Entry(Generic[Item, Result]):
    item: Item
    cost_bytes: int
    keys: Collection[Hashable]
    tell: Callable[[Result | Exception], None] | None  # until it has been told
    latest: float
    stage: _Stage = _Stage.IN_LINE


@dataclass(slots=True)
class Figures:
    """What a batcher has done, for metrics and tests."""

    flights: int = 0
    rows: int = 0
    refused: int = 0


Send = Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]]


def _no_keys(_item: object) -> Collection[Hashable]:
    return ()


@dataclass(eq=False)
class Batcher(Generic[Item, Result]):
    """Collects items and sends them in flights; made by `Batcher.running`.

    `send` gets at most a flight's worth of items and returns one result or exception for each, in their order. If it
    raises NothingDone the flight is halved until the item that spoils it travels alone and fails alone. Whatever else
    it raises is told to all aboard, and nothing is sent twice.
    """

    name: str
    send: Send[Item, Result]
    bounds: Bounds
    keys_of: Callable[[Item], Collection[Hashable]]
    tasks: asyncio.TaskGroup
    figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._line: deque[_Entry[Item, Result]] = deque()
        self._queue: deque[_Entry[Item, Result]] = deque()
        self._busy: set[Hashable] = set()
        self._held_bytes = 0
        self._workers = 0
        self._flying = 0
        self._is_open = True
        self._alarm: asyncio.TimerHandle | None = None

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        name: str,
        send: Send[Item, Result],
        bounds: Bounds,
        keys_of: Callable[[Item], Collection[Hashable]] = _no_keys,
    ) -> AsyncIterator[Batcher[Item, Result]]:
        """Take items while the block lasts; leaving it sends what still waits and lets the flights land.

        Only cancelling the block cuts flights off.
        """
        batcher = None
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                batcher = cls(name, send, bounds, keys_of, tasks)
                try:
                    yield batcher
                except Exception as error:  # the group would wrap it, and not let the flights land
                    failure = error
                finally:
                    batcher._is_open = False
        finally:
            if batcher is not None:
                batcher._abandon()
        if failure is not None:
            raise failure

    async def submit(self, item: Item, cost_bytes: int, *, deadline: float | None = None) -> Result:
        """Send `item` with the next flight and return its result, or raise what became of it.

        `deadline` is a time of the event loop's clock. An item that is not sent by then, nor within `wait_seconds`, is
        taken back: Overloaded. If the deadline passes while it flies nobody knows what became of it: Unavailable.
        Cancelling the caller takes an item back, too; one that flies goes on.
        """
        future: asyncio.Future[Result | Exception] = self._loop.create_future()
        entry = self._enter(item, cost_bytes, future.set_result)
        timer = None if deadline is None else self._loop.call_at(deadline, self._expire, entry)
        try:
            outcome = await future
        except asyncio.CancelledError:
            self._withdraw(entry)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if isinstance(outcome, Exception):
            # one exception may be everybody's: each caller's traceback begins here
            raise outcome.with_traceback(None)
        return outcome

    def hand_in(self, item: Item, cost_bytes: int, tell: Callable[[Result | Exception], None]) -> Callable[[], None]:
        """The same without a task that waits: `tell` is called once, in a later turn of the loop.

        Returns what takes the item back, as cancelling does: nobody is told then. Raises Overloaded, Unavailable.
        """
        entry = self._enter(item, cost_bytes, tell)

        def take_back() -> None:
            entry.tell = None
            self._withdraw(entry)

        return take_back

    def _enter(self, item: Item, cost_bytes: int, tell: Callable[[Result | Exception], None]) -> _Entry[Item, Result]:
        latest = self._loop.time() + self.bounds.wait_seconds
        entry: _Entry[Item, Result] = _Entry(item, cost_bytes, self.keys_of(item), tell, latest)
        self._admit(entry)
        return entry

    def _admit(self, entry: _Entry[Item, Result]) -> None:
        if not self._is_open:
            raise Unavailable
        if self._line or not self._has_room(entry):
            if len(self._line) >= self.bounds.queue_rows:
                self.figures.refused += 1
                raise Overloaded
            self._line.append(entry)
        else:
            self._enqueue(entry)
        if self._alarm is None:
            self._alarm = self._loop.call_at(entry.latest, self._refuse_late)

    def _has_room(self, entry: _Entry[Item, Result]) -> bool:
        if len(self._queue) >= self.bounds.queue_rows:
            return False
        return not self._held_bytes or self._held_bytes + entry.cost_bytes <= self.bounds.held_bytes

    def _enqueue(self, entry: _Entry[Item, Result]) -> None:
        entry.stage = _Stage.QUEUED
        self._held_bytes += entry.cost_bytes
        self._queue.append(entry)
        if self._workers < self.bounds.flights:
            self._workers += 1
            # flights carry many requests: they must not run under the id and session of the one that started them
            self.tasks.create_task(self._work(), name=f"flight of {self.name}", context=Context())

    def _let_in(self) -> None:
        while self._line and self._has_room(self._line[0]):
            self._enqueue(self._line.popleft())

    async def _work(self) -> None:
        try:
            while True:
                if self._flying:
                    await self._board()
                if not (batch := self._take()):
                    return
                keys = [key for entry in batch for key in entry.keys]
                self._busy.update(keys)
                self._flying += 1
                try:
                    await self._fly(batch)
                finally:
                    self._flying -= 1
                    self._busy.difference_update(keys)
        finally:
            self._workers -= 1

    async def _board(self) -> None:
        """Wait while others fly and more and more come: each flight costs as much as several rows, and a server
        that has one to work on is not idle.
        """
        until = self._loop.time() + self.bounds.boarding_seconds
        waiting, still = 0, 0
        while (
            self._flying
            and still < _STILL_TURNS
            and len(self._queue) < self.bounds.flight_rows
            and self._loop.time() < until
        ):
            still = 0 if len(self._queue) > waiting else still + 1
            waiting = len(self._queue)
            await asyncio.sleep(0)

    def _take(self) -> list[_Entry[Item, Result]]:
        queue = self._queue
        chosen = choose(((entry.cost_bytes, entry.keys) for entry in queue), self._busy, self.bounds)
        if not chosen:
            return []
        if len(chosen) == chosen[-1] + 1:
            batch = [queue.popleft() for _ in chosen]
            for entry in batch:
                entry.stage = _Stage.FLYING
            self._let_in()
            return batch
        batch = []
        kept: list[_Entry[Item, Result]] = []
        indexes = iter([*chosen, -1])
        index = next(indexes)
        for position in range(chosen[-1] + 1):
            entry = queue.popleft()
            if position == index:
                entry.stage = _Stage.FLYING
                batch.append(entry)
                index = next(indexes)
            else:
                kept.append(entry)
        queue.extendleft(reversed(kept))
        self._let_in()
        return batch

    async def _fly(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        """Send, and tell everybody aboard what became of them, whatever happens."""
        self.figures.flights += 1
        self.figures.rows += len(batch)
        outcomes: Sequence[Result | Exception]
        try:
            outcomes = await self.send([entry.item for entry in batch])
        except NothingDone as error:
            if len(batch) > 1:
                half = len(batch) // 2
                await self._fly(batch[:half])
                await self._fly(batch[half:])
                return
            cause = error.__cause__
            outcomes = [cause if isinstance(cause, Exception) else error]
        except asyncio.CancelledError:
            for entry in batch:
                self._settle(entry, Unavailable())
            raise
        except Exception as error:  # whatever it is, those who wait must hear of it
            outcomes = [error] * len(batch)
        for entry, outcome in zip(batch, outcomes, strict=True):
            self._settle(entry, outcome)
        self._let_in()

    def _settle(self, entry: _Entry[Item, Result], outcome: Result | Exception) -> None:
        if entry.stage in (_Stage.QUEUED, _Stage.FLYING):
            self._held_bytes -= entry.cost_bytes
        entry.stage = _Stage.SETTLED
        self._tell(entry, outcome)

    def _tell(self, entry: _Entry[Item, Result], outcome: Result | Exception) -> None:
        tell, entry.tell = entry.tell, None
        if tell is not None:
            try:
                tell(outcome)
            except asyncio.InvalidStateError:
                pass  # whoever waited has been cancelled, and does not know it yet
            except Exception:  # the others aboard have to hear of theirs
                log.exception("%s: somebody could not be told what became of it", self.name)

    def _abandon(self) -> None:
        """After the last flight: somebody waits still only if the flights were cancelled."""
        if self._alarm is not None:
            self._alarm.cancel()
        for waiting in (self._queue, self._line):
            while waiting:
                self._settle(waiting.popleft(), Unavailable())

    def _withdraw(self, entry: _Entry[Item, Result]) -> None:
        """Take back what was not sent yet."""
        if entry.stage is _Stage.IN_LINE:
            self._line.remove(entry)
        elif entry.stage is _Stage.QUEUED:
            self._queue.remove(entry)
        else:
            return
        self._settle(entry, Overloaded())
        self._let_in()

    def _expire(self, entry: _Entry[Item, Result]) -> None:
        if entry.stage is _Stage.FLYING:
            self._tell(entry, Unavailable())  # it stays aboard: its bytes are held until the flight lands
            return
        if entry.stage is not _Stage.SETTLED:
            self.figures.refused += 1
        self._withdraw(entry)

    def _refuse_late(self) -> None:
        """Refuse whom the flights did not take in time; one alarm serves all, since all wait equally long."""
        self._alarm = None
        now = self._loop.time()
        for waiting in (self._queue, self._line):
            while waiting and waiting[0].latest <= now:
                self._expire(waiting[0])
        latest = [waiting[0].latest for waiting in (self._queue, self._line) if waiting]
        if latest:
            self._alarm = self._loop.call_at(min(latest), self._refuse_late)
