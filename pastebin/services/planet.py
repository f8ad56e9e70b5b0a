"""What the page of all nodes shows, from what is known of them: plain values, ready to be drawn or told. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pastebin.portraits import Names, Portrait, Server, Store
from pastebin.services.charts import compact
from pastebin.services.watching import Sight
from pastebin.services.wording import age, plain, rate, short_names, size

Tier = Literal["geodns", "gateway", "edge", "app", "worker", "analytics", "primary", "replica", "store"]
Mark = Literal["up", "warn", "down", "unknown", "none"]

# A replica is as bad as most of the nodes find it, the worse of two words that are as frequent.
_BADNESS = ("up", "suspect", "lagging", "down")
_MARKS: dict[str, Mark] = {"up": "up", "suspect": "warn", "lagging": "warn", "down": "down", "ejected": "warn"}
_STATES: dict[str, Mark] = {"up": "up", "waiting": "warn", "silent": "down", "unknown": "unknown"}
_APP_ROLES = ("web", "read", "write")
# A cache that has not heard for so long of a change does not answer, or its worker does not work.
_LATE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Spot:
    """One box: its name, two short lines below it, and what it says to who asks more closely."""

    name: str
    tier: Tier
    mark: Mark
    lines: tuple[str, ...] = ()
    told: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegionShown:
    """One region. `note` is what the name servers say of it."""

    name: str
    mark: Mark
    note: str
    spots: tuple[Spot, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the whole."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A node, or a server of the database, in the table. `since` is a time of day, None where it is not known."""

    name: str
    region: str
    roles: str
    mark: Mark
    state: str
    since: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Planet:
    """All of it."""

    at: float
    regions: tuple[RegionShown, ...] = ()
    names: tuple[Spot, ...] = ()
    database: tuple[Spot, ...] = ()
    stores: tuple[Spot, ...] = ()
    workers: tuple[Spot, ...] = ()
    analytics: tuple[Spot, ...] = ()
    clients: str = ""
    tiles: tuple[Tile, ...] = ()
    rows: tuple[Row, ...] = field(default=(), repr=False)


def planet(sights: Sequence[Sight], regions: Sequence[str], now: float) -> Planet:
    """`regions` in the order of the configuration; others that nodes name come behind."""
    alive = [sight.portrait for sight in sights if sight.portrait is not None and sight.state != "silent"]
    names = [portrait.dns for portrait in alive if portrait.dns is not None]
    servers = merged(alive)
    of_region: dict[str, list[Spot]] = {name: [] for name in regions}
    elsewhere: dict[Tier, list[Spot]] = {"geodns": [], "worker": [], "analytics": []}
    for sight in sights:
        tier = tier_of(roles_of(sight))
        spots = elsewhere[tier] if tier in elsewhere else of_region.setdefault(sight.station.region or "elsewhere", [])
        spots.append(_spot(sight, tier, now))
    shares, labels = _shares(names), short_names([plain(seen.server.name) for seen in servers])
    return Planet(
        at=now,
        regions=tuple(_region(name, spots, names, shares) for name, spots in of_region.items()),
        names=tuple(elsewhere["geodns"]),
        database=tuple(replace(_server_spot(seen), name=name) for seen, name in zip(servers, labels, strict=True)),
        stores=tuple(_store_spot(store) for store in _stores(alive)),
        workers=tuple(elsewhere["worker"]),
        analytics=tuple(elsewhere["analytics"]),
        clients=f"{rate(_requests(alive))} req/s",
        tiles=tuple(_tiles(sights, alive, names, servers)),
        rows=(*(_row(sight, now) for sight in sights), *(_server_row(seen) for seen in servers)),
    )


def roles_of(sight: Sight) -> tuple[str, ...]:
    """What it says of itself; else what it is for, where an edge may be named for what it stands before as well."""
    if sight.portrait is not None:
        return tuple(sight.portrait.roles)
    return ("edge",) if "edge" in sight.station.roles else sight.station.roles


def tier_of(roles: Iterable[str]) -> Tier:
    """Where a node stands: by what comes first on the way of a request, except that an edge may be part of a page's."""
    held = set(roles)
    if "gateway" in held:
        return "gateway"
    if not held.isdisjoint(_APP_ROLES):
        return "app"
    for role, tier in (("edge", "edge"), ("geodns", "geodns"), ("cdn-worker", "worker"), ("analytics", "analytics")):
        if role in held:
            return tier  # type: ignore[return-value]  # words of Tier
    return "app"


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """A server of the database by what all nodes say: how many of them, and how many find it in its state."""

    server: Server
    leads: bool
    seen_by: int
    agreeing: int


def merged(portraits: Iterable[Portrait]) -> list[ServerSeen]:
    """One view of the database out of many: who most nodes write to leads, and comes first; lag is the median."""
    views: dict[str, list[tuple[bool, Server]]] = {}
    for portrait in portraits:
        if portrait.database is None:
            continue
        if portrait.database.primary is not None:
            views.setdefault(portrait.database.primary.name, []).append((True, portrait.database.primary))
        for replica in portrait.database.replicas:
            views.setdefault(replica.name, []).append((False, replica))
    found = [_merged(name, seen) for name, seen in views.items()]
    return sorted(found, key=lambda seen: (not seen.leads, seen.server.name))


