"""The zone: what does not depend on who asks, from a zone file (RFC 1035, 5) or made from the configuration."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import dns.exception
import dns.name
import dns.rdatatype
import dns.rrset
from dns.rdata import Rdata
from dns.rrset import RRset

from pastebin.decoding import Findings
from pastebin.errors import ConfigError, Problem
from pastebin.geodns import zonefile
from pastebin.geodns.wire import AAAA, CNAME, DS, NS, SOA, A
from pastebin.sections_regions import GeodnsSection

_SIGNED = {46, 47, 48, 50, 51, 59, 60}  # made by signing
_MX, _SRV = 15, 33
# Records that name a server, and how many bytes stand before its name.
_TARGETS = {NS: "the name server", _MX: "the mail server", _SRV: "the server"}
_BEFORE_TARGET = {NS: 0, _MX: 2, _SRV: 6}


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one name and type: rdata as wire, names in it uncompressed; in lower case if they are signed."""

    ttl: int
    rdatas: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone that is fit to be served. Names are wire in lower case.

    `there` are all names that exist, also those with nothing but names below them (RFC 8020); `geo` those whose
    addresses depend on who asks. `notices` tell what it can be served with, and nobody will have meant.
    """

    origin: bytes
    records: dict[bytes, dict[int, Records]]
    geo: frozenset[bytes]
    there: frozenset[bytes] = field(default=frozenset())
    notices: tuple[Problem, ...] = ()

    @property
    def soa(self) -> Records:
        return self.records[self.origin][SOA]

    @property
    def negative_ttl(self) -> int:
        """RFC 2308, 3 and 5: the smaller of the SOA record's TTL and its MINIMUM."""
        return min(self.soa.ttl, int.from_bytes(self.soa.rdatas[0][-4:], "big"))

    def holds(self, name: bytes) -> bool:
        """Whether a name lies in the zone."""
        return name == self.origin or (name.endswith(self.origin) and len(name) - len(self.origin) in _starts(name))

    def cut(self, name: bytes) -> bytes | None:
        """The name above (or this one) from which on the zone is somebody else's."""
        found = None
        while name != self.origin:
            if NS in self.records.get(name, {}):
                found = name
            name = parent(name)
        return found

    def source(self, name: bytes) -> bytes | None:
        """The name whose records answer for this one: itself, or a wildcard (RFC 4592); None if there is none."""
        if name in self.there:
            return name
        while name not in self.there:
            name = parent(name)
        wildcard = b"\1*" + name
        return wildcard if wildcard in self.there else None


def parent(name: bytes) -> bytes:
    """The name without its first label."""
    return name[name[0] + 1 :]


def _starts(name: bytes) -> Iterator[int]:
    """Where labels begin."""
    place = 0
    while name[place]:
        yield place
        place += name[place] + 1
    yield place


class Places:
    """Where in the file the records of a name and type begin."""

    def __init__(self, path: str, lines: Mapping[tuple[dns.name.Name, int], int]) -> None:
        self._path = path
        self._lines = {(_wire(name), type_): line for (name, type_), line in lines.items()}

    def at(self, name: bytes, type_: int) -> str:
        """The words before what is said of them; none for what stands in no file."""
        line = self._lines.get((name, type_))
        return "" if line is None else self.on(line)

    def on(self, line: int) -> str:
        return f"line {line} of {self._path}: "


def load(section: GeodnsSection) -> Zone:
    """Read the zone. Blocks. Raises ConfigError with every problem found."""
    origin = dns.name.from_text(section.zone.rstrip(".").lower() + ".")
    found = Findings()
    if section.file:
        read = zonefile.read(section.file, origin)
        places = Places(section.file, read.lines)
        for line, wrong in read.mistakes:
            found.add("geodns.file", f"{places.on(line)}{wrong}")
    else:
        read, places = zonefile.Contents(list(_made(section, origin))), Places("", {})
    problems = [*_check_rrsets(read.rrsets, origin, places)]
    geo = frozenset(_wire(name) for text in section.names if (name := _absolute(text, origin)) is not None)
    records: dict[bytes, dict[int, Records]] = {}
    for rrset in read.rrsets:
        rdatas = tuple(sorted({_packed(rdata, is_canonical=bool(section.dnssec_keys)) for rdata in rrset}))
        records.setdefault(_wire(rrset.name), {})[int(rrset.rdtype)] = Records(rrset.ttl, rdatas)
    zone = Zone(_wire(origin), records, geo, frozenset(_existing([*records, *geo], _wire(origin))))
    for problem in (*problems, *_check_zone(zone, places)):
        is_made = problem.field == "geodns.file" and not section.file
        found.add("geodns.nameservers" if is_made else problem.field, problem.message)
    if found:
        raise ConfigError(found.told())
    return replace(zone, notices=tuple(_check_targets(zone, places, (_MX, _SRV))))


def _made(section: GeodnsSection, origin: dns.name.Name) -> Iterator[RRset]:
    """SOA and NS of a zone without a file; every start has a serial of its own, since nobody transfers it."""
    servers = [dns.name.from_text(name, origin if "." not in name else dns.name.root) for name in section.nameservers]
    soa = f"{servers[0]} hostmaster.{origin} {int(time.time())} 7200 900 1209600 {section.negative_ttl_seconds}"
    yield dns.rrset.from_text(origin, section.ns_ttl_seconds, "IN", "SOA", soa)
    yield dns.rrset.from_text(origin, section.ns_ttl_seconds, "IN", "NS", *map(str, servers))


