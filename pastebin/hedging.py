"""When a read has taken so long that another node is asked as well: the p95 of late. Pure.

Dean and Barroso, "The Tail at Scale" (2013): hedged requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

_FEWEST = 50
# Buckets grow by a tenth, from a tenth of a millisecond to more than a minute.
_SMALLEST_SECONDS = 0.0001
_GROWTH = math.log(1.1)
_BUCKETS = 150
# When so many are counted, all are halved: what was an hour ago does not matter.
_MOST = 2000


@dataclass(slots=True)
class Latencies:
    """A histogram of latencies that forgets. Quantiles are right to a tenth."""

    _counts: list[float] = field(default_factory=lambda: [0.0] * _BUCKETS)
    _total: float = 0.0
    _until_asked: int = 0
    _known: float | None = None

    def observe(self, seconds: float) -> None:
        index = int(math.log(max(seconds, _SMALLEST_SECONDS) / _SMALLEST_SECONDS) / _GROWTH)
        self._counts[min(index, _BUCKETS - 1)] += 1
        self._total += 1
        self._until_asked -= 1
        if self._total >= _MOST:
            self._counts = [count / 2 for count in self._counts]
            self._total /= 2

    def p95(self) -> float | None:
        """In seconds; None before enough is known. Looked up anew after every fifty observations."""
        if self._total < _FEWEST:
            return None
        if self._known is None or self._until_asked <= 0:
            self._known, self._until_asked = self._quantile(0.95), _FEWEST
        return self._known

    def _quantile(self, share: float) -> float:
        left = self._total * share
        for index, count in enumerate(self._counts):
            left -= count
            if left <= 0:
                return float(_SMALLEST_SECONDS * math.exp(_GROWTH * (index + 1)))
        return float(_SMALLEST_SECONDS * math.exp(_GROWTH * _BUCKETS))