def _merged(name: str, views: list[tuple[bool, Server]]) -> ServerSeen:
    leads = 2 * sum(is_leader for is_leader, _ in views) > len(views)
    servers = [server for is_leader, server in views if is_leader == leads]
    words = Counter(server.state for server in servers)
    state = max(words, key=lambda word: (words[word], _BADNESS.index(word) if word in _BADNESS else len(_BADNESS)))
    seconds = [server.lag_seconds for server in servers if server.lag_seconds is not None]
    sizes = [server.lag_bytes for server in servers if server.lag_bytes is not None]
    server = Server(
        name,
        state,
        sum(one.in_flight for one in servers),
        statistics.median(seconds) if seconds else None,
        int(statistics.median(sizes)) if sizes else None,
    )
    return ServerSeen(server, leads, len(views), words[state])


def _spot(sight: Sight, tier: Tier, now: float) -> Spot:
    name = plain(sight.station.name)
    prefix = f"{sight.station.region}-"
    label = name.removeprefix(prefix) if len(name) > len(prefix) else name
    roles = roles_of(sight)
    mark = _mark(sight)
    told = [f"{name}: {_word(sight, now)}", f"roles: {', '.join(map(plain, roles))}", plain(sight.detail)]
    portrait = sight.portrait
    if portrait is not None and sight.state != "silent":
        told.insert(1, ", ".join(_figures(portrait)))
        lines = tuple(_figures(portrait)[:2]) if sight.state == "up" else ("not ready", *_figures(portrait)[:1])
    else:
        lines = ("no answer", f"for {age(now - sight.since)}") if sight.since is not None else ("not asked",)
    return Spot(label, tier, mark, lines, "\n".join(filter(None, told)), roles)


def _mark(sight: Sight) -> Mark:
    portrait = sight.portrait
    if sight.state == "up" and portrait is not None:
        queue = portrait.queue
        is_stuck = queue is not None and (queue.dead_letters > 0 or queue.oldest_seconds > _LATE_SECONDS)
        is_odd = bool(sight.detail) or (portrait.analytics is not None and not portrait.analytics.is_well)
        return "warn" if is_stuck or is_odd else "up"
    return _STATES[sight.state]


def _word(sight: Sight, now: float) -> str:
    since = f" for {age(now - sight.since)}" if sight.since is not None else ""
    words = {"up": "ready", "waiting": "not ready", "silent": "no answer", "unknown": "not asked"}
    return words[sight.state] + since


def _figures(portrait: Portrait) -> list[str]:
    """What is most worth knowing comes first."""
    found = []
    if portrait.dns is not None:
        found.append(f"{rate(portrait.dns.queries_per_second)} answers/s")
    if portrait.queue is not None and tier_of(portrait.roles) == "worker":
        found.append(f"queue {compact(portrait.queue.depth)}")
        if portrait.queue.dead_letters:
            found.append(f"{compact(portrait.queue.dead_letters)} dead letters")
        elif portrait.queue.depth:
            found.append(f"{age(portrait.queue.oldest_seconds)} old")
        else:
            count = len(portrait.queue.targets)
            found.append(f"{count} cache{'' if count == 1 else 's'}")
    if portrait.analytics is not None:
        found.append(f"{rate(portrait.analytics.events_per_second)} events/s")
    if not {"web", "read", "write", "edge", "gateway"}.isdisjoint(portrait.roles):
        found.insert(0, f"{rate(portrait.requests_per_second)} req/s")
    if portrait.upstreams is not None:
        well = sum(upstream.state == "up" for upstream in portrait.upstreams)
        found.append(f"{well}/{len(portrait.upstreams)} nodes")
    if portrait.hit_ratio is not None:
        found.append(f"{100 * portrait.hit_ratio:.0f} % hits")
    return found


def _region(name: str, spots: list[Spot], names: Sequence[Names], shares: dict[str, float]) -> RegionShown:
    votes = [view.regions[name] for view in names if name in view.regions]
    is_out = bool(votes) and 2 * sum(vote == "down" for vote in votes) >= len(votes)
    marks = {spot.mark for spot in spots}
    mark: Mark = "down" if is_out or marks == {"down"} else "warn" if marks & {"down", "warn"} else "up"
    if not spots or marks == {"unknown"}:
        mark = "down" if is_out else "unknown"
    note = "out of DNS" if is_out else f"{100 * shares[name]:.0f} % of DNS" if name in shares else ""
    order = {"web": 0, "read": 1, "write": 2}
    spots.sort(key=lambda spot: (next((order[role] for role in spot.roles if role in order), 3), spot.name))
    return RegionShown(plain(name), mark, note, tuple(spots))


