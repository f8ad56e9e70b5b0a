"""Questions: from a query string to a stretch of time cut into buckets, wherever days begin."""

from __future__ import annotations

import base64
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec

from pastebin.analytics.engines import Filter, Span
from pastebin.errors import InvalidQuestion, Problem
from pastebin.http import payloads
from pastebin.reports import MOMENT, Granularity, ReportQuery, Scope

# As many points as a chart of a day by minutes has.
MOST_BUCKETS = 1500
# Zones had offsets with seconds before; every edge since then lies on a full minute.
FIRST = datetime(2000, 1, 1, tzinfo=UTC)
DEFAULT_RANGE = timedelta(hours=24)

_AGO = re.compile(r"([0-9]{1,6})([mhdwy])", re.ASCII)
_UNITS = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
# The longest range that is shown in such steps unless others are asked for.
_FITTING: tuple[tuple[timedelta, Granularity], ...] = (
    (timedelta(hours=3), "minute"),
    (timedelta(days=4), "hour"),
    (timedelta(days=120), "day"),
    (timedelta(days=800), "week"),
)
_LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}

Asked = TypeVar("Asked", bound=ReportQuery)
After = tuple[int, str]


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a list goes on: behind the value that has so many visits, in the very same stretch of time."""

    visits: int
    value: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Question:
    """`edges` ascend, lie on full minutes and hold the whole range that was asked for."""

    edges: tuple[datetime, ...]
    granularity: Granularity
    zone: ZoneInfo
    which: Filter
    after: After | None = None

    @property
    def span(self) -> Span:
        return Span(self.edges[0], self.edges[-1])

    @property
    def before(self) -> Span:
        """As long a time, just before this one."""
        return Span(self.edges[0] - (self.edges[-1] - self.edges[0]), self.edges[0])

    @property
    def scope(self) -> dict[str, Any]:
        """The members of a Scope."""
        scope = Scope(
            since=self.edges[0].astimezone(self.zone),
            until=self.edges[-1].astimezone(self.zone),
            granularity=self.granularity,
            zone=self.zone.key,
            audience=self.which.audience,
        )
        return {name: getattr(scope, name) for name in Scope.__slots__}

    def cursor(self, visits: int, value: str) -> str:
        """For the values behind this one."""
        since, until = int(self.edges[0].timestamp()), int(self.edges[-1].timestamp())
        text = msgspec.json.encode(Cursor(visits, value, since, until))
        return base64.urlsafe_b64encode(text).decode().rstrip("=")


def read(
    struct: type[Asked], query: Mapping[str, str], now: datetime, longest: timedelta, *, slug: str | None = None
) -> tuple[Asked, Question]:
    """The query as a Struct, and what it asks. Raises InvalidQuestion with every problem at once.

    `longest` bounds the range; with `slug` the question is about that paste.
    """
    given = {name: text for name, text in query.items() if text}  # a form sends what was left empty
    asked, wrong = payloads.read_all(struct, given, strict=False)
    question, problems = _asked(asked, now, longest, slug)
    fields = {problem.field for problem in wrong}
    problems = [*wrong, *(problem for problem in problems if problem.field not in fields)]
    if question is None or problems:
        raise InvalidQuestion(problems)
    return asked, question


def _asked(
    asked: ReportQuery, now: datetime, longest: timedelta, slug: str | None
) -> tuple[Question | None, list[Problem]]:
    problems: list[Problem] = []
    zone = _zone(asked.zone)
    if zone is None:
        problems.append(Problem("zone", "must be the name of an IANA time zone, such as UTC or Europe/Berlin"))
    cursor = _cursor(getattr(asked, "cursor", ""), problems)
    if cursor is not None:
        since: datetime | None = datetime.fromtimestamp(cursor.since, UTC)
        until: datetime | None = datetime.fromtimestamp(cursor.until, UTC)
    else:
        until = _moment("until", asked.until or "0m", now, problems)
        default = max(until, FIRST) - DEFAULT_RANGE if until is not None else None
        since = _moment("since", asked.since, now, problems) if asked.since else default
    if since is not None and until is not None:
        problems += _range(since, until, now, longest)
    granularity = asked.granularity
    if since is not None and until is not None:
        granularity = granularity or fitting(until - since)
        if (until - since) / _LENGTHS[granularity] > 2 * MOST_BUCKETS:
            problems.append(_too_fine())
    if problems or zone is None or since is None or until is None or granularity is None:
        return None, problems
    edges = buckets(since, until, granularity, zone)
    if len(edges) - 1 > MOST_BUCKETS:
        return None, [_too_fine()]
    which = Filter(slug or getattr(asked, "slug", "") or None, asked.audience)
    after = (cursor.visits, cursor.value) if cursor is not None else None
    return Question(edges, granularity, zone, which, after), []


def _too_fine() -> Problem:
    return Problem("granularity", f"is too fine for this range: there may be {MOST_BUCKETS} steps at most")


def _range(since: datetime, until: datetime, now: datetime, longest: timedelta) -> Iterator[Problem]:
    if since >= until:
        yield Problem("since", "must be before until")
    elif until - since > longest:
        yield Problem("since", f"must be {longest.days} days before until at most")
    if since < FIRST:
        yield Problem("since", "must not be before the year 2000")
    if until > now + timedelta(days=1):
        yield Problem("until", "must not be in the future")


def fitting(length: timedelta) -> Granularity:
    """The steps in which a range of this length is best shown."""
    return next((granularity for most, granularity in _FITTING if length <= most), "month")


def buckets(since: datetime, until: datetime, granularity: Granularity, zone: ZoneInfo) -> tuple[datetime, ...]:
    """The edges of the buckets that hold everything from `since` to `until`, as moments in UTC.

    Days, weeks (from Monday, ISO 8601) and months begin where they do in `zone`, so days have 23 to 25 hours around
    changes of the clock; hours and minutes are counted from the beginning of their day. A day that a zone has left out
    is none.
    """
    if granularity == "minute":
        return _minutes(since, until)
    first, last = since.astimezone(zone).date(), until.astimezone(zone).date()
    if granularity == "hour":
        starts = list(_hours(first, last, zone))
    else:
        starts = [_start(day, zone) for day in _days(first, last, granularity)]
    found = sorted(set(starts))
    return tuple(found[bisect_right(found, since) - 1 : bisect_left(found, until) + 1])


def _minutes(since: datetime, until: datetime) -> tuple[datetime, ...]:
    minute = timedelta(minutes=1)
    first = since.astimezone(UTC).replace(second=0, microsecond=0)
    count = -((first - until) // minute)
    return tuple(first + index * minute for index in range(max(count, 1) + 1))


def _hours(first: date, last: date, zone: ZoneInfo) -> Iterator[datetime]:
    day = first - timedelta(days=1)  # a zone that skips its midnight begins its day a little later
    while day <= last + timedelta(days=1):
        following = day + timedelta(days=1)
        at, end = _start(day, zone), _start(following, zone)
        while at < end:
            yield at
            at += timedelta(hours=1)
        day = following


def _days(first: date, last: date, granularity: Granularity) -> Iterator[date]:
    if granularity == "month":
        for month in range(first.year * 12 + first.month - 2, last.year * 12 + last.month + 1):
            yield date(month // 12, month % 12 + 1, 1)
        return
    step = timedelta(days=7 if granularity == "week" else 1)
    day = first - timedelta(days=first.weekday() if granularity == "week" else 0) - step
    while day <= last + step:
        yield day
        day += step


def _start(day: date, zone: ZoneInfo) -> datetime:
    """The moment in which a day begins; where there is no midnight, the one in which the clock was put on."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """The names of all time zones that mean the same everywhere."""
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def _zone(name: str) -> ZoneInfo | None:
    # the name becomes part of a path: only known ones may
    if name not in zones():
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _moment(field: str, text: str, now: datetime, problems: list[Problem]) -> datetime | None:
    if found := _AGO.fullmatch(text):
        ago = int(found[1]) * _UNITS[found[2]]
        if ago < now - FIRST:
            return now - ago
    else:
        try:
            at = datetime.fromisoformat(text)
            if at.tzinfo is not None:
                return at.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    problems.append(Problem(field, f"must be {MOMENT}"))
    return None


def _cursor(text: str, problems: list[Problem]) -> Cursor | None:
    if not text:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Cursor)
        datetime.fromtimestamp(max(found.since, found.until), UTC)
        datetime.fromtimestamp(min(found.since, found.until), UTC)
    except (ValueError, OverflowError, OSError):
        problems.append(Problem("cursor", "is not one that was given here"))
        return None
    return found
