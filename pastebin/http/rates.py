"""How often one client may ask for something."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from pastebin.allowance import Bucket
from pastebin.errors import RateLimited
from pastebin.http.capacity import source_of

_MOST = 16_384


class Rates:
    """A token bucket for each address, or /64 of IPv6, and thing it asks for; keeps the latest ones, in memory only."""

    def __init__(
        self, per_second: float, burst: int, *, most: int = _MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def take(self, address: str, thing: str = "") -> None:
        """Use up one of what the client has. Raises RateLimited."""
        now, key = self._clock(), (source_of(address), thing)
        bucket = self._buckets.pop(key, None) or Bucket.full(self._per_second, self._burst, now)
        bucket, is_taken = bucket.take(now)
        self._keep(key, bucket)
        if not is_taken:
            raise RateLimited(retry_after_seconds=math.ceil(bucket.wait_seconds(now)))

    def require(self, address: str, thing: str = "") -> None:
        """Raises RateLimited where `take` would, and takes nothing."""
        bucket = self._buckets.get((source_of(address), thing))
        if bucket is not None and (wait := bucket.wait_seconds(self._clock())) > 0:
            raise RateLimited(retry_after_seconds=math.ceil(wait))

    def charge(self, address: str, thing: str = "") -> None:
        """Use up one, be it there or not."""
        now, key = self._clock(), (source_of(address), thing)
        bucket = self._buckets.pop(key, None) or Bucket.full(self._per_second, self._burst, now)
        self._keep(key, bucket.charge(now))

    def _keep(self, key: tuple[str, str], bucket: Bucket) -> None:
        self._buckets[key] = bucket
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
