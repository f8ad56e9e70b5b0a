"""Response rate limiting: a name server is no amplifier of what was sent under somebody else's address."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address

_MOST = 65_536


class Verdict(Enum):
    """What to do with one response."""

    SEND = "send"
    SLIP = "slip"  # send it empty and truncated: who is really there comes back by TCP
    DROP = "drop"


class Limits:
    """Counts responses that are alike, by network and by what is answered, in buckets that hold one second's worth.

    After BIND's and NSD's RRL. What is not in the table any more (the least recently used goes first) begins anew.
    """

    def __init__(self, per_second: int, slip: int, most: int = _MOST) -> None:
        self._per_second = per_second
        self._slip = slip
        self._most = most
        self._buckets: OrderedDict[tuple[str, bytes], tuple[float, float, int]] = OrderedDict()  # level, at, refused

    def verdict(self, network: str, kind: bytes, now: float) -> Verdict:
        """Take account of one response. `kind` is alike for responses that are: the name, or the zone for errors."""
        if not self._per_second:
            return Verdict.SEND
        key = (network, kind)
        level, at, refused = self._buckets.get(key, (float(self._per_second), now, 0))
        level = min(level + max(now - at, 0.0) * self._per_second, float(self._per_second))
        if level >= 1:
            verdict, level, refused = Verdict.SEND, level - 1, 0
        else:
            refused += 1
            verdict = Verdict.SLIP if self._slip and refused % self._slip == 0 else Verdict.DROP
        self._buckets[key] = (level, max(now, at), refused)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return verdict


@lru_cache(8192)
def network_of(address: str) -> str:
    """The IPv4 /24 or IPv6 /56 of an address."""
    parsed = ip_address(address.partition("%")[0])
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return f"{parsed.version}:{int(parsed) >> (8 if parsed.version == 4 else 72):x}"
