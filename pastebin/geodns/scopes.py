"""How far an answer holds: neighbouring networks whose clients are sent the same way, taken as one."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from ipaddress import ip_address
from typing import NamedTuple, TypeVar

import maxminddb

from pastebin.geo import Database, Geo, Place
from pastebin.leaves import Damaged
from pastebin.ranges import Ranges
from pastebin.steering import Steering

log = logging.getLogger(__name__)

V = TypeVar("V")

_LOOK_SECONDS = 1.0
_AT_ONCE = 128
_REST = 3.0  # times as long as it has worked: the thread that answers needs the interpreter more
_MOST_STRETCHES = 1 << 24


class Map(NamedTuple):
    """The kinds of places (`Steering.kind`) by address, as that database has them; kind None is not known."""

    database: Database | None
    four: Ranges[Hashable | None]
    six: Ranges[Hashable | None]


class TooMany(Exception):
    """The database has more networks than can be gone through."""


class Stopped(Exception):
    """Nobody waits for the map any more."""


class Scopes:
    """Places with prefixes that are as long as the ruling needs, not as the database has them.

    The map is made in a thread that takes its time, and then made anew for every other database; until it is there
    the prefixes are those of the database, which are right too and only longer. `done` is called for each map.
    """

    def __init__(self, geo: Geo, steering: Steering, done: Callable[[], None]) -> None:
        self._geo = geo
        self._steering = steering
        self._done = done
        self._map: Map | None = None

    def take(self, steering: Steering) -> None:
        """Rulings are others from now on."""
        self._steering, self._map = steering, None

    def place(self, address: str) -> Place:
        """Where it is, and for how many bits the ruling is the same as far as that depends on the place."""
        place, made = self._geo.place(address), self._map
        if made is None or made.database is not self._geo.database:
            return place
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return place
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        kind, prefix = (made.four if parsed.version == 4 else made.six).find(int(parsed))
        return place if kind is None else place._replace(prefix_length=prefix)

    async def run(self) -> None:
        """Keep the map up to date for ever."""
        seen: tuple[Database | None, Steering] | None = None
        while True:
            found = self._geo.database, self._steering
            if seen is None or found[0] is not seen[0] or found[1] is not seen[1]:
                seen = found
                if self._steering.asks_place:
                    await self._make(*found)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _make(self, database: Database | None, steering: Steering) -> None:
        stopped = threading.Event()
        try:
            made = await asyncio.to_thread(self.made, stopped)
        except (TooMany, Damaged, ValueError, IndexError, maxminddb.InvalidDatabaseError) as error:
            log.warning("scopes are as narrow as the networks of the database: %r", error)
            return
        finally:
            stopped.set()
        if made.database is database and self._steering is steering:
            self._map = made
            self._done()

    def made(self, stopped: threading.Event) -> Map:
        """A map of the database that is in use. Blocks, and leaves most of the time to others.

        Raises TooMany, Stopped, and what a damaged database raises.
        """
        database, kind = self._geo.database, self._steering.kind
        four = _Pace(stopped).over(self._geo.stretches(32, kind))
        six = _Pace(stopped).over(self._geo.stretches(128, kind))
        return Map(database, Ranges(32, four), Ranges(128, six))


class _Pace:
    """Goes through something long in a thread beside one that has to be quick."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped

    def over(self, stretches: Iterable[tuple[int, V]]) -> Iterator[tuple[int, V]]:
        """The same, with rests between. Raises Stopped, TooMany."""
        since = time.perf_counter()
        for count, stretch in enumerate(stretches):
            yield stretch
            if count % _AT_ONCE:
                continue
            if count > _MOST_STRETCHES:
                raise TooMany
            if self._stopped.wait((time.perf_counter() - since) * _REST):
                raise Stopped
            since = time.perf_counter()
