"""Which part of a body a Range header asks for: RFC 9110, section 14."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Longer numbers than any size count as malformed: int() of hostile text must stay cheap.
_SPEC = re.compile(r"([0-9]{1,100})-([0-9]{0,100})|-([0-9]{1,100})")
_OWS = " \t"


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes `first` to `last` of a body, both included; always within the body it was parsed for."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """A well-formed range of which the body has no byte: the answer is 416."""


def parse_range(header: str | None, size: int) -> Range | Unsatisfiable | None:
    """What `Range: header` asks of a body of `size` bytes; None means that the whole body is the answer.

    A server may ignore the header (section 14.2) and does so when it is malformed, in another unit than
    bytes, or asks for several ranges.
    """
    if header is None:
        return None
    unit, _, ranges = header.strip(_OWS).partition("=")
    if unit.lower() != "bytes":
        return None
    specs = [spec for item in ranges.split(",") if (spec := item.strip(_OWS))]
    found = _SPEC.fullmatch(specs[0]) if len(specs) == 1 else None
    if found is None:
        return None
    first, last, suffix = found.groups()
    return _suffix(int(suffix), size) if suffix else _span(int(first), int(last) if last else None, size)


def content_range(part: Range | Unsatisfiable, size: int) -> str:
    """The Content-Range header of a 206 or 416 answer (section 14.4)."""
    return f"bytes {part.first}-{part.last}/{size}" if isinstance(part, Range) else f"bytes */{size}"


def _span(first: int, last: int | None, size: int) -> Range | Unsatisfiable | None:
    if last is not None and last < first:
        return None
    if first >= size:
        return Unsatisfiable()
    return Range(first, size - 1 if last is None else min(last, size - 1))


def _suffix(length: int, size: int) -> Range | Unsatisfiable | None:
    if length == 0:
        return Unsatisfiable()
    # The last bytes of an empty body are satisfiable (14.1.2), but no Content-Range can say so.
    return Range(max(size - length, 0), size - 1) if size else None
