"""What the analytics service asks of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from pastebin.visits import Batch

Dimension = Literal[
    "slug", "file", "country", "referrer", "agent", "agent_class", "cache", "region", "pop", "kind", "status", "syntax"
]
"""What visits are told apart by. `syntax` is the exception: it tells apart the pastes that were created; `visits` is
their number then, `bytes` their size, and the audience says nothing."""
Audience = Literal["people", "bots", "all"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, `since` included and `until` not; both aware, both at a full minute."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Filter:
    """Which visits count."""

    slug: str | None = None
    audience: Audience = "people"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over visits, weights included, so that parts of a stretch of time add up to the whole.

    `visitors` are daily uniques: a visitor counts once in a period of the salt, where and when she was first seen in
    it; who comes on two days counts twice. Who is still reading when the day changes counts once, on the first day:
    whose pseudonym of the period before was last seen no more than an hour before she was first seen in this one.
    `hits` were answered by a cache, stale copies included; `errors` had a status of 500 or more.
    """

    visits: int = 0
    visitors: int = 0
    bytes: int = 0
    hits: int = 0
    errors: int = 0
    duration_us: int = 0


@dataclass(frozen=True, slots=True)
class Stock:
    """What happened to pastes in a stretch of time, by kind of change, and the bytes that were created."""

    changes: dict[str, int] = field(default_factory=dict)
    bytes_created: int = 0


class Engine(Protocol):
    """A database of events. Every method raises Unavailable if it cannot be had within its deadline.

    `ledger`: a batch is committed with its id in one transaction, or in a form in which a second copy changes nothing.
    Answers include everything that was taken before the question was asked.
    """

    async def take(self, batch: Batch, received_at: datetime) -> bool:
        """Keep a checked batch. False where it was kept before: nothing changes then.

        Raises UnreadableRequest for what this database could not keep whenever it is asked.
        """

    async def totals(self, span: Span, which: Filter) -> Totals:
        """Sums over all of it."""

    async def series(self, edges: Sequence[datetime], which: Filter) -> list[Totals]:
        """Sums between each pair of neighbouring `edges`, which ascend and lie on full minutes."""

    async def breakdown(
        self, dimension: Dimension, span: Span, which: Filter, limit: int, after: tuple[int, str] | None = None
    ) -> list[tuple[str, Totals]]:
        """The values with the most visits, most first, then by value; `after`: (visits, value) of the last one had."""

    async def stock(self, edges: Sequence[datetime]) -> list[Stock]:
        """Changes between each pair of neighbouring `edges`."""

    async def roll(self, now: datetime) -> None:
        """Bring rollups up to date; whatever arrived late is in them afterwards. Idempotent, and safe to be killed."""

    async def retain(self, now: datetime) -> None:
        """Drop what is older than is kept."""
