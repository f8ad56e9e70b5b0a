"""What a lab consists of: places with networks of their own, and boxes in them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pastebin.sections import RoleName

Kind = Literal["gateway", "edge", "web", "read", "write", "worker", "analytics", "geodns", "postgres", "objects"]

COMMON = "common"
_CLIENTS = "clients-"
_COMMON_NUMBER = 250
_CLIENTS_NUMBER = 100
_MOST_REGIONS = 16
_MOST_REPLICAS = 8
_MOST_WORKERS = 16

# Where known regions are, and whose country their clients live in.
_EARTH: Mapping[str, tuple[str, float, float]] = {
    "us": ("US", 39.0, -77.5),
    "eu": ("DE", 50.1, 8.7),
    "il": ("IL", 32.1, 34.8),
    "jp": ("JP", 35.7, 139.7),
    "br": ("BR", -23.5, -46.6),
    "in": ("IN", 19.1, 72.9),
    "sg": ("SG", 1.3, 103.8),
    "au": ("AU", -33.9, 151.2),
    "za": ("ZA", -33.9, 18.4),
    "uk": ("GB", 51.5, -0.1),
    "ca": ("CA", 45.5, -73.6),
}

# What a box of a kind does.
ROLES: Mapping[Kind, tuple[RoleName, ...]] = {
    "gateway": ("gateway",),
    "edge": ("edge",),
    "web": ("web",),
    "read": ("read",),
    "write": ("write",),
    "worker": ("cdn-worker",),
    "analytics": ("analytics",),
    "geodns": ("geodns",),
}


@dataclass(frozen=True)
class Ports:
    """Where boxes listen, each on an address of its own."""

    public: int = 80
    dns: int = 53
    origin: int = 8080
    internal: int = 9090
    postgres: int = 5432
    s3: int = 20_000  # and four more; of each lab others: SeaweedFS has sockets in /tmp by their number


@dataclass(frozen=True)
class Place:
    """A network of /24: the servers of a region, the clients of one, or what belongs to no region."""

    name: str
    number: int
    region: str = ""

    @property
    def is_clients(self) -> bool:
        return self.name.startswith(_CLIENTS)


@dataclass(frozen=True)
class Site:
    """A box on paper: what it is, where it stands, and its doors as (address, port)."""

    name: str
    kind: Kind
    place: Place
    address: str
    doors: Mapping[str, tuple[str, int]]

    @property
    def region(self) -> str:
        """Empty for what belongs to no region."""
        return self.place.region

    @property
    def is_node(self) -> bool:
        """Whether it is the service's own program."""
        return self.kind not in ("postgres", "objects")

    def url(self, door: str) -> str:
        host, port = self.doors[door]
        return f"http://{host}" if port == 80 else f"http://{host}:{port}"


@dataclass(frozen=True)
class Plan:
    """The size of a lab. `settings` are `section.key` options by name or kind of the box, or "*" for all nodes.
    With `clocks` nodes have clocks that can be set wrong.
    """

    regions: tuple[str, ...] = ("us", "eu", "il", "jp")
    replicas: int = 3
    workers: int = 3
    zone: str = "paste.lab"
    ttl_seconds: int = 5
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    clocks: bool = False

    def problems(self) -> Iterator[str]:
        """What it cannot be."""
        if not 1 <= len(self.regions) <= _MOST_REGIONS:
            yield f"there have to be 1 to {_MOST_REGIONS} regions"
        for region in self.regions:
            if not (region.isascii() and region.isalnum() and region.islower() and len(region) <= 8):
                yield f"{region!r} is no name of a region: 1 to 8 lower-case letters and digits"
            elif region == COMMON or region in ("objects", "primary", "analytics"):
                yield f"{region!r} is the name of something else"
        if len(set(self.regions)) != len(self.regions):
            yield "two regions have one name"
        if not 0 <= self.replicas <= _MOST_REPLICAS:
            yield f"there may be 0 to {_MOST_REPLICAS} replicas"
        if not 1 <= self.workers <= _MOST_WORKERS:
            yield f"there have to be 1 to {_MOST_WORKERS} workers"

    @property
    def places(self) -> tuple[Place, ...]:
        return (
            *(Place(name, number, name) for number, name in enumerate(self.regions, 1)),
            *(Place(f"{_CLIENTS}{name}", _CLIENTS_NUMBER + number) for number, name in enumerate(self.regions, 1)),
            Place(COMMON, _COMMON_NUMBER),
        )

    def place(self, name: str) -> Place:
        return next(place for place in self.places if place.name == name)

    def clients(self, region: str) -> Place:
        """Where the clients of a region are."""
        return self.place(f"{_CLIENTS}{region}")

    def country(self, region: str) -> str:
        """Empty for a region that no map shows."""
        return _EARTH[region][0] if region in _EARTH else ""

    def coordinates(self, region: str) -> dict[str, float]:
        if region not in _EARTH:
            return {}
        _, latitude, longitude = _EARTH[region]
        return {"latitude": latitude, "longitude": longitude}


def sites(plan: Plan, first: str, ports: Ports) -> tuple[Site, ...]:
    """Every box; `first` are the leading two numbers of all addresses, such as "10.211"."""
    found: list[Site] = []

    def add(name: str, kind: Kind, place: Place, number: int, **doors: int) -> None:
        address = f"{first}.{place.number}.{number}"
        found.append(Site(name, kind, place, address, {door: (address, port) for door, port in doors.items()}))

    origin, internal = ports.origin, ports.internal
    regions, common = [plan.place(name) for name in plan.regions], plan.place(COMMON)
    for place in regions:
        add(f"{place.name}-gateway", "gateway", place, 1, gateway=ports.public, internal=internal)
        add(f"{place.name}-edge", "edge", place, 2, edge=origin, internal=internal)
        add(f"{place.name}-web", "web", place, 3, origin=origin, internal=internal)
        add(f"{place.name}-read", "read", place, 4, origin=origin, internal=internal)
        add(f"{place.name}-write", "write", place, 5, origin=origin, internal=internal)
    for number in range(1, plan.workers + 1):
        add(f"worker-{number}", "worker", _in_turn(regions, number), 10 + number, internal=internal)
    add("analytics", "analytics", common, 2, origin=origin, internal=internal)
    for number in (1, 2):
        add(f"geodns-{number}", "geodns", _in_turn(regions, number), 5 + number, dns=ports.dns, internal=internal)
    add("primary", "postgres", regions[0], 30, postgres=ports.postgres)
    for number in range(1, plan.replicas + 1):
        elsewhere = regions[1:] or regions
        add(f"replica-{number}", "postgres", _in_turn(elsewhere, number), 30 + number, postgres=ports.postgres)
    add("analytics-db", "postgres", common, 3, postgres=ports.postgres)
    add("objects", "objects", common, 1, s3=ports.s3)
    return tuple(found)


def _in_turn(places: Sequence[Place], number: int) -> Place:
    return places[(number - 1) % len(places)]
