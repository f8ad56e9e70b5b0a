"""Who asks: the address of a client, also behind proxies that this installation trusts to say so.

Everything that depends on it (limits, counting, what an edge tells its origin) reads `request.remote`, which is made
here. Addresses are never logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from aiohttp import web

FORWARDED_FOR = "X-Forwarded-For"

_REMEMBERED = 4096
# More proxies than that do not stand in a row; whoever sends more makes them up.
_MOST = 32


class Clients:
    """Tells clients from `trusted` networks of proxies. Answers from memory."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._networks = [ip_network(text) for text in trusted]
        self.is_trusted = lru_cache(_REMEMBERED)(self._is_trusted)

    def address(self, peer: str, forwarded: Iterable[str]) -> str:
        """The peer's, unless it is a trusted proxy: then the rightmost address in X-Forwarded-For that is none.

        `forwarded` are the lines of that header. Only proxies of ours have written what stands to the right of the
        answer; what is no address, and everything before it, is not believed.
        """
        if not self._networks or not self.is_trusted(peer):
            return peer
        known = peer
        for text in reversed(",".join(forwarded).split(",")[-_MOST:]):
            found = _parsed(text.strip(" \t"))
            if found is None:
                return known
            known = str(found)
            if not self.is_trusted(known):
                return known
        return known

    def seen(self, request: web.BaseRequest) -> str:
        """The same for a request as it came."""
        # aiohttp has a plain dict for what is no request
        forwarded = request.headers.getall(FORWARDED_FOR, ()) if request.headers else ()
        return self.address(request.remote or "", forwarded)

    def behind(self, make: Callable[..., web.BaseRequest]) -> Callable[..., web.BaseRequest]:
        """`make`, which makes requests, but with the address of the client as their `remote`."""
        if not self._networks:
            return make

        def made(*arguments: Any, **options: Any) -> web.BaseRequest:
            request = make(*arguments, **options)
            address = self.seen(request)
            return request if address == (request.remote or "") else request.clone(remote=address)

        return made

    def _is_trusted(self, address: str) -> bool:
        found = _parsed(address)
        return found is not None and any(found in network for network in self._networks)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, also with a port as some proxies write it; an IPv4 address stays one inside of IPv6."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
