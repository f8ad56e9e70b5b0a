"""What the page of all nodes shows, from what is known of them: plain values, ready to be drawn or told. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pastebin.languages import gettext, ngettext, say
from pastebin.phrases import N_
from pastebin.portraits import Names, Portrait, Server, Store
from pastebin.services.charts import compact
from pastebin.services.planet_servers import ServerSeen, merged
from pastebin.services.watching import Sight
from pastebin.services.wording import age, plain, rate, short_names, size

Tier = Literal["geodns", "gateway", "edge", "app", "worker", "analytics", "primary", "replica", "store"]
Mark = Literal["up", "warn", "down", "unknown", "none"]

_MARKS: dict[str, Mark] = {"up": "up", "suspect": "warn", "lagging": "warn", "down": "down", "ejected": "warn"}
_STATES: dict[str, Mark] = {"up": "up", "waiting": "warn", "silent": "down", "unknown": "unknown"}
_APP_ROLES = ("web", "read", "write")
# A cache that has not heard for so long of a change does not answer, or its worker does not work.
_LATE_SECONDS = 30.0
_STATES_OF_SERVERS = {
    "up": N_("up"),
    "suspect": N_("suspect"),
    "lagging": N_("lagging"),
    "down": N_("down"),
    "ejected": N_("ejected"),
}
_TIERS = (N_("primary"), N_("replica"))
_WORDS = {"up": N_("ready"), "waiting": N_("not ready"), "silent": N_("no answer"), "unknown": N_("not asked")}


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
        clients=gettext("%(num)s req/s") % {"num": rate(_requests(alive))},
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


def _spot(sight: Sight, tier: Tier, now: float) -> Spot:
    name = plain(sight.station.name)
    prefix = f"{sight.station.region}-"
    label = name.removeprefix(prefix) if len(name) > len(prefix) else name
    roles = roles_of(sight)
    mark = _mark(sight)
    told = [
        f"{name}: {_word(sight, now)}",
        gettext("roles: %(things)s") % {"things": ", ".join(map(plain, roles))},
        plain(sight.detail),
    ]
    portrait = sight.portrait
    if portrait is not None and sight.state != "silent":
        told.insert(1, ", ".join(_figures(portrait)))
        lines = (
            tuple(_figures(portrait)[:2]) if sight.state == "up" else (gettext("not ready"), *_figures(portrait)[:1])
        )
    else:
        known = sight.since is not None
        lines = (gettext("no answer"), _during(now - (sight.since or 0.0))) if known else (gettext("not asked"),)
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
    since = f" {_during(now - sight.since)}" if sight.since is not None else ""
    return say(_WORDS[sight.state]) + since


def _during(seconds: float) -> str:
    return gettext("for %(length)s") % {"length": age(seconds)}


def _figures(portrait: Portrait) -> list[str]:
    """What is most worth knowing comes first."""
    found = []
    if portrait.dns is not None:
        found.append(gettext("%(num)s answers/s") % {"num": rate(portrait.dns.queries_per_second)})
    if portrait.queue is not None and tier_of(portrait.roles) == "worker":
        found.append(gettext("queue %(num)s") % {"num": compact(portrait.queue.depth)})
        if portrait.queue.dead_letters:
            found.append(_dead(portrait.queue.dead_letters))
        elif portrait.queue.depth:
            found.append(gettext("%(length)s old") % {"length": age(portrait.queue.oldest_seconds)})
        else:
            count = len(portrait.queue.targets)
            found.append(ngettext("%(num)s cache", "%(num)s caches", count) % {"num": count})
    if portrait.analytics is not None:
        found.append(gettext("%(num)s events/s") % {"num": rate(portrait.analytics.events_per_second)})
    if not {"web", "read", "write", "edge", "gateway"}.isdisjoint(portrait.roles):
        found.insert(0, gettext("%(num)s req/s") % {"num": rate(portrait.requests_per_second)})
    if portrait.upstreams is not None:
        well = sum(upstream.state == "up" for upstream in portrait.upstreams)
        found.append(gettext("%(num)s nodes") % {"num": f"{well}/{len(portrait.upstreams)}"})
    if portrait.hit_ratio is not None:
        found.append(gettext("%(num)s %% hits") % {"num": f"{100 * portrait.hit_ratio:.0f}"})
    return found


def _region(name: str, spots: list[Spot], names: Sequence[Names], shares: dict[str, float]) -> RegionShown:
    votes = [view.regions[name] for view in names if name in view.regions]
    is_out = bool(votes) and 2 * sum(vote == "down" for vote in votes) >= len(votes)
    marks = {spot.mark for spot in spots}
    mark: Mark = "down" if is_out or marks == {"down"} else "warn" if marks & {"down", "warn"} else "up"
    if not spots or marks == {"unknown"}:
        mark = "down" if is_out else "unknown"
    note = ""
    if is_out:
        note = gettext("out of DNS")
    elif name in shares:
        note = gettext("%(num)s %% of DNS") % {"num": f"{100 * shares[name]:.0f}"}
    order = {"web": 0, "read": 1, "write": 2}
    spots.sort(key=lambda spot: (next((order[role] for role in spot.roles if role in order), 3), spot.name))
    return RegionShown(plain(name), mark, note, tuple(spots))


def _shares(names: Sequence[Names]) -> dict[str, float]:
    """Which part of the recent answers has named each region; nothing where there were none."""
    counts: Counter[str] = Counter()
    for view in names:
        counts.update(view.answers_per_second)
    total = sum(counts.values())
    known = {name for view in names for name in view.regions}
    return {name: counts[name] / total for name in known} if total > 0 else {}


def _server_spot(seen: ServerSeen) -> Spot:
    server = seen.server
    kind: Tier = "primary" if seen.leads else "replica"
    mark = _MARKS.get(server.state, "unknown")
    told = [
        f"{plain(server.name)}: {say(kind)}, {_state(server)} ({_agreement(seen)})",
        gettext("requests on it: %(num)s") % {"num": server.in_flight},
    ]
    if seen.leads:
        lines = (
            say(kind) if mark == "up" else _state(server),
            gettext("%(num)s in flight") % {"num": server.in_flight},
        )
    else:
        lag = _lag(server)
        told_lag = gettext("lag %(length)s") % {"length": lag} if lag else gettext("lag unknown")
        lines = (_state(server) if mark != "up" else say(kind), told_lag)
        told.append(f"{told_lag}, {size(server.lag_bytes)}" if server.lag_bytes is not None else told_lag)
    return Spot(plain(server.name), kind, mark, lines, "\n".join(told))


def _state(server: Server) -> str:
    return say(_STATES_OF_SERVERS.get(server.state, "")) or plain(server.state)


def _agreement(seen: ServerSeen) -> str:
    return gettext("%(some)s of %(all)s nodes say so") % {"some": seen.agreeing, "all": seen.seen_by}


def _dead(count: int) -> str:
    return ngettext("%(num)s dead letter", "%(num)s dead letters", count) % {"num": compact(count)}


def _lag(server: Server) -> str:
    if server.lag_seconds is not None:
        return age(server.lag_seconds)
    return size(server.lag_bytes) if server.lag_bytes is not None else ""


def _stores(alive: Iterable[Portrait]) -> list[Store]:
    found = {(portrait.blobs.kind, portrait.blobs.name): portrait.blobs for portrait in alive if portrait.blobs}
    return [found[key] for key in sorted(found)]


def _store_spot(store: Store) -> Spot:
    name = plain(store.name) or ("S3" if store.kind == "s3" else gettext("directory"))
    return Spot(
        short_names([name])[0],
        "store",
        "up",
        (gettext("object store") if store.kind == "s3" else gettext("blobs"),),
        f"{gettext('Blobs')}: {name}",
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
    yield Tile(gettext("Nodes ready"), _of(ready, len(sights)), _missing(sights))
    yield Tile(gettext("Requests"), f"{rate(_requests(alive))}/s")
    edges = [portrait for portrait in alive if portrait.hit_ratio is not None]
    if edges:
        weights = [portrait.requests_per_second + 0.01 for portrait in edges]
        pairs = zip((portrait.hit_ratio or 0.0 for portrait in edges), weights, strict=True)
        yield Tile(
            gettext("Cache hits"), f"{100 * sum(ratio * weight for ratio, weight in pairs) / sum(weights):.0f} %"
        )
    lags = [seen.server.lag_seconds for seen in servers if seen.server.lag_seconds is not None]
    if lags:
        well = sum(seen.server.state == "up" for seen in servers if not seen.leads)
        yield Tile(
            gettext("Replica lag"),
            age(max(lags)),
            gettext("in use: %(num)s") % {"num": _of(well, sum(not seen.leads for seen in servers))},
        )
    if queues := [portrait.queue for portrait in alive if portrait.queue is not None]:
        dead = sum(queue.dead_letters for queue in queues)
        yield Tile(
            gettext("Purge queue"),
            compact(max(queue.depth for queue in queues)),
            _dead(dead) if dead else "",
        )
    if names:
        yield Tile(gettext("DNS answers"), f"{rate(sum(view.queries_per_second for view in names))}/s")


def _missing(sights: Sequence[Sight]) -> str:
    silent = sum(sight.state == "silent" for sight in sights)
    return gettext("without an answer: %(num)s") % {"num": silent} if silent else ""


def _of(some: int, all_of_them: int) -> str:
    return gettext("%(some)s of %(all)s") % {"some": some, "all": all_of_them}


def _row(sight: Sight, now: float) -> Row:
    figures = ", ".join(_figures(sight.portrait)) if sight.portrait and sight.state != "silent" else ""
    detail = "; ".join(filter(None, (figures, plain(sight.detail))))
    return Row(
        plain(sight.station.name),
        plain(sight.station.region) or "-",
        ", ".join(map(plain, roles_of(sight))),
        _mark(sight),
        say(_WORDS[sight.state]),
        sight.since,
        detail,
    )


def _server_row(seen: ServerSeen) -> Row:
    spot = _server_spot(seen)
    return Row(spot.name, "-", f"PostgreSQL {say(spot.tier)}", spot.mark, _state(seen.server), None, spot.lines[1])
