"""Which region a client is sent to. Pure: the same question has the same answer, on whatever node it is asked.

By networks that the operator names, then countries, then continents, then distance; equals share by weight. Where
something is not well, the next one takes over; where nothing is, all are named.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, collapse_addresses, ip_address, ip_network
from typing import NamedTuple

from pastebin import regions
from pastebin.errors import ConfigError
from pastebin.geo import Networks, Place
from pastebin.sections_regions import RegionSection

Address = IPv4Address | IPv6Address

# Clients that share so many bits are never told apart by chance. RFC 7871, 11.1: what resolvers tell of them at most.
GRAIN = {4: 24, 6: 56}

_NOWHERE = Place()
_EARTH_KM = 6371.0


class Ruling(NamedTuple):
    """Regions, the best first: `regions[:well]` are well, then come those that are not, in the same order.

    `well` of 0 means that none is: take all of them. It is the same ruling for every client that shares the first
    `prefix` bits of the address (of 32 or 128).
    """

    regions: tuple[str, ...]
    well: int
    prefix: int

    @property
    def chosen(self) -> tuple[str, ...]:
        """Where to send the client: to one region that is well, or to anybody."""
        return self.regions[:1] if self.well else self.regions


class Steering:
    """The order of regions for each client.

    Raises ConfigError with every problem of the tables.
    """

    def __init__(self, tables: Mapping[str, RegionSection]) -> None:
        problems = [*regions.check(tables)]
        if not tables:
            problems += regions.none()
        if problems:
            raise ConfigError(problems)
        self._tables = dict(tables)
        self._networks = Networks(_collapsed(tables))
        self._countries = _grouped(tables, "countries")
        self._continents = _grouped(tables, "continents")
        self._places = {
            name: (table.latitude, table.longitude)
            for name, table in tables.items()
            if table.latitude is not None and table.longitude is not None
        }
        self._everybody = [name for name, table in tables.items() if table.weight]
        # where there is one region to go to, or none knows where it is, the client's place tells nothing
        self._asks_place = len(tables) > 1 and bool(self._countries or self._continents or self._places)

    def order(
        self,
        address: Address | str,
        place: Place = _NOWHERE,
        health: Mapping[str, float] | None = None,
        salt: str = "",
        first: str = "",
    ) -> Ruling:
        """The ruling for a client.

        `place` is where it is, with the prefix for which that holds. `health` says of a region what share of its
        clients it takes: 1 (or nothing said) all, 0 for down, between them for one that has too much to do.
        `salt` makes a spread of its own. `first` is a region that goes before all others for everybody. An address
        that is none is a client from nowhere.
        """
        client = _parsed(address)
        if client is None:
            return self._ruling(self._everybody, None, _NOWHERE, health or {}, salt, 0)
        label, prefix = (first, 0) if first else self._networks.find(client)
        if label:
            group = [label]
        else:
            group = self._group(place)
            prefix = max(prefix, place.prefix_length) if self._asks_place else prefix
        if len(self._tables) == 1:
            prefix = 0
        return self._ruling(group, client, _NOWHERE if label else place, health or {}, salt, prefix)

    @property
    def asks_place(self) -> bool:
        """Whether it matters at all where a client is."""
        return self._asks_place

    def kind(self, place: Place) -> Hashable:
        """What of a place decides: a client has the same ruling in all places of one kind."""
        group = self._group(place)
        others = tuple(self._others(group[0], place))
        if len(group) == 1:
            return tuple(dict.fromkeys([*group, *self._tables[group[0]].fallbacks, *others]))
        is_somewhere = place.latitude is not None and place.longitude is not None
        return tuple(group), others if is_somewhere else None

    def _group(self, place: Place) -> list[str]:
        """The regions of the first rank; never empty."""
        for found in (self._countries.get(place.country), self._continents.get(place.continent)):
            if found:
                return found
        if place.latitude is not None and place.longitude is not None:
            here = (place.latitude, place.longitude)
            distances = {name: _km(here, self._places[name]) for name in self._everybody if name in self._places}
            if distances:
                nearest = min(distances.values())
                return [name for name, distance in distances.items() if distance == nearest]
        return self._everybody

    def _ruling(
        self,
        group: list[str],
        client: Address | None,
        place: Place,
        health: Mapping[str, float],
        salt: str,
        prefix: int,
    ) -> Ruling:
        grain = _grain(client)
        ranked = sorted(group, key=lambda name: _rank(name, self._tables[name].weight, grain, salt))
        names = list(dict.fromkeys([*ranked, *self._tables[ranked[0]].fallbacks, *self._others(ranked[0], place)]))
        shares = {name: min(max(health.get(name, 1.0), 0.0), 1.0) for name in names}
        taking = [name for name in names if shares[name] and _lot(f"{salt}|take|{name}|{grain}") < shares[name]]
        if not taking:  # too much to do everywhere is no reason to ask those that are down
            taking = [name for name in names if shares[name]]
        if client is not None and (len(group) > 1 or any(0 < share < 1 for share in shares.values())):
            prefix = max(prefix, GRAIN[client.version])
        return Ruling((*taking, *(name for name in names if name not in taking)), len(taking), prefix)

    def _others(self, first: str, place: Place) -> Iterable[str]:
        """All regions, the nearest to the client first, or to its region; those that are nowhere come last."""
        here = self._places.get(first)
        if place.latitude is not None and place.longitude is not None:
            here = (place.latitude, place.longitude)
        if here is None:
            return self._tables
        start = here
        return sorted(
            self._tables, key=lambda name: _km(start, self._places[name]) if name in self._places else math.inf
        )


def _collapsed(tables: Mapping[str, RegionSection]) -> dict[str, str]:
    """Networks and their regions, neighbours of one region as one: the fewer there are, the wider a ruling holds."""
    found: dict[str, str] = {}
    for name, table in tables.items():
        networks = [ip_network(text) for text in table.networks]
        for version in (4, 6):
            alike = [network for network in networks if network.version == version]
            found.update((str(network), name) for network in collapse_addresses(alike))  # type: ignore[type-var]
    return found


def _grouped(tables: Mapping[str, RegionSection], option: str) -> dict[str, list[str]]:
    """The regions that name a country or a continent as theirs, without those that are only fallbacks."""
    found: dict[str, list[str]] = {}
    for name, table in tables.items():
        for code in getattr(table, option):
            if table.weight and name not in found.setdefault(code, []):
                found[code].append(name)
    return found


def _parsed(address: Address | str) -> Address | None:
    if isinstance(address, str):
        try:
            address = ip_address(address.partition("%")[0])
        except ValueError:
            return None
    return getattr(address, "ipv4_mapped", None) or address


def _grain(client: Address | None) -> str:
    """The network whose clients share every lot."""
    if client is None:
        return ""
    return f"{client.version}:{int(client) >> client.max_prefixlen - GRAIN[client.version]:x}"


def _lot(text: str) -> float:
    """A number between 0 and 1, neither of them, that looks like chance and is always the same."""
    return (int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=6).digest(), "big") + 0.5) / 2**48


def _rank(name: str, weight: float, grain: str, salt: str) -> float:
    """Weighted rendezvous hashing (Schindelhauer and Schomaker, 2005): the smallest of them wins as weights say."""
    return -math.log(_lot(f"{salt}|rank|{name}|{grain}")) / weight if weight else math.inf


def _km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The distance on a sphere, by the haversine formula."""
    (north, east), (other_north, other_east) = (map(math.radians, place) for place in (one, other))
    half = math.sin((other_north - north) / 2) ** 2
    half += math.cos(north) * math.cos(other_north) * math.sin((other_east - east) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
