"""Cookies that tell who really has the address it asks from (RFC 7873), made as every server makes them (RFC 9018)."""

from __future__ import annotations

import hmac
import struct
from ipaddress import ip_address

_MASK = 2**64 - 1
_OLDEST_SECONDS, _NEWEST_SECONDS, _RENEWED_SECONDS = 3600, 300, 1800  # RFC 9018, 4.3


class Cookies:
    """Makes and checks server cookies. The key is 16 bytes, the same on every node that answers for an address."""

    def __init__(self, key: bytes) -> None:
        self._key = struct.unpack("<2Q", key)

    def made(self, client_cookie: bytes, address: str, now: float) -> bytes:
        """The whole cookie: the client's 8 bytes and 16 of ours."""
        head = struct.pack("!B3xI", 1, int(now) & 0xFFFFFFFF)
        return client_cookie[:8] + head + self._hash(client_cookie[:8] + head, address)

    def returned(self, cookie: bytes, address: str, now: float) -> tuple[bytes, bool]:
        """The cookie for the answer to one, and whether that was ours: then it is good for another half of an hour."""
        if not self.is_ours(cookie, address, now):
            return self.made(cookie, address, now), False
        is_young = (int(now) - int.from_bytes(cookie[12:16], "big")) % 2**32 < _RENEWED_SECONDS
        return cookie if is_young else self.made(cookie, address, now), True

    def is_ours(self, cookie: bytes, address: str, now: float) -> bool:
        """Whether the cookie was made here, for this client, and not too long ago."""
        if len(cookie) != 24 or cookie[8:12] != b"\1\0\0\0":
            return False
        age = (int(now) - int.from_bytes(cookie[12:16], "big") + 2**31) % 2**32 - 2**31  # RFC 1982
        if not -_NEWEST_SECONDS <= age <= _OLDEST_SECONDS:
            return False
        return hmac.compare_digest(cookie[16:], self._hash(cookie[:16], address))

    def _hash(self, head: bytes, address: str) -> bytes:
        return struct.pack("<Q", siphash(self._key, head + ip_address(address).packed))


def siphash(key: tuple[int, ...], data: bytes) -> int:
    """SipHash-2-4 (Aumasson and Bernstein, 2012) with a key of two numbers."""
    state = (
        key[0] ^ 0x736F6D6570736575,
        key[1] ^ 0x646F72616E646F6D,
        key[0] ^ 0x6C7967656E657261,
        key[1] ^ 0x7465646279746573,
    )
    whole = len(data) // 8 * 8
    words = [
        *struct.unpack(f"<{whole // 8}Q", data[:whole]),
        int.from_bytes(data[whole:], "little") | len(data) << 56 & _MASK,
    ]
    for word in words:
        a, b, c, d = _rounds(state[0], state[1], state[2], state[3] ^ word, 2)
        state = (a ^ word, b, c, d)
    a, b, c, d = _rounds(state[0], state[1], state[2] ^ 0xFF, state[3], 4)
    return a ^ b ^ c ^ d


def _rounds(a: int, b: int, c: int, d: int, times: int) -> tuple[int, int, int, int]:
    for _ in range(times):
        a = a + b & _MASK
        b = (b << 13 | b >> 51) & _MASK ^ a
        a = (a << 32 | a >> 32) & _MASK
        c = c + d & _MASK
        d = (d << 16 | d >> 48) & _MASK ^ c
        a = a + d & _MASK
        d = (d << 21 | d >> 43) & _MASK ^ a
        c = c + b & _MASK
        b = (b << 17 | b >> 47) & _MASK ^ c
        c = (c << 32 | c >> 32) & _MASK
    return a, b, c, d
