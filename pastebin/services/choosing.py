"""What the form above statistics offers, and what is chosen in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import available_timezones

from pastebin.phrases import N_, Phrase

Options = tuple[tuple[str, str], ...]

RANGES: Options = (
    ("60m", N_("The last hour")),
    ("24h", N_("The last 24 hours")),
    ("7d", N_("The last 7 days")),
    ("30d", N_("The last 30 days")),
    ("90d", N_("The last 90 days")),
    ("1y", N_("The last year")),
)
GRANULARITIES: Options = (
    ("", N_("As they fit")),
    ("minute", N_("Minutes")),
    ("hour", N_("Hours")),
    ("day", N_("Days")),
    ("week", N_("Weeks")),
    ("month", N_("Months")),
)
AUDIENCES: Options = (("people", N_("People")), ("bots", N_("Bots")), ("all", N_("People and bots")))
DEFAULT_RANGE = "24h"

_AREAS = ("Africa/", "America/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of each control, and the one that is chosen."""

    since: str
    granularity: str
    zone: str
    audience: str
    ranges: Options
    zones: tuple[str, ...]
    granularities: Options = GRANULARITIES
    audiences: Options = AUDIENCES


def choices(query: Mapping[str, str]) -> Choices:
    """For what was asked; a range that is not among ours stays to be chosen as it is."""
    since = query.get("since") or DEFAULT_RANGE
    ranges = RANGES if since in dict(RANGES) else (*RANGES, (since, Phrase("Since %(day)s", day=since)))
    return Choices(
        since,
        query.get("granularity", ""),
        query.get("zone") or "UTC",
        query.get("audience") or "people",
        ranges,
        zones(),
    )


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    """The time zones to choose from; any other that there is can be typed."""
    return ("UTC", *sorted(name for name in available_timezones() if name.startswith(_AREAS)))
