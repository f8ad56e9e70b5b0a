"""Answers to questions of the zone, put together once and then kept as they go over the wire.

In all names the zone is a pointer to the question's own name, whose case is that of who asked.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from pastebin.geodns.wire import AA, AAAA, ANY, CNAME, IN, NOERROR, NS, NXDOMAIN, SOA, A
from pastebin.geodns.zone import Records, Zone, parent

_HINFO = 13
_MINIMAL = Records(3600, (b"\7RFC8482\0",))  # RFC 8482, 4.2
_RECORD = struct.Struct("!HHIH")
_CHAIN = 8
_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Body:
    """An answer without header, question and OPT record. `kind` is what answers that are alike have in common."""

    code: int
    flags: int
    counts: tuple[int, int, int]
    wire: bytes
    kind: bytes


Chosen = Sequence[str]  # the regions whose addresses are the answer


class Answers:
    """What the zone says. `addresses` are those of each region; `ttl` is theirs.

    An answer depends on the regions chosen only if `is_geo` says so of its name.
    """

    def __init__(self, zone: Zone, addresses: dict[str, list[str]], ttl: int) -> None:
        self.zone = zone
        self._ttl = ttl
        self._addresses = {
            region: {
                type_: [packed for packed in map(_packed, texts) if len(packed) == length]
                for type_, length in ((A, 4), (AAAA, 16))
            }
            for region, texts in addresses.items()
        }
        self._kept: dict[tuple[bytes, int, tuple[str, ...]], Body] = {}

    def is_geo(self, name: bytes, type_: int) -> bool:
        """Whether the answer depends on who asks; also where a CNAME leads to such a name."""
        if type_ not in (A, AAAA):
            return False
        for _ in range(_CHAIN):
            source = self.zone.source(name) if self.zone.holds(name) else None
            if source is None:
                return False
            if source in self.zone.geo:
                return True
            alias = self.zone.records.get(source, {}).get(CNAME)
            if alias is None:
                return False
            name = alias.rdatas[0].lower()
        return False

    def body(self, name: bytes, type_: int, chosen: Chosen) -> Body:
        """The answer to a question about a name of the zone. `chosen` is empty for what is not geographic."""
        key = (name, type_, tuple(chosen))
        if (found := self._kept.get(key)) is None:
            found = _Writing(self, name, type_, tuple(chosen)).body()
            if len(self._kept) >= _KEPT:  # names that do not exist are without number
                self._kept.clear()
            self._kept[key] = found
        return found

    def records(self, source: bytes, type_: int, chosen: tuple[str, ...]) -> Records | None:
        """The records of a name that exists."""
        if source in self.zone.geo and type_ in (A, AAAA):
            packed = tuple(dict.fromkeys(one for region in chosen for one in self._addresses[region][type_]))
            return Records(self._ttl, packed) if packed else None
        return self.zone.records.get(source, {}).get(type_)

    def types(self, source: bytes) -> bool:
        """Whether a name has any records at all."""
        return source in self.zone.geo or bool(self.zone.records.get(source))


class _Writing:
    """One answer being put together."""

    def __init__(self, answers: Answers, name: bytes, type_: int, chosen: tuple[str, ...]) -> None:
        self._answers, self._zone = answers, answers.zone
        self._name, self._type, self._chosen = name, type_, chosen
        self._sections: list[list[bytes]] = [[], [], []]
        self._suffixes = {}
        place = 0
        while name[place]:
            self._suffixes[name[place:]] = struct.pack("!H", 0xC000 | 12 + place)
            place += name[place] + 1

    def body(self) -> Body:
        name, zone = self._name, self._zone
        kind = name
        code, flags = NOERROR, AA
        for _ in range(_CHAIN):
            if (cut := zone.cut(name)) is not None and not (cut == name and self._type == 43):
                flags = flags if self._sections[0] else 0  # a referral is nobody's last word
                self._refer(cut)
                break
            source = zone.source(name)
            if source is None:
                code, kind = NXDOMAIN, zone.origin
                self._deny()
                break
            if (alias := self._found(name, source)) is None:
                break
            name = alias
            if not zone.holds(name):
                break
        counts = tuple(map(len, self._sections))
        return Body(code, flags, (counts[0], counts[1], counts[2]), b"".join(map(b"".join, self._sections)), kind)

    def _found(self, name: bytes, source: bytes) -> bytes | None:
        """Answer from the records of a name; the name that it is an alias of, if it is and that matters."""
        if self._type == ANY:
            if self._answers.types(source):
                self._add(0, name, _HINFO, _MINIMAL)
            else:
                self._deny()
            return None
        if (records := self._answers.records(source, self._type, self._chosen)) is not None:
            self._add(0, name, self._type, records)
            if self._type == NS:
                self._glue(records)
            return None
        alias = self._answers.records(source, CNAME, self._chosen)
        if alias is None:
            self._deny()
            return None
        self._add(0, name, CNAME, alias)
        return alias.rdatas[0].lower()

    def _deny(self) -> None:
        """The SOA record that tells for how long there is nothing (RFC 2308, 3)."""
        self._add(1, self._zone.origin, SOA, Records(self._zone.negative_ttl, self._zone.soa.rdatas))

    def _refer(self, cut: bytes) -> None:
        records = self._zone.records[cut][NS]
        self._add(1, cut, NS, records)
        self._glue(records)

    def _glue(self, records: Records) -> None:
        for server in records.rdatas:
            lower = server.lower()
            for type_ in (A, AAAA):
                if lower in self._zone.geo or (found := self._zone.records.get(lower, {}).get(type_)) is None:
                    continue
                self._add(2, lower, type_, found)

    def _add(self, section: int, name: bytes, type_: int, records: Records) -> None:
        owner = self._compressed(name)
        for rdata in records.rdatas:
            if type_ in (NS, CNAME):
                rdata = self._compressed(rdata)
            self._sections[section].append(owner + _RECORD.pack(type_, IN, records.ttl, len(rdata)) + rdata)

    def _compressed(self, name: bytes) -> bytes:
        """As much of the name as the question's does not have, then a pointer (RFC 1035, 4.1.4)."""
        head, rest = b"", name
        while rest[0]:
            if (pointer := self._suffixes.get(rest.lower())) is not None:
                return head + pointer
            head, rest = head + rest[: rest[0] + 1], parent(rest)
        return name


def _packed(text: str) -> bytes:
    return ip_address(text).packed
