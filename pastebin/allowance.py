"""A token bucket: so many per second on average, a few more at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Bucket:
    """Holds up to `burst` tokens and gains `per_second` of them; `level` is what it held at the time `at`."""

    per_second: float
    burst: float
    level: float
    at: float

    @classmethod
    def full(cls, per_second: float, burst: float, now: float) -> Bucket:
        return cls(per_second, burst, burst, now)

    def take(self, now: float) -> tuple[Bucket, bool]:
        """The bucket afterwards, and whether there was a token to use up."""
        later = self._at(now)
        return (replace(later, level=later.level - 1), True) if later.level >= 1 else (later, False)

    def charge(self, now: float) -> Bucket:
        """The bucket without a token that is used up already; what it lacks then has to come in before the next one."""
        later = self._at(now)
        return replace(later, level=later.level - 1)

    def wait_seconds(self, now: float) -> float:
        """How long until there is a token; infinite if there never will be."""
        lacking = 1 - self._at(now).level
        if lacking <= 0:
            return 0.0
        return lacking / self.per_second if self.per_second > 0 and self.burst >= 1 else math.inf

    def _at(self, now: float) -> Bucket:
        """A clock that goes back brings nothing and takes nothing."""
        level = min(self.burst, self.level + max(now - self.at, 0.0) * self.per_second)
        return replace(self, level=level, at=max(now, self.at))


class Allowance:
    """A bucket that knows the time; starts full."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bucket = Bucket.full(per_second, burst, clock())

    def take(self) -> bool:
        """Use up one token if there is one."""
        self._bucket, taken = self._bucket.take(self._clock())
        return taken

    def wait_seconds(self) -> float:
        """How long until there is one."""
        return self._bucket.wait_seconds(self._clock())
