"""Who stays when there is no room: S3-FIFO, so that a scan cannot flush what is read often.

Yang, Zhang, Qiu, Yue, Rashmi: "FIFO Queues are All You Need for Cache Eviction", SOSP'23, algorithm 1, by bytes
instead of by count: a small queue for newcomers (a tenth), a main queue, and a ghost queue that remembers who was
turned out of the small one. A use only counts up to 3 in the object itself; nothing is moved then.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

_SMALL_SHARE = 0.1
_USES_TO_STAY = 2  # in the small queue, beside the one that brought it in
_FEWEST_GHOSTS = 128


class Candidate(Protocol):
    """What the queues need of an object; they alone write `ticket`."""

    ticket: int
    frequency: int
    cost: int
    footprint: int
    ghost: int


Held = TypeVar("Held", bound=Candidate)


class Admission(Generic[Held]):
    """The queues of one tier. Costs, reservations included, never exceed `capacity`, footprints never `memory`.

    Whoever calls takes the victims that are handed back out of every index: they are in no queue any more.
    """

    def __init__(self, capacity: int, memory: float = math.inf) -> None:
        self.capacity = capacity
        self.memory = memory
        self.used = 0  # bytes of what is held
        self.reserved = 0  # bytes set aside for what is on its way in, or not quite out
        self.footprint = 0
        self._small: OrderedDict[int, Held] = OrderedDict()
        self._small_bytes = 0
        self._main: OrderedDict[int, Held] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()
        self._last_ticket = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def admit(self, item: Held, *, is_known: bool = False) -> list[Held] | None:
        """Take in `item` and name who must go for it; None if it cannot be: nothing has changed then.

        `is_known`: it takes the place of one that had earned the main queue.
        """
        if item.cost > self.capacity - self.reserved or item.footprint > self.memory:
            return None
        victims = self._make_room(item.cost, item.footprint)
        self._last_ticket += 1
        item.ticket = self._last_ticket
        self.used += item.cost
        self.footprint += item.footprint
        was_ghost = self._ghosts.pop(item.ghost, item) is None
        if is_known or was_ghost:
            self._main[item.ticket] = item
        else:
            self._small[item.ticket] = item
            self._small_bytes += item.cost
        return victims

    def replace(self, old: Held, new: Held) -> list[Held] | None:
        """Put `new` where `old` stands, use counter and all; None, and `old` still there, if it cannot be."""
        if new.cost > self.capacity - self.reserved or new.footprint > self.memory:
            return None
        queue = self._small if old.ticket in self._small else self._main
        new.ticket, new.frequency = old.ticket, old.frequency
        queue[new.ticket] = new
        self._count(new, queue is self._small, 1)
        self._count(old, queue is self._small, -1)
        old.ticket = 0
        return self._make_room(0, 0)

    def remove(self, item: Held, *, remember: bool = False) -> None:
        """Let go of `item`, if it is held; with `remember`, one that had earned the main queue will return to there."""
        if self._small.pop(item.ticket, None) is not None:
            self._count(item, True, -1)
        elif self._main.pop(item.ticket, None) is not None:
            self._count(item, False, -1)
            if remember:
                self._haunt(item)
        item.ticket = 0

    def holds_in_main(self, item: Held) -> bool:
        """Whether it has earned the main queue."""
        return item.ticket in self._main

    def charge(self, item: Held, cost: int, footprint: int) -> list[Held]:
        """Count more bytes for an item that is held; name who must go for it, which may be the item."""
        if not item.ticket:
            return []
        is_small = item.ticket in self._small
        self._count(item, is_small, -1)
        item.cost += cost
        item.footprint += footprint
        self._count(item, is_small, 1)
        return self._make_room(0, 0)

    def resize(self, capacity: int) -> list[Held]:
        """Have another capacity from now on; name who must go for it."""
        self.capacity = capacity
        return self._make_room(0, 0)

    def reserve(self, size: int, most: int) -> list[Held] | None:
        """Set bytes aside and name who must go for it; None if more than `most` would be set aside in all."""
        if self.reserved + size > most:
            return None
        self.reserved += size
        return self._make_room(0, 0)

    def release(self, size: int) -> None:
        """Give back what was set aside."""
        self.reserved -= size

    def clear(self) -> None:
        """Let go of everything but reservations; the items keep their tickets and mean nothing."""
        self._small.clear()
        self._main.clear()
        self._ghosts.clear()
        self.used = self.footprint = self._small_bytes = 0

    def _make_room(self, cost: int, footprint: int) -> list[Held]:
        victims: list[Held] = []
        while self._is_over(cost, footprint) and len(self):
            if self._small and (self._small_bytes + self.reserved >= self._small_share or not self._main):
                victim = self._evict_small()
            else:
                victim = self._evict_main()
            if victim is not None:
                victims.append(victim)
        return victims

    @property
    def _small_share(self) -> float:
        """What newcomers may take, those that are still on their way in among them."""
        return self.capacity * _SMALL_SHARE

    def _is_over(self, cost: int, footprint: int) -> bool:
        return self.used + self.reserved + cost > self.capacity or self.footprint + footprint > self.memory

    def _evict_small(self) -> Held | None:
        """Turn out the oldest of the small queue, or move it to the main one if it was used meanwhile."""
        ticket, item = self._small.popitem(last=False)
        if item.frequency >= _USES_TO_STAY:
            item.frequency = 0
            self._small_bytes -= item.cost
            self._main[ticket] = item
            return None
        self._count(item, True, -1)
        item.ticket = 0
        self._haunt(item)
        return item

    def _evict_main(self) -> Held | None:
        ticket, item = self._main.popitem(last=False)
        if item.frequency > 0:
            item.frequency -= 1
            self._main[ticket] = item
            return None
        self._count(item, False, -1)
        item.ticket = 0
        return item

    def _count(self, item: Held, in_small: bool, sign: int) -> None:
        self.used += sign * item.cost
        self.footprint += sign * item.footprint
        if in_small:
            self._small_bytes += sign * item.cost

    def _haunt(self, item: Held) -> None:
        self._ghosts.pop(item.ghost, None)
        self._ghosts[item.ghost] = None
        while len(self._ghosts) > max(len(self), _FEWEST_GHOSTS):
            self._ghosts.popitem(last=False)
