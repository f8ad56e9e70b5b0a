"""Answers out of what is stored, or is being stored: conditions, ranges and HEAD (RFC 9111, section 4.3.2). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from multidict import CIMultiDict, MultiMapping

from pastebin.cdn.intents import Intent
from pastebin.cdn.validation import modified
from pastebin.errors import RangeUnsatisfiable
from pastebin.http import ranges
from pastebin.http.conditions import Conditions, evaluate, parse_date, range_applies
from pastebin.http.ranges import Unsatisfiable

# RFC 9110, section 15.4.5, and Last-Modified for who has no entity tag.
OF_304 = (
    "Cache-Control",
    "CDN-Cache-Control",
    "Content-Location",
    "Date",
    "ETag",
    "Expires",
    "Last-Modified",
    "Vary",
)


@dataclass(slots=True)
class Delivery:
    """One answer: its head, and which bytes of the body belong to it. `stop` is None where the size is not known."""

    status: int
    headers: CIMultiDict[str]
    start: int = 0
    stop: int | None = None
    has_body: bool = True

    @property
    def length(self) -> int | None:
        return None if self.stop is None else self.stop - self.start


def deliver(intent: Intent, status: int, headers: MultiMapping[str], size: int | None, responded_at: float) -> Delivery:
    """What of a stored answer goes to this request. Raises RangeUnsatisfiable."""
    if 200 <= status <= 299 and _has_it_already(intent, headers, responded_at):
        return Delivery(304, CIMultiDict((name, v) for name in OF_304 for v in headers.getall(name, ())), 0, 0, False)
    if status == 200 and size is not None and not intent.is_head:
        found = _range(intent, headers, size)
        if isinstance(found, Unsatisfiable):
            raise RangeUnsatisfiable(f"The content has {size} bytes.", size=size)
        if found is not None:
            part = CIMultiDict(headers)
            part["Content-Range"] = ranges.content_range(found, size)
            return Delivery(206, part, found.first, found.last + 1)
    return Delivery(status, CIMultiDict(headers), 0, size, not intent.is_head)


def first_byte(intent: Intent, headers: MultiMapping[str], size: int) -> int:
    """Where the part begins that is asked for, in a body of this size; 0 for the whole."""
    found = _range(intent, headers, size)
    return found.first if isinstance(found, ranges.Range) else 0


def _has_it_already(intent: Intent, headers: MultiMapping[str], responded_at: float) -> bool:
    asked = Conditions.of(intent.headers)
    if asked.if_none_match is None and asked.if_modified_since is None:
        return False
    known = Conditions(if_none_match=asked.if_none_match, if_modified_since=asked.if_modified_since)
    return evaluate(known, etag=headers.get("ETag"), modified=modified(headers, responded_at)) == "not-modified"


def _range(intent: Intent, headers: MultiMapping[str], size: int) -> ranges.Range | Unsatisfiable | None:
    lines = intent.headers.getall("Range", ())
    if len(lines) != 1 or not range_applies(intent.headers.get("If-Range"), headers.get("ETag"), _proven(headers)):
        return None
    return ranges.parse_range(lines[0], size)


def _proven(headers: MultiMapping[str]) -> datetime | None:
    """Last-Modified where it is a strong validator: a second older than the answer (RFC 9110, section 8.8.2.2)."""
    moment, date = (parse_date(headers.get(name, "")) for name in ("Last-Modified", "Date"))
    return moment if moment is not None and date is not None and (date - moment).total_seconds() >= 1 else None
