"""The servers of the database, as all nodes together see them. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pastebin.portraits import Portrait, Server

# A replica is as bad as most of the nodes find it, the worse of two words that are as frequent.
_BADNESS = ("up", "suspect", "lagging", "down")


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
