"""Which servers a node reads first: those of its own region. Decisions on names, without any I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeVar

T = TypeVar("T")


class Nearness:
    """Knows near servers by what `[database] near` says: `host`, `host:port` or a network such as 10.1.0.0/16.

    Hosts are compared as they are written in connection strings, or as DNS has answered. Without a word nobody is far.
    """

    def __init__(self, near: Sequence[str]) -> None:
        self._names = {text.lower() for text in near}
        self._networks = [ip_network(text) for text in near if "/" in text]

    def __bool__(self) -> bool:
        return bool(self._names)

    def is_near(self, name: str) -> bool:
        """Of a server called `host:port` or `[v6]:port`."""
        if not self._names:
            return True
        host = name.lower().rpartition(":")[0]
        bare = host.strip("[]")
        if not self._names.isdisjoint((name.lower(), host, bare)):
            return True
        address = _address(bare) if self._networks else None
        return address is not None and any(address in network for network in self._networks)


def nearest(candidates: Sequence[T], is_near: Callable[[T], bool]) -> Sequence[T]:
    """The near ones; all of them where none is near."""
    return [candidate for candidate in candidates if is_near(candidate)] or candidates


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