def _check_rrsets(rrsets: list[RRset], origin: dns.name.Name, places: Places) -> Iterator[Problem]:
    for rrset in rrsets:
        shown = f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}"
        for wrong in _wrong_with(rrset, origin):
            yield Problem("geodns.file", f"{places.at(_wire(rrset.name), int(rrset.rdtype))}{shown}{wrong}")


def _wrong_with(rrset: RRset, origin: dns.name.Name) -> Iterator[str]:
    if not rrset.name.is_subdomain(origin):
        yield f" lies outside the zone {origin}"
    if not rrset.ttl:
        yield " has a TTL of 0"
    if int(rrset.rdtype) in _SIGNED:
        yield ": signed zones are not served"
    if rrset.rdtype == dns.rdatatype.DNAME:
        yield ": aliases of whole trees are not served"
    if rrset.rdtype == NS and rrset.name.is_wild():
        yield ": a wildcard is no delegation (RFC 4592, 4.2)"
    if rrset.rdtype == SOA and rrset.name != origin:
        yield f" belongs to the zone {origin} only"


def _check_zone(zone: Zone, places: Places) -> Iterator[Problem]:
    """What named-checkzone would refuse, too."""
    apex = zone.records.get(zone.origin, {})
    for type_, word in ((SOA, "SOA"), (NS, "NS")):
        if type_ not in apex:
            yield Problem("geodns.file", f"has no {word} record for {shown(zone.origin)}")
    for name, types in zone.records.items():
        if CNAME in types and (len(types) > 1 or name in zone.geo):
            yield Problem("geodns.file", f"{places.at(name, CNAME)}{shown(name)} has a CNAME record and others")
        if name in zone.geo and {A, AAAA} & types.keys():
            yield Problem("geodns.names", f"{shown(name)} has addresses in the zone file already")
        if DS in types and (NS not in types or name == zone.origin):
            yield Problem("geodns.file", f"{places.at(name, DS)}{shown(name)} has a DS record and is no delegation")
        if not zone.holds(name):
            continue
        cut = zone.cut(name)
        if cut is not None and name != cut and not {A, AAAA} >= types.keys():  # glue
            place = places.at(name, next(type_ for type_ in types if type_ not in (A, AAAA)))
            yield Problem("geodns.file", f"{place}{shown(name)} lies below the delegation of {shown(cut)}")
    yield from _check_targets(zone, places, (NS,))
    for name in zone.geo:
        if zone.holds(name) and zone.cut(name) is not None:
            yield Problem("geodns.names", f"{shown(name)} lies below a delegation")


def _check_targets(zone: Zone, places: Places, types: Sequence[int]) -> Iterator[Problem]:
    """The servers that records of these types name, as far as they are the zone's."""
    for name, records in zone.records.items():
        for type_ in types if zone.holds(name) else ():
            for target in _targets(records, type_):
                if wrong := _wrong_with_target(zone, target, type_):
                    told = f"{_TARGETS[type_]} {shown(target)} of {shown(name)} lies in the zone and {wrong}"
                    yield Problem("geodns.file", f"{places.at(name, type_)}{told}")


def _targets(types: Mapping[int, Records], type_: int) -> Iterator[bytes]:
    """The names that these records lead to, in lower case; the root means that there is none (RFC 7505, RFC 2782)."""
    for rdata in types[type_].rdatas if type_ in types else ():
        target = rdata[_BEFORE_TARGET[type_] :].lower()
        if target != b"\0":
            yield target


def _wrong_with_target(zone: Zone, target: bytes, type_: int) -> str:
    """Servers need addresses, and an alias has none of its own (RFC 2181, 10.3); of other zones nothing is known."""
    if not zone.holds(target) or target in zone.geo:
        return ""
    if type_ == NS:
        if {A, AAAA} & zone.records.get(target, {}).keys():
            return ""
        is_alone = zone.cut(target) is not None and len(zone.records) == 1
        return "" if is_alone else "is an alias" if CNAME in zone.records.get(target, {}) else "has no address there"
    if zone.cut(target) is not None:
        return ""
    source = zone.source(target)
    if source is None:
        return "does not exist"
    types = zone.records.get(source, {})
    if CNAME in types:
        return "is an alias"
    return "" if {A, AAAA} & types.keys() or source in zone.geo else "has no address there"


def shown(name: bytes) -> str:
    """A name for people."""
    return str(dns.name.from_wire(name, 0)[0])


def _packed(rdata: Rdata, *, is_canonical: bool) -> bytes:
    return (rdata.to_digestable() if is_canonical else rdata.to_wire()) or b""


def _absolute(name: str, origin: dns.name.Name) -> dns.name.Name | None:
    """None for what is no name: that is a problem of the configuration, and told there."""
    try:
        return dns.name.from_text(name.lower(), origin)
    except (dns.exception.DNSException, ValueError):
        return None


def _wire(name: dns.name.Name) -> bytes:
    return (name.to_wire() or b"").lower()


def _existing(names: list[bytes], origin: bytes) -> Iterator[bytes]:
    for name in names:
        while name.endswith(origin) and len(name) >= len(origin):
            yield name
            if name == origin:
                break
            name = parent(name)
