"""The purge clock: what was purged after which moment, and what a refill must have seen.

A fetch notes the clock when it begins. If anything that it is tagged with was purged since, its answer is what was
true before the purge: it may go to those who asked before, and is never stored.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from pastebin.positions import Position

Requirement = Position | Literal["primary"] | None

_MOST_PURGES = 65_536
_LONGEST_KEY = 64


@dataclass(slots=True)
class _Tombstone:
    """Every purge of one key that is remembered: clocks in rising order, and what a refill must have seen."""

    clocks: list[int]
    required: Requirement


def later(one: Requirement, other: Requirement) -> Requirement:
    """What covers both: the greater of two positions that compare, else only the primary is sure to."""
    if one is None or one == other:
        return other
    if other is None:
        return one
    if one == "primary" or other == "primary":
        return "primary"
    if one.covers(other):
        return one
    return other if other.covers(one) else "primary"


class Generations:
    """Remembers purges for `tombstone_seconds`, and at most `most` of them.

    Of what is forgotten the floor remains: whatever began before it counts as overtaken, and when it was forgotten for
    want of room, every refill must have seen what those purges asked for. So it errs only on the safe side.
    """

    def __init__(
        self, tombstone_seconds: float, most: int = _MOST_PURGES, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.clock = 0
        self._floor = 0
        self._floor_required: Requirement = None
        self._floor_until = 0.0
        self._tombstones: dict[str | bytes, _Tombstone] = {}
        self._order: deque[tuple[float, int, str | bytes]] = deque()  # when, clock, key
        self._seconds = tombstone_seconds
        self._most = most
        self._now = now

    def purge(self, keys: Iterable[str], position: Position | None) -> int:
        """Move the clock; remember that these keys were purged, by a change at `position` (None: unknown)."""
        now = self._now()
        self.clock += 1
        for key in {_short(key) for key in keys}:
            self._order.append((now, self.clock, key))
            tombstone = self._tombstones.get(key)
            if tombstone is None:
                self._tombstones[key] = _Tombstone([self.clock], position)
            else:
                tombstone.clocks.append(self.clock)
                tombstone.required = later(tombstone.required, position)
        self._forget(now)
        return self.clock

    def flush(self, position: Position | None = None) -> int:
        """Move the clock; whatever began before is overtaken, whatever its keys."""
        now = self._now()
        self.clock += 1
        self._raise_floor(self.clock, position, now)
        self._forget(now)
        return self.clock

    def require(self, required: Requirement) -> None:
        """What every refill must have seen for as long as purges are remembered; it replaces what was required of all.

        For a clock that begins: it knows nothing of the purges that the last process was told of.
        """
        self._floor_required = required
        self._floor_until = self._now() + self._seconds

    def is_overtaken(self, tags: Collection[str], since: int) -> bool:
        """Whether anything of it was purged after clock `since`; True where that is not remembered any more."""
        return since < self.clock and self.overtaken_at(tags, since) is not None

    def overtaken_at(self, tags: Collection[str], since: int) -> int | None:
        """The first clock after `since` at which anything of it was purged.

        Where that is not remembered it is `since + 1`, the earliest that it can have been.
        """
        if since >= self.clock:
            return None
        self._forget(self._now())
        if since < self._floor:
            return since + 1
        first: int | None = None
        for tag in tags:
            tombstone = self._tombstones.get(_short(tag))
            if tombstone is None or tombstone.clocks[-1] <= since:
                continue
            clock = tombstone.clocks[bisect_right(tombstone.clocks, since)]
            first = clock if first is None else min(first, clock)
        return first

    def position_of(self, tags: Collection[str]) -> Requirement:
        """What an origin must have seen to refill something with these tags: "primary" where positions do not compare.

        None: whatever it has seen will do.
        """
        now = self._now()
        self._forget(now)
        required = self._floor_required if now < self._floor_until else None
        for tag in tags:
            tombstone = self._tombstones.get(_short(tag))
            if tombstone is not None:
                required = later(required, tombstone.required)
        return required

    def __len__(self) -> int:
        return len(self._order)

    def _forget(self, now: float) -> None:
        order = self._order
        while order and (order[0][0] + self._seconds <= now or len(order) > self._most):
            at, clock, key = order.popleft()
            tombstone = self._tombstones[key]
            is_early = at + self._seconds > now
            self._raise_floor(clock, tombstone.required if is_early else None, now)
            del tombstone.clocks[0]
            if not tombstone.clocks:
                del self._tombstones[key]

    def _raise_floor(self, clock: int, required: Requirement, now: float) -> None:
        self._floor = max(self._floor, clock)
        if required is not None:
            held = self._floor_required if now < self._floor_until else None
            self._floor_required = later(held, required)
            self._floor_until = now + self._seconds


def _short(key: str) -> str | bytes:
    """Long keys are remembered by their digest, so that memory is bounded whatever they are."""
    if len(key) <= _LONGEST_KEY:
        return key
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
