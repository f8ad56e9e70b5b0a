"""What is told to analytics: visits by those who serve them, changes of pastes by those who write; and how it travels.

Nothing here names a person: no address and no agent string, only what was made of them on the spot.
"""

from __future__ import annotations

from typing import Literal

import msgspec

VisitKind = Literal["page", "raw", "api", "download", "embed"]
# How the answer was had: from a cache, from a stale copy, past it, or on a node without one ("none").
CacheStatus = Literal["hit", "stale", "miss", "pass", "none"]
ChangeKind = Literal["created", "revised", "deleted", "expired", "burned", "reported", "taken_down"]

# The signed addresses of the analytics service, on its internal door.
BATCHES = "/internal/analytics/batches"
SALTS = "/internal/analytics/salts"
STATISTICS = "/internal/analytics/statistics"

BATCH_ID = r"[A-Za-z0-9._:-]{1,100}\Z"
BATCH_BYTES = 16 * 1024**2


class Visit(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One reading of a paste, or `weight` of them where so many happen that a sample stands for the rest.

    `at_ms` is Unix time of the serving node, `number` counts the visits of that node without end. `slug` is never
    empty; `file` is empty for the whole paste. `country` is ISO 3166-1 alpha-2, `referrer` a host name; empty for
    unknown, like everything that a reader who wants it so keeps to herself. `visitor` and `visitor_before` are the
    pseudonyms (`pastebin.visitors`) under the salt of `period` (days since 1970) and under the one before; 0 for
    unknown. `duration_us` is from the request's head to the end of the answer; `bytes` are those of the body.
    """

    number: int
    at_ms: int
    slug: str
    file: str
    kind: VisitKind
    cache: CacheStatus
    region: str
    pop: str
    country: str
    referrer: str
    agent: str
    agent_class: str
    is_bot: bool
    status: int
    bytes: int
    duration_us: int
    weight: int
    period: int
    visitor: int
    visitor_before: int


class Change(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Something that happened to a paste. `number` is its place in the primary's outbox, by which it is known."""

    number: int
    at_ms: int
    kind: ChangeKind
    slug: str
    size: int
    syntax: str


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent at once, and committed at once under its `id`. A sender makes the same batch from the same id.

    `node` is the name of the sender's place in its spool (visits), or the name of the feed's history (changes):
    together with a `number` it identifies an event for ever.
    """

    id: str
    node: str
    visits: list[Visit] = []
    changes: list[Change] = []
