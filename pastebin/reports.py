"""What is answered about visits: the shapes that the analytics service gives and that pages and documents show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

Granularity = Literal["minute", "hour", "day", "week", "month"]
Audience = Literal["people", "bots", "all"]
Format = Literal["json", "csv"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
AUDIENCES: tuple[Audience, ...] = get_args(Audience)

MOMENT = "RFC 3339 such as 2026-11-22T10:00:00Z, or so long before now: 90m, 24h, 7d, 4w, 1y"


class ReportQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every report can be asked; times are widened to whole buckets of the granularity."""

    since: Annotated[str, Meta(description=MOMENT)] = ""
    until: Annotated[str, Meta(description=f"{MOMENT}; now if left out")] = ""
    granularity: Annotated[Granularity | None, Meta(description="The one that fits the range if left out")] = None
    zone: Annotated[str, Meta(description="An IANA time zone such as Europe/Berlin: where days begin")] = "UTC"
    audience: Annotated[Audience, Meta(description="bots are recorded, and left out unless asked for")] = "people"
    format: Annotated[Format | None, Meta(description="As the Accept header, which it overrides")] = None


class ListQuery(ReportQuery, frozen=True):
    """A report of values with the most visits, page by page."""

    slug: Annotated[str, Meta(description="Visits of one paste only")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="How many values at once")] = 20
    cursor: Annotated[str, Meta(max_length=4096, description="From the Link header, or from `next`")] = ""


class TopQuery(ListQuery, frozen=True):
    """The values of one of several dimensions."""

    by: Literal["slug", "file", "kind", "status"] = "slug"


class ClientsQuery(ListQuery, frozen=True):
    """Programs that read."""

    by: Literal["agent", "agent_class"] = "agent"


class RegionsQuery(ListQuery, frozen=True):
    """Places that serve."""

    by: Literal["region", "pop"] = "region"


class SeriesQuery(ReportQuery, frozen=True):
    """A report by time."""

    slug: Annotated[str, Meta(description="Visits of one paste only")] = ""


class StatsQuery(ReportQuery, frozen=True):
    """What can be asked about one paste; as CSV it is one of the tables."""

    table: Literal["series", "countries", "referrers", "clients", "kinds"] = "series"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Sums over visits.

    `daily_visitors` adds up the different visitors of every day (UTC): who comes on two days counts twice. `hits` were
    answered by a cache; `errors` had a status of 500 or more.
    """

    visits: int
    daily_visitors: int
    bytes: int
    hits: int
    errors: int
    mean_milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment(Figures):
    """One bucket of time: from `at` to the next one's."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Value(Figures):
    """One value of a dimension; empty for unknown."""

    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What happened to pastes in one bucket of time."""

    at: datetime
    created: int
    revised: int
    deleted: int
    expired: int
    burned: int
    reported: int
    taken_down: int
    bytes_created: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an answer is about: `since` included, `until` not, both at the edges of buckets."""

    since: datetime
    until: datetime
    granularity: Granularity
    zone: str
    audience: Audience


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewReport(Scope):
    """Sums, those of the same time before, and what happened to pastes."""

    totals: Figures
    before: Figures
    stored: Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesReport(Scope):
    """Sums by time."""

    rows: list[Moment]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListReport(Scope):
    """Values with the most visits first; `next` is the address of what comes after them."""

    dimension: str
    rows: list[Value]
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageReport(Scope):
    """Changes of pastes by time."""

    rows: list[Stored]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsReport(Scope):
    """Everything that a page shows; `heat` is visits by weekday (Monday first) and hour of the zone since `heat_since`.

    `caches` has values by region on the dashboard only, as `pastes`, `regions` and `stored` do.
    """

    totals: Figures
    before: Figures
    series: list[Moment]
    countries: list[Value]
    referrers: list[Value]
    clients: list[Value]
    kinds: list[Value]
    heat: list[list[int]]
    heat_since: datetime
    pastes: list[Value]
    caches: list[Value]
    regions: list[Value]
    stored: list[Stored]


class StatsQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one node asks another about a paste; `query` as it came."""

    slug: str
    query: dict[str, str]
