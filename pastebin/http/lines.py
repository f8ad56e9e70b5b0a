"""Some lines of a body: `?lines=10-20`. A line ends with \\n and keeps its end; the first line is 1."""

from __future__ import annotations

import re

_LINES = re.compile("([0-9]{1,15})(?:(-)([0-9]{1,15})?)?|-([0-9]{1,15})")
_ALLOWED = "must be 10 (one line), 10-20 (both included), 10- (to the end) or -20 (the first 20); lines count from 1"


def parse_lines(text: str) -> tuple[int, int | None]:
    """The first and the last line that `text` names, both included; the last is None where it is open.

    Raises ValueError, whose message says what is allowed.
    """
    found = _LINES.fullmatch(text)
    if found is None:
        raise ValueError(_ALLOWED)
    single, dash, until, head = found.groups()
    first = int(single or 1)
    end = head or until
    last = int(end) if end else None if dash else first
    if first < 1 or (last is not None and last < first):
        raise ValueError(_ALLOWED)
    return first, last


class LineWindow:
    """Cuts lines `first` to `last` out of a body that arrives in chunks, and keeps none of it."""

    def __init__(self, first: int, last: int | None) -> None:
        self._ends_before = first - 1
        self._ends_within = None if last is None else last - first + 1

    @property
    def done(self) -> bool:
        """Whether nothing that may still come belongs to the window."""
        return self._ends_within == 0

    def feed(self, chunk: bytes) -> bytes:
        """The part of the next chunk that belongs to the window."""
        start = 0
        if self._ends_before:
            start, self._ends_before = _skip(chunk, 0, self._ends_before)
        if self._ends_before or self._ends_within is None:
            return chunk[start:]
        stop, self._ends_within = _skip(chunk, start, self._ends_within)
        return chunk[start:stop]


def _skip(chunk: bytes, start: int, ends: int) -> tuple[int, int]:
    """The position behind so many line ends from `start` on, and how many of them the chunk does not have."""
    found = chunk.count(b"\n", start)
    if found < ends:
        return len(chunk), ends - found
    if not ends:
        return start, 0
    stop = len(chunk)
    while stop - start > 1:  # counting in halves is far faster than finding one line end after another
        middle = (start + stop) // 2
        found = chunk.count(b"\n", start, middle)
        if found < ends:
            start, ends = middle, ends - found
        else:
            stop = middle
    return stop, 0
