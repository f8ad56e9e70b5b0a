"""How long the answer to a request may take, carried from who asks to whatever the answer depends on.

Requests without a deadline cost one look here. Tasks that serve many requests at once run without one.
"""

from __future__ import annotations

import re
import time
from contextvars import ContextVar

from pastebin.errors import DeadlinePassed

# When the answer to the request that the current task works for has to have begun: a time of the monotonic clock.
DUE: ContextVar[float | None] = ContextVar("due", default=None)

_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
# A refusal has to reach whoever asks before he gives up: so much of his patience is kept for its way.
_WAY_SHARE = 0.1
_LONGEST_WAY_SECONDS = 0.05
# What an answer depends on gets less than all that is left, so that something can be said when it does not come.
_SHARE = 0.9


def read(text: str) -> float | None:
    """Seconds as they are told from node to node; None for what says nothing."""
    return float(text) if _SECONDS.fullmatch(text) else None


def due(told_seconds: float, most_seconds: float, now: float) -> float:
    """When to have answered who waits for `told_seconds`, of which `most_seconds` are believed."""
    seconds = min(told_seconds, most_seconds)
    return now + seconds - min(seconds * _WAY_SHARE, _LONGEST_WAY_SECONDS)


def left() -> float | None:
    """The seconds that the current request has left, 0 when they are over; None without a deadline."""
    at = DUE.get()
    return None if at is None else max(at - time.monotonic(), 0.0)


def within(seconds: float) -> float:
    """How long something may take that would be given `seconds`: less where less is left.

    Raises DeadlinePassed where nothing is, so that it is not begun.
    """
    if (rest := left()) is None:
        return seconds
    if not rest:
        raise DeadlinePassed
    return min(seconds, rest * _SHARE)
