"""What is told to analytics: visits by those who serve them, changes of pastes by those who write; and how it travels.

Nothing here names a person: no address and no agent string, only what was made of them on the spot.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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
"""The most that a batch may have, as it is and unpacked."""

Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Size = Annotated[int, Meta(ge=0, le=2**40)]
Name = Annotated[str, Meta(max_length=255)]
Word = Annotated[str, Meta(max_length=64)]
Slug = Annotated[str, Meta(min_length=1, max_length=64)]


class Visit(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One reading of a paste, or `weight` of them where so many happen that a sample stands for the rest.

    `at_ms` is Unix time of the serving node, `number` counts the visits of that node without end. `slug` is never
    empty; `file` is empty for the whole paste. `country` is ISO 3166-1 alpha-2, `referrer` a host name; empty for
    unknown, like everything that a reader who wants it so keeps to herself. `visitor` and `visitor_before` are the
    pseudonyms (`pastebin.visitors`) under the salt of `period` (days since 1970) and under the one before; 0 for
    unknown. `duration_us` is from the request's head to the end of the answer; `bytes` are those of the body.
    """

    number: Whole
    at_ms: Whole
    slug: Slug
    file: Name
    kind: VisitKind
    cache: CacheStatus
    region: Word
    pop: Word
    country: Annotated[str, Meta(max_length=2)]
    referrer: Name
    agent: Word
    agent_class: Word
    is_bot: bool
    status: Annotated[int, Meta(ge=100, le=599)]
    bytes: Size
    duration_us: Annotated[int, Meta(ge=0, le=2**37)]
    weight: Annotated[int, Meta(ge=1, le=2**20)]
    period: Annotated[int, Meta(ge=0, le=2**31 - 2)]
    visitor: Whole
    visitor_before: Whole


class Change(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Something that happened to a paste. `number` is its place in the primary's outbox, by which it is known."""

    number: Whole
    at_ms: Whole
    kind: ChangeKind
    slug: Slug
    size: Size
    syntax: Word


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent at once, and committed at once under its `id`. A sender makes the same batch from the same id.

    `node` is the name of the sender's place in its spool (visits), or the name of the feed's history (changes):
    together with a `number` it identifies an event for ever.
    """

    id: str
    node: str
    visits: list[Visit] = []
    changes: list[Change] = []


class SaltsMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The salts on their way to a node without a database: hexadecimal, `previous` empty where there is none."""

    period: Annotated[int, Meta(ge=0, le=2**31 - 2)]
    current: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    previous: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{32})?\Z")] = ""

    def __repr__(self) -> str:
        """Salts never show themselves."""
        return f"SaltsMessage(period={self.period})"
