"""Collapsed forwarding: requests for one thing that is not here share one fetch (RFC 9111, section 4).

A flight begins with the request that leads it. It lands when the head of the answer is known; others who wait for it
learn then whether the answer is for them too. Its body, if it is being stored, is read by everybody at their own pace.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto

from multidict import CIMultiDictProxy

from pastebin.cdn.fills import Fill
from pastebin.cdn.objects import Stored
from pastebin.cdn.variants import Variant, variant_of
from pastebin.errors import PastebinError

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
