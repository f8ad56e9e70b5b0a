"""Whether a conditional request is carried out: RFC 9110, section 13."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from multidict import MultiMapping

Outcome = Literal["proceed", "not-modified", "failed"]

# Section 8.8.3; everything above ASCII is obs-text, however it was decoded.
_ITEM = re.compile('[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\U0010ffff]*")[ \t]*(?:,|$)')
_DATES = (
    re.compile("[A-Z][a-z]{2}, (?P<day>[0-9]{2}) (?P<month>[A-Za-z]{3}) (?P<year>[0-9]{4}) (?P<time>[0-9:]{8}) GMT"),
    re.compile("[A-Z][a-z]{5,8}, (?P<day>[0-9]{2})-(?P<month>[A-Za-z]{3})-(?P<year>[0-9]{2}) (?P<time>[0-9:]{8}) GMT"),
    re.compile("[A-Z][a-z]{2} (?P<month>[A-Za-z]{3}) (?P<day>[ 0-9][0-9]) (?P<time>[0-9:]{8}) (?P<year>[0-9]{4})"),
)
_TIME = re.compile("([0-9]{2}):([0-9]{2}):([0-9]{2})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PIVOT = 70


@dataclass(frozen=True, slots=True)
class Conditions:
    """The precondition headers of one request as they were sent, lines of the same name joined."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None

    @classmethod
    def of(cls, headers: MultiMapping[str]) -> Conditions:
        return cls(
            _joined(headers, "If-Match"),
            _joined(headers, "If-None-Match"),
            _joined(headers, "If-Modified-Since"),
            _joined(headers, "If-Unmodified-Since"),
        )


def evaluate(conditions: Conditions, *, etag: str | None, modified: datetime | None, is_read: bool = True) -> Outcome:
    """Weigh the conditions in the order of section 13.2.2.

    `etag` is the current one as the ETag header carries it, with quotes; None if there is no representation.
    `is_read` is true for GET and HEAD. "failed" is 412. Malformed dates are ignored; a malformed list of tags
    matches nothing.
    """
    if conditions.if_match is not None:
        if not _matches_strongly(conditions.if_match, etag):
            return "failed"
    elif _is_later(modified, conditions.if_unmodified_since):
        return "failed"
    if conditions.if_none_match is not None:
        if _matches_weakly(conditions.if_none_match, etag):
            return "not-modified" if is_read else "failed"
    elif is_read and _is_later(modified, conditions.if_modified_since) is False:
        return "not-modified"
    return "proceed"


def range_applies(if_range: str | None, etag: str | None, modified: datetime | None) -> bool:
    """Whether Range is to be honoured beside this If-Range (section 13.1.5); if not, the body is sent whole.

    Tags compare strongly. A date must be exactly `modified`: pass None where content may change twice within
    a second, for then a date proves nothing.
    """
    if if_range is None:
        return True
    if '"' in if_range:
        return etag is not None and not etag.startswith("W/") and if_range.strip(" \t") == etag
    moment = parse_date(if_range)
    return moment is not None and modified is not None and moment == modified.replace(microsecond=0)


def entity_tags(value: str) -> list[str] | None:
    """The tags of a list, each with its quotes and its W/ if it has one; None if it is malformed or empty."""
    tags: list[str] = []
    position = 0
    while position < len(value):
        item = _ITEM.match(value, position)
        if item is None:
            return tags if tags and not value[position:].strip(" \t,") else None
        tags.append(item[1])
        position = item.end()
    return tags or None


def parse_date(value: str) -> datetime | None:
    """An HTTP date in any of the three forms of section 5.6.7; None if it is none of them.

    Two-digit years from 70 on belong to the last century.
    """
    text = value.strip(" \t")
    found = next((match for form in _DATES if (match := form.fullmatch(text))), None)
    clock = _TIME.fullmatch(found["time"]) if found else None
    if found is None or clock is None or found["month"] not in _MONTHS:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 1900 if year >= _PIVOT else 2000
    hour, minute, second = (int(part) for part in clock.groups())
    second -= second == 60  # a leap second, which Python does not know
    try:
        return datetime(year, _MONTHS.index(found["month"]) + 1, int(found["day"]), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _joined(headers: MultiMapping[str], name: str) -> str | None:
    lines = headers.getall(name, ())
    return ", ".join(lines) if lines else None


def _matches_strongly(value: str, etag: str | None) -> bool:
    if etag is None:
        return False
    if value.strip(" \t") == "*":
        return True
    return not etag.startswith("W/") and etag in (entity_tags(value) or ())


def _matches_weakly(value: str, etag: str | None) -> bool:
    if etag is None:
        return False
    if value.strip(" \t") == "*":
        return True
    return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in entity_tags(value) or ()]


def _is_later(modified: datetime | None, date: str | None) -> bool | None:
    """Whether `modified`, in whole seconds, is after `date`; None where either is missing or unreadable."""
    moment = parse_date(date) if date is not None else None
    if moment is None or modified is None:
        return None
    return modified.replace(microsecond=0) > moment
