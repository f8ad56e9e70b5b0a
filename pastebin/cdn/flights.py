"""Collapsed forwarding: requests for one thing that is not here share one fetch (RFC 9111, section 4).

A flight begins with the request that leads it. It lands when the head of the answer is known; others who wait for it
learn then whether the answer is for them too. Its body, if it is being stored, is read by everybody at their own pace.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
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

    def suits(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether its answer is the one for a request with these headers, as far as that is known."""
        return self.variant is None or variant_of(_names(self.variant), headers) == self.variant

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


class _Sky:
    """The flights under one key. Those that can be joined are found by what their requests say."""

    __slots__ = ("_known", "_names", "_open", "_said", "flights")

    def __init__(self) -> None:
        self.flights: set[Flight] = set()
        self._known: dict[tuple[str, ...], dict[Variant, dict[Flight, None]]] = {}  # whose variant is known
        self._open: dict[Flight, None] = {}  # whose is not: any request may hope
        self._names: tuple[str, ...] = ()  # unless one has been told which fields count; those asked for last
        self._said: dict[Variant, dict[Flight, None]] = {}

    def candidates(self, headers: CIMultiDictProxy[str], names: tuple[str, ...]) -> Iterator[Flight]:
        """Those whose answer such a request can expect, the latest first."""
        for known, of_variant in self._known.items():
            yield from reversed(of_variant.get(variant_of(known, headers), {}))
        if not names:
            yield from reversed(self._open)
            return
        if names != self._names:
            self._names, self._said = names, {}
            for flight in self._open:
                self._said.setdefault(variant_of(names, flight.headers), {})[flight] = None
        yield from reversed(self._said.get(variant_of(names, headers), {}))

    def open(self, flight: Flight) -> None:
        self._open[flight] = None
        if self._names:
            self._said.setdefault(variant_of(self._names, flight.headers), {})[flight] = None

    def settle(self, flight: Flight, variant: Variant) -> None:
        self.shut(flight)
        self._known.setdefault(_names(variant), {}).setdefault(variant, {})[flight] = None

    def shut(self, flight: Flight) -> None:
        if flight in self._open:
            del self._open[flight]
            if self._names:
                _discard(self._said, variant_of(self._names, flight.headers), flight)
        elif flight.variant is not None and (known := self._known.get(_names(flight.variant))) is not None:
            _discard(known, flight.variant, flight)
            if not known:
                del self._known[_names(flight.variant)]


class Flights:
    """The flights that can be joined, by key; their number is bounded by that of the requests inside."""

    def __init__(self, overtaken_at: Callable[[str, frozenset[str], int], int | None]) -> None:
        self._overtaken_at = overtaken_at
        self._skies: dict[str, _Sky] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._skies

    def find(
        self, key: str, headers: CIMultiDictProxy[str], names: tuple[str, ...], *, earliest: float = 0.0
    ) -> Flight | None:
        """One whose answer may be for a request that comes now: nothing of it was purged since it began.

        It began at the moment `earliest` of the monotonic clock, or later. `names` are those of a Vary seen before.
        """
        sky = self._skies.get(key)
        for flight in sky.candidates(headers, names) if sky is not None else ():
            if flight.began_at >= earliest and self._overtaken_at(key, flight.tags, flight.born) is None:
                return flight
        return None

    def begin(self, key: str, headers: CIMultiDictProxy[str], born: int, *, is_shared: bool = True) -> Flight:
        """A flight that is known, and can be joined if it is shared, until it is ended."""
        flight = Flight(key, headers, born, is_shared=is_shared)
        sky = self._skies.setdefault(key, _Sky())
        sky.flights.add(flight)
        if is_shared:
            sky.open(flight)
        return flight

    def settle(self, flight: Flight, variant: Variant) -> None:
        """It turns out what its answer depends on, and that it may be shared."""
        sky = self._skies.get(flight.key)
        if sky is not None and flight in sky.flights:
            sky.settle(flight, variant)
        flight.variant, flight.is_shared = variant, True

    def end(self, flight: Flight) -> None:
        """Nobody joins it any more; those who wait are told that it failed if they know nothing yet."""
        flight.land(Landing.FAILED)
        sky = self._skies.get(flight.key)
        if sky is not None and flight in sky.flights:
            sky.shut(flight)
            sky.flights.remove(flight)
            if not sky.flights:
                del self._skies[flight.key]

    def is_for(self, flight: Flight, asked: int) -> bool:
        """Whether the answer may go to who asked at this purge clock: nothing of it was purged in between."""
        overtaken = self._overtaken_at(flight.key, flight.tags, flight.born)
        return overtaken is None or asked < overtaken


def _names(variant: Variant) -> tuple[str, ...]:
    return tuple([name for name, _ in variant])


def _discard(of_variant: dict[Variant, dict[Flight, None]], variant: Variant, flight: Flight) -> None:
    flights = of_variant.get(variant)
    if flights is not None:
        flights.pop(flight, None)
        if not flights:
            del of_variant[variant]


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