def _shares(names: Sequence[Names]) -> dict[str, float]:
    """Which part of the recent answers has named each region; without any, of all answers."""
    recent: Counter[str] = Counter()
    ever: Counter[str] = Counter()
    for view in names:
        recent.update(view.answers_per_second)
        ever.update(view.answers)
    counts = recent if sum(recent.values()) > 0 else ever
    total = sum(counts.values())
    known = {name for view in names for name in view.regions}
    return {name: counts[name] / total for name in known} if total > 0 else {}


def _server_spot(seen: ServerSeen) -> Spot:
    server = seen.server
    kind: Tier = "primary" if seen.leads else "replica"
    mark = _MARKS.get(server.state, "unknown")
    told = [
        f"{plain(server.name)}: {kind}, {plain(server.state)} ({seen.agreeing} of {seen.seen_by} nodes say so)",
        f"{server.in_flight} requests on it",
    ]
    if seen.leads:
        lines = ("primary" if mark == "up" else plain(server.state), f"{server.in_flight} in flight")
    else:
        lag = _lag(server)
        lines = (plain(server.state) if mark != "up" else "replica", f"lag {lag}" if lag else "lag unknown")
        told.append(f"lag {lag or 'unknown'}, {size(server.lag_bytes)}" if server.lag_bytes is not None else lines[1])
    return Spot(plain(server.name), kind, mark, lines, "\n".join(told))


def _lag(server: Server) -> str:
    if server.lag_seconds is not None:
        return age(server.lag_seconds)
    return size(server.lag_bytes) if server.lag_bytes is not None else ""


def _stores(alive: Iterable[Portrait]) -> list[Store]:
    found = {(portrait.blobs.kind, portrait.blobs.name): portrait.blobs for portrait in alive if portrait.blobs}
    return [found[key] for key in sorted(found)]


def _store_spot(store: Store) -> Spot:
    name = plain(store.name) or ("S3" if store.kind == "s3" else "directory")
    return Spot(
        short_names([name])[0], "store", "up", ("object store" if store.kind == "s3" else "blobs",), f"Blobs: {name}"
    )


def _requests(alive: Sequence[Portrait]) -> float:
    """What clients ask of the outermost nodes: the gateways, else the edges, else all."""
    for role in ("gateway", "edge"):
        if outer := [portrait for portrait in alive if role in portrait.roles]:
            return sum(portrait.requests_per_second for portrait in outer)
    return sum(portrait.requests_per_second for portrait in alive)


def _tiles(
    sights: Sequence[Sight], alive: Sequence[Portrait], names: Sequence[Names], servers: Sequence[ServerSeen]
) -> Iterable[Tile]:
    ready = sum(sight.state == "up" for sight in sights)
    yield Tile("Nodes ready", f"{ready} of {len(sights)}", _missing(sights))
    yield Tile("Requests", f"{rate(_requests(alive))}/s")
    edges = [portrait for portrait in alive if portrait.hit_ratio is not None]
    if edges:
        weights = [portrait.requests_per_second + 0.01 for portrait in edges]
        pairs = zip((portrait.hit_ratio or 0.0 for portrait in edges), weights, strict=True)
        yield Tile("Cache hits", f"{100 * sum(ratio * weight for ratio, weight in pairs) / sum(weights):.0f} %")
    lags = [seen.server.lag_seconds for seen in servers if seen.server.lag_seconds is not None]
    if lags:
        well = sum(seen.server.state == "up" for seen in servers if not seen.leads)
        yield Tile("Replica lag", age(max(lags)), f"{well} of {sum(not seen.leads for seen in servers)} in use")
    if queues := [portrait.queue for portrait in alive if portrait.queue is not None]:
        dead = sum(queue.dead_letters for queue in queues)
        yield Tile(
            "Purge queue",
            compact(max(queue.depth for queue in queues)),
            f"{compact(dead)} dead letters" if dead else "",
        )
    if names:
        yield Tile("DNS answers", f"{rate(sum(view.queries_per_second for view in names))}/s")


def _missing(sights: Sequence[Sight]) -> str:
    silent = sum(sight.state == "silent" for sight in sights)
    return f"{silent} without an answer" if silent else ""


def _row(sight: Sight, now: float) -> Row:
    figures = ", ".join(_figures(sight.portrait)) if sight.portrait and sight.state != "silent" else ""
    detail = "; ".join(filter(None, (figures, plain(sight.detail))))
    words = {"up": "ready", "waiting": "not ready", "silent": "no answer", "unknown": "not asked"}
    return Row(
        plain(sight.station.name),
        plain(sight.station.region) or "-",
        ", ".join(map(plain, roles_of(sight))),
        _mark(sight),
        words[sight.state],
        sight.since,
        detail,
    )


def _server_row(seen: ServerSeen) -> Row:
    spot = _server_spot(seen)
    state = plain(seen.server.state)
    return Row(spot.name, "-", f"PostgreSQL {spot.tier}", spot.mark, state, None, spot.lines[1])
