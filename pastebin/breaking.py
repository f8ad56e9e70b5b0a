"""Whether a server is given requests, told from what became of the last ones. Decisions on values and `now`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "half-open", "open"]

# Failures in a row, or their share among so many requests of late, that take a node out.
_IN_A_ROW = 5
_SHARE = 0.5
_FEWEST = 20.0
_MEMORY_SECONDS = 10.0
_LONGEST_SECONDS = 30.0
_CALM_SECONDS = 60.0


@dataclass(slots=True)
class Circuit:
    """A circuit breaker with ejection of outliers: closed, open for a while, then half-open for one request at a time.

    Every opening that follows another within a minute lasts twice as long, up to `longest_seconds`.
    """

    base_seconds: float
    longest_seconds: float = _LONGEST_SECONDS
    in_a_row: int = 0
    openings: int = 0
    open_until: float = -math.inf
    is_open: bool = False
    is_tried: bool = False  # by the one request that it is given half-open
    _requests: float = 0.0  # of late: older ones count for less
    _failures: float = 0.0
    _at: float = -math.inf

    def state(self, now: float) -> State:
        if not self.is_open:
            return "closed"
        return "half-open" if now >= self.open_until else "open"

    def admits(self, now: float) -> bool:
        """Whether a request may be sent."""
        return not self.is_open or (now >= self.open_until and not self.is_tried)

    def began(self, now: float) -> None:
        """A request is sent. Its end is told by `succeeded`, `failed` or `given_up`."""
        if self.is_open and now >= self.open_until:
            self.is_tried = True

    def succeeded(self, now: float) -> None:
        if self.is_open and now < self.open_until:
            return  # of a request from before it opened
        self.is_open = self.is_tried = False
        self.in_a_row = 0
        self._count(now, failed=False)

    def failed(self, now: float) -> None:
        self.in_a_row += 1
        self._count(now, failed=True)
        if self.is_open and now < self.open_until:
            return  # what fails together is one failure
        is_outlier = self._requests >= _FEWEST and self._failures >= _SHARE * self._requests
        if self.is_open or is_outlier or self.in_a_row >= _IN_A_ROW:
            self._open(now)

    def given_up(self) -> None:
        """The request ended without telling anything of the node."""
        self.is_tried = False

    def _open(self, now: float) -> None:
        is_calm = now - self.open_until > _CALM_SECONDS
        self.openings = 1 if is_calm else self.openings + 1
        self.open_until = now + min(self.base_seconds * 2.0 ** min(self.openings - 1, 10), self.longest_seconds)
        self.is_open, self.is_tried, self.in_a_row = True, False, 0
        self._requests = self._failures = 0.0

    def _count(self, now: float, *, failed: bool) -> None:
        kept = math.exp(-max(now - self._at, 0.0) / _MEMORY_SECONDS)
        self._requests = self._requests * kept + 1
        self._failures = self._failures * kept + failed
        self._at = max(now, self._at)
