"""Where in the history of the database something happened, and what a session must see at least.

An LSN alone means nothing across a failover: only positions of one system and one timeline can be compared.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A point in the write-ahead log: the cluster's system identifier, its timeline, and the LSN in bytes."""

    system_id: int
    timeline: int
    lsn: int

    def covers(self, other: Position) -> bool:
        """Whether whoever is at this position has seen everything up to `other`; False where that cannot be told."""
        return self.system_id == other.system_id and self.timeline == other.timeline and self.lsn >= other.lsn


# Of no timeline: no replica has seen it, so whoever must have seen it asks the primary.
BEYOND = Position(0, 0, 0)


def later(one: Position | None, other: Position | None) -> Position | None:
    """The one that covers the other; `other`, the newer knowledge, where they do not compare."""
    if one is None or other is None:
        return one or other
    return one if one.covers(other) else other


@dataclass(slots=True)
class Session:
    """What one client has seen or written so far: reads for it must not be older, and move it forward.

    `required` is None for a client that does not care. `from_primary` asks for the primary whatever the position: that
    is what a token that cannot be trusted or compared means.
    """

    required: Position | None = None
    from_primary: bool = False
    seen: Position | None = None

    def advance(self, position: Position) -> None:
        """Note what a read or a write has shown; of two positions that compare the later is kept, else the newest."""
        if self.seen is None or not self.seen.covers(position):
            self.seen = position


# The session of the request that the current task works for; tasks that serve many requests at once run without one.
SESSION: ContextVar[Session | None] = ContextVar("session", default=None)
