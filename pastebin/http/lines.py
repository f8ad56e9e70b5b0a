"""Which lines of a body are asked for: `?lines=10-20`. The first line is 1."""

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
