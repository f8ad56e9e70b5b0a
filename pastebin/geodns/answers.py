"""Answers to questions of the zone, put together once and then kept as they go over the wire.

In all names the zone is a pointer to the question's own name, whose case is that of who asked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from itertools import chain, islice

from pastebin.geodns.recent import Recent
from pastebin.geodns.signing import Signatures, denial
from pastebin.geodns.wire import AA, AAAA, ANY, CNAME, DS, IN, NOERROR, NS, NSEC, NXDOMAIN, NXNAME, RRSIG, SOA, A
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


class Proof(Enum):
    """What an answer has to show of itself."""

    NONE = "none"
    SIGNED = "signed"
    MISSING = "missing"  # signed, and NXDOMAIN is called so (RFC 9824, 5): who asks looks into the NSEC record


Chosen = Sequence[str]  # the regions whose addresses are the answer


class Answers:
    """What the zone says. `addresses` are those of each region; `ttl` is theirs; without `signatures` it is unsigned.

    An answer depends on the regions chosen only if `is_geo` says so of its name.
    """

    def __init__(
        self, zone: Zone, addresses: dict[str, list[str]], ttl: int, signatures: Signatures | None = None
    ) -> None:
        self.zone = zone
        self.signatures = signatures
        self._ttl = ttl
        self._addresses = {
            region: {
                type_: [packed for packed in map(_packed, texts) if len(packed) == length]
                for type_, length in ((A, 4), (AAAA, 16))
            }
            for region, texts in addresses.items()
        }
        self._geo_types = {type_ for types in self._addresses.values() for type_, packed in types.items() if packed}
        self._kept: Recent[tuple[bytes, int, tuple[str, ...], Proof], Body] = Recent(_KEPT)

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

    def body(self, name: bytes, type_: int, chosen: Chosen, proof: Proof = Proof.NONE, now: float = 0.0) -> Body:
        """The answer to a question about a name of the zone. `chosen` is empty for what is not geographic.

        `now` is the time of day, for signatures that are made. There are none without a `proof`.
        """
        key = (name, type_, tuple(chosen), proof)
        if (found := self._kept.get(key)) is None:
            found = _Writing(self, name, type_, tuple(chosen), proof, now).body()
            self._kept.put(key, found)
        return found

    def records(self, source: bytes, type_: int, chosen: tuple[str, ...]) -> Records | None:
        """The records of a name that exists."""
        if source in self.zone.geo and type_ in (A, AAAA):
            packed = tuple(dict.fromkeys(one for region in chosen for one in self._addresses[region][type_]))
            return Records(self._ttl, packed) if packed else None
        return self.zone.records.get(source, {}).get(type_)

    def types(self, source: bytes) -> set[int]:
        """The types of all records of a name that exists, whoever asks for them."""
        return {*self.zone.records.get(source, ()), *(self._geo_types if source in self.zone.geo else ())}

    def are_stale(self, now: float) -> bool:
        """Whether signatures are about to end: then they are made anew for whoever asks next."""
        if self.signatures is None or not self.signatures.are_due(now):
            return False
        self._kept.clear()
        return True

    def sign(self, now: float) -> None:
        """Sign ahead what is asked for most: everything that exists. Blocks."""
        for name, type_, chosen in self._existing():
            self.body(name, type_, chosen, Proof.SIGNED, now)

    def _existing(self) -> Iterable[tuple[bytes, int, Chosen]]:
        """Questions that have answers, no more than are kept of them."""
        alone = [(region,) for region in self._addresses]
        geo = ((name, type_, chosen) for name in self.zone.geo for type_ in (A, AAAA) for chosen in alone)
        fixed = ((name, type_, ()) for name, types in self.zone.records.items() for type_ in types)
        return islice((each for each in chain(geo, fixed) if self.zone.holds(each[0])), _KEPT)


class _Writing:
    """One answer being put together."""

    def __init__(
        self, answers: Answers, name: bytes, type_: int, chosen: tuple[str, ...], proof: Proof, now: float
    ) -> None:
        self._answers, self._zone = answers, answers.zone
        self._name, self._type, self._chosen = name, type_, chosen
        self._proof, self._now = proof, now
        self._signatures = answers.signatures if proof is not Proof.NONE else None
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
            if (cut := zone.cut(name)) is not None and not (cut == name and self._type == DS):
                flags = flags if self._sections[0] else 0  # a referral is nobody's last word
                self._refer(cut)
                break
            source = zone.source(name)
            if source is None:
                code, kind = NOERROR if self._proof is Proof.SIGNED else NXDOMAIN, zone.origin
                self._deny(name, {NXNAME})
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
        types = self._answers.types(source)
        if self._type == ANY and types:
            self._add(0, name, _HINFO, _MINIMAL)
            return None
        if self._answers.signatures is not None and self._type in (NSEC, RRSIG):
            self._explain(name, types)
            return None
        if (records := self._answers.records(source, self._type, self._chosen)) is not None:
            self._add(0, name, self._type, records)
            if self._type == NS and self._signatures is None:  # with signatures it would be long
                self._glue(records)
            return None
        alias = self._answers.records(source, CNAME, self._chosen)
        if alias is None:
            self._deny(name, types & {NS, DS} if self._zone.cut(source) else types - {self._type})
            return None
        self._add(0, name, CNAME, alias)
        return alias.rdatas[0].lower()

    def _deny(self, name: bytes, types: Iterable[int]) -> None:
        """The SOA record that tells for how long there is nothing (RFC 2308, 3), and what there is instead."""
        self._add(1, self._zone.origin, SOA, Records(self._zone.negative_ttl, self._zone.soa.rdatas))
        if self._signatures is not None:
            self._add(1, name, NSEC, denial(name, types, self._zone.negative_ttl))

    def _explain(self, name: bytes, types: Iterable[int]) -> None:
        """What was asked for by itself: a proof, or a signature, of which one is enough (as RFC 8482 has it)."""
        proof = denial(name, types, self._zone.negative_ttl)
        if self._type == NSEC:
            self._add(0, name, NSEC, proof)
        elif self._answers.signatures is not None:
            signatures = self._answers.signatures.of(name, NSEC, proof, self._now)
            self._add(0, name, RRSIG, Records(proof.ttl, signatures), is_signed=False)

    def _refer(self, cut: bytes) -> None:
        """Who knows more, and by what signature of ours (RFC 4035, 3.1.4)."""
        records, ds = self._zone.records[cut][NS], self._zone.records[cut].get(DS)
        self._add(1, cut, NS, records, is_signed=False)
        if ds is not None and self._signatures is not None:
            self._add(1, cut, DS, ds)
        elif self._signatures is not None:
            self._add(1, cut, NSEC, denial(cut, {NS}, self._zone.negative_ttl))
        self._glue(records)

    def _glue(self, records: Records) -> None:
        for server in records.rdatas:
            lower = server.lower()
            for type_ in (A, AAAA):
                if lower in self._zone.geo or (found := self._zone.records.get(lower, {}).get(type_)) is None:
                    continue
                self._add(2, lower, type_, found, is_signed=False)

    def _add(self, section: int, name: bytes, type_: int, records: Records, *, is_signed: bool = True) -> None:
        owner = self._compressed(name)
        for rdata in records.rdatas:
            if type_ in (NS, CNAME):
                rdata = self._compressed(rdata)
            self._sections[section].append(owner + _RECORD.pack(type_, IN, records.ttl, len(rdata)) + rdata)
        if is_signed and self._signatures is not None:
            for rdata in self._signatures.of(name, type_, records, self._now):
                self._sections[section].append(owner + _RECORD.pack(RRSIG, IN, records.ttl, len(rdata)) + rdata)

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
