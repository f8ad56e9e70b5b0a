"""Pauses between attempts: exponential back-off with jitter.

Source: M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), there called equal jitter.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from `first_seconds` to `longest_seconds`; the upper half of each is chance.

    So those who failed together do not return together.
    """

    first_seconds: float
    longest_seconds: float
    chance: Callable[[], float] = field(default=random.random, repr=False)

    def pause_seconds(self, failures: int) -> float:
        """Before the next attempt, after so many failures in a row (1 or more)."""
        longest = min(self.first_seconds * 2.0 ** min(failures - 1, 30), self.longest_seconds)
        return longest * (0.5 + self.chance() / 2)
