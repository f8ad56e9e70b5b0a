"""A token bucket: so many per second on average, a few more at once."""

from __future__ import annotations

import time
from collections.abc import Callable


class Allowance:
    """Holds up to `burst` tokens and gains `per_second` of them; starts full."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._since = clock()

    def take(self) -> bool:
        """Use up one token if there is one."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + max(now - self._since, 0.0) * self._per_second)
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
