"""Signatures of answers, made when they are first asked for (RFC 4034, RFC 4035), and proofs of what does not exist.

What does not exist is denied as RFC 9824 has it: one NSEC record that covers the name asked for and none beside it.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from pastebin.geodns.recent import Recent
from pastebin.geodns.wire import CDNSKEY, CDS, DNSKEY, IN, NSEC, RRSIG
from pastebin.geodns.zone import Records, Zone, parent

_HEAD = struct.Struct("!HBBIIIH")  # RFC 4034, 3.1: all before the signer's name
_ALGORITHM = 13
_DAY = 86_400
_VALID_SECONDS, _JITTER_SECONDS = 7 * _DAY, _DAY // 2
_SKEW_SECONDS = 3600  # clocks of validators that are slow by so much
_RENEWED_SECONDS = 3 * _DAY  # before the end; far more than any answer is kept
_KEPT = 4096
_LONGEST = 255
_BY_ALL = (DNSKEY, CDS, CDNSKEY)


class Signing(Protocol):
    """A key pair."""

    dnskey: bytes
    tag: int

    def sign(self, data: bytes) -> bytes: ...

    def ds(self, origin: bytes) -> bytes: ...


class Signatures:
    """RRSIG rdata by what it signs.

    The first key signs everything; the others only what parents and validators learn the keys from, so that one can
    take the place of another (RFC 6781, 4.1.3).
    """

    def __init__(self, origin: bytes, keys: Sequence[Signing]) -> None:
        self._origin = origin
        self._keys = keys
        self._kept: Recent[tuple[bytes, int, Records], tuple[bytes, ...]] = Recent(_KEPT)
        self._due, self._newest = float("inf"), 0.0

    def of(self, owner: bytes, type_: int, records: Records, now: float) -> tuple[bytes, ...]:
        """The signatures of records; `owner` is in lower case, rdata in canonical form (RFC 4034, 6.2)."""
        key = (owner, type_, records)
        if (found := self._kept.get(key)) is None:
            keys = self._keys if type_ in _BY_ALL else self._keys[:1]
            found = tuple(self._made(owner, type_, records, now, each) for each in keys)
            self._kept.put(key, found)
        return found

    def are_due(self, now: float) -> bool:
        """Whether some have to be made anew, also because the clock has been set back: then all are forgotten."""
        if self._newest - _SKEW_SECONDS < now < self._due:
            return False
        self._kept.clear()
        self._due, self._newest = float("inf"), 0.0
        return True

    def _made(self, owner: bytes, type_: int, records: Records, now: float, key: Signing) -> bytes:
        jitter = secrets.randbelow(_JITTER_SECONDS)  # so that not all of them end at once, everywhere
        until = int(now) + _VALID_SECONDS - jitter
        self._due, self._newest = min(self._due, until - _RENEWED_SECONDS), max(self._newest, now)
        labels = _labels(owner) - owner.startswith(b"\1*")
        head = _HEAD.pack(
            *(type_, _ALGORITHM, labels, records.ttl, until & 0xFFFFFFFF),
            *(int(now) - _SKEW_SECONDS & 0xFFFFFFFF, key.tag),
        )
        head += self._origin
        fixed = owner + struct.pack("!HHI", type_, IN, records.ttl)
        rows = b"".join(fixed + len(rdata).to_bytes(2, "big") + rdata for rdata in sorted(records.rdatas))
        return head + key.sign(head + rows)


def published(zone: Zone, keys: Sequence[Signing]) -> Zone:
    """The zone with its keys, and with what the parent may take its DS records from (RFC 7344, RFC 8078)."""
    dnskeys = tuple(key.dnskey for key in keys)
    own = {
        DNSKEY: Records(zone.soa.ttl, dnskeys),
        CDNSKEY: Records(zone.soa.ttl, dnskeys),
        CDS: Records(zone.soa.ttl, tuple(key.ds(zone.origin) for key in keys)),
    }
    return replace(zone, records={**zone.records, zone.origin: {**zone.records[zone.origin], **own}})


def denial(name: bytes, types: Iterable[int], ttl: int) -> Records:
    """The NSEC record of a name that has these types and no others (RFC 9824, 3)."""
    return Records(ttl, (successor(name) + _bitmap({*types, RRSIG, NSEC}),))


def successor(name: bytes) -> bytes:
    """The next name in canonical order (RFC 4034, 6.1; RFC 4471, 3.1.2)."""
    if len(name) + 2 <= _LONGEST:
        return b"\1\0" + name
    while len(name) > 1:
        label, name = name[1 : name[0] + 1], parent(name)
        if len(label) < 63 and len(label) + len(name) + 2 <= _LONGEST:
            label += b"\0"
        else:
            label = label.rstrip(b"\xff")
            if not label:
                continue
            last = label[-1] + 1
            label = label[:-1] + bytes([ord("[") if last == ord("A") else last])  # capitals are no letters here
        return bytes([len(label)]) + label + name
    return name


def _bitmap(types: set[int]) -> bytes:
    """RFC 4034, 4.1.2."""
    written = b""
    for window in sorted({type_ >> 8 for type_ in types}):
        octets = bytearray(32)
        for type_ in types:
            if type_ >> 8 == window:
                octets[(type_ & 255) >> 3] |= 0x80 >> (type_ & 7)
        used = bytes(octets).rstrip(b"\0")
        written += bytes([window, len(used)]) + used
    return written


def _labels(name: bytes) -> int:
    count = 0
    while name[0]:
        count, name = count + 1, parent(name)
    return count
