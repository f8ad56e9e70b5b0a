"""How many connections a door has room for: in all, and from one address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

_IPV6_HOST_BITS = 64  # a subscriber has a network of at least so many addresses (RFC 6177)


class Capacity:
    """Counts the connections of one door. 0 means that there is no limit. Several addresses of one /64 count as one.

    Addresses that are `is_shared` by many clients, as those of proxies are, have no limit of their own.
    """

    def __init__(
        self, most: int, most_per_address: int, is_shared: Callable[[str], bool] = lambda _address: False
    ) -> None:
        self._is_shared = is_shared
        self._most = most
        self._most_per_address = most_per_address
        self._held = 0
        self._by_source: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._held

    def admit(self, address: str) -> bool:
        """Take in a connection from there; False, and nothing is counted, if there is no room for it."""
        source = source_of(address)
        if self._most and self._held >= self._most:
            return False
        is_full = self._most_per_address and self._by_source.get(source, 0) >= self._most_per_address
        if is_full and not self._is_shared(address):
            return False
        self._held += 1
        self._by_source[source] += 1
        return True

    def release(self, address: str) -> None:
        """A connection that was admitted has ended."""
        source = source_of(address)
        self._held -= 1
        self._by_source[source] -= 1
        if not self._by_source[source]:
            del self._by_source[source]


def source_of(address: str) -> str:
    """Who counts as one; what is no IP address, such as a local socket's peer, counts under its own name."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return f"{int(parsed) >> _IPV6_HOST_BITS:x}"
    return str(parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else parsed)
