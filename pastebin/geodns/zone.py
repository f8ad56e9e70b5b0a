"""The zone: what does not depend on who asks, from a zone file (RFC 1035, 5) or made from the configuration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

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


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one name and type: rdata as wire, names in it uncompressed; in lower case if they are signed."""

    ttl: int
    rdatas: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone that is fit to be served. Names are wire in lower case.

    `there` are all names that exist, also those with nothing but names below them (RFC 8020); `geo` those whose
    addresses depend on who asks.
    """

    origin: bytes
    records: dict[bytes, dict[int, Records]]
    geo: frozenset[bytes]
    there: frozenset[bytes] = field(default=frozenset())

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


def load(section: GeodnsSection) -> Zone:
    """Read the zone. Blocks. Raises ConfigError with every problem found."""
    origin = dns.name.from_text(section.zone.rstrip(".").lower() + ".")
    found = Findings()
    tell = partial(found.add, "geodns.file")
    rrsets = zonefile.read(section.file, origin, tell) if section.file else list(_made(section, origin))
    problems = [*_check_rrsets(rrsets, origin)]
    geo = frozenset(_wire(name) for text in section.names if (name := _absolute(text, origin)) is not None)
    records: dict[bytes, dict[int, Records]] = {}
    for rrset in rrsets:
        rdatas = tuple(sorted({_packed(rdata, is_canonical=bool(section.dnssec_keys)) for rdata in rrset}))
        records.setdefault(_wire(rrset.name), {})[int(rrset.rdtype)] = Records(rrset.ttl, rdatas)
    zone = Zone(_wire(origin), records, geo, frozenset(_existing([*records, *geo], _wire(origin))))
    for problem in (*problems, *_check_zone(zone)):
        is_made = problem.field == "geodns.file" and not section.file
        found.add("geodns.nameservers" if is_made else problem.field, problem.message)
    if found:
        raise ConfigError(found.told())
    return zone


def _made(section: GeodnsSection, origin: dns.name.Name) -> Iterator[RRset]:
    """SOA and NS of a zone without a file; every start has a serial of its own, since nobody transfers it."""
    servers = [dns.name.from_text(name, origin if "." not in name else dns.name.root) for name in section.nameservers]
    soa = f"{servers[0]} hostmaster.{origin} {int(time.time())} 7200 900 1209600 {section.negative_ttl_seconds}"
    yield dns.rrset.from_text(origin, section.ns_ttl_seconds, "IN", "SOA", soa)
    yield dns.rrset.from_text(origin, section.ns_ttl_seconds, "IN", "NS", *map(str, servers))


def _check_rrsets(rrsets: list[RRset], origin: dns.name.Name) -> Iterator[Problem]:
    for rrset in rrsets:
        shown = f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}"
        if not rrset.name.is_subdomain(origin):
            yield Problem("geodns.file", f"{shown} lies outside the zone {origin}")
        if not rrset.ttl:
            yield Problem("geodns.file", f"{shown} has a TTL of 0")
        if int(rrset.rdtype) in _SIGNED:
            yield Problem("geodns.file", f"{shown}: signed zones are not served")
        if rrset.rdtype == dns.rdatatype.DNAME:
            yield Problem("geodns.file", f"{shown}: aliases of whole trees are not served")
        if rrset.rdtype == NS and rrset.name.is_wild():
            yield Problem("geodns.file", f"{shown}: a wildcard is no delegation (RFC 4592, 4.2)")
        if rrset.rdtype == SOA and rrset.name != origin:
            yield Problem("geodns.file", f"{shown} belongs to the zone {origin} only")


def _check_zone(zone: Zone) -> Iterator[Problem]:
    """What named-checkzone would refuse, too."""
    apex = zone.records.get(zone.origin, {})
    for type_, word in ((SOA, "SOA"), (NS, "NS")):
        if type_ not in apex:
            yield Problem("geodns.file", f"has no {word} record for {shown(zone.origin)}")
    for name, types in zone.records.items():
        if CNAME in types and (len(types) > 1 or name in zone.geo):
            yield Problem("geodns.file", f"{shown(name)} has a CNAME record and others")
        if name in zone.geo and {A, AAAA} & types.keys():
            yield Problem("geodns.names", f"{shown(name)} has addresses in the zone file already")
        if DS in types and (NS not in types or name == zone.origin):
            yield Problem("geodns.file", f"{shown(name)} has a DS record and is no delegation")
        if not zone.holds(name):
            continue
        cut = zone.cut(name)
        if cut is not None and name != cut and not {A, AAAA} >= types.keys():  # glue
            yield Problem("geodns.file", f"{shown(name)} lies below the delegation of {shown(cut)}")
        yield from _check_servers(zone, types)
    for name in zone.geo:
        if zone.holds(name) and zone.cut(name) is not None:
            yield Problem("geodns.names", f"{shown(name)} lies below a delegation")


def _check_servers(zone: Zone, types: dict[int, Records]) -> Iterator[Problem]:
    for server in types[NS].rdatas if NS in types else ():
        lower = server.lower()
        if not zone.holds(lower) or lower in zone.geo:
            continue
        if not {A, AAAA} & zone.records.get(lower, {}).keys() and (zone.cut(lower) is None or len(zone.records) > 1):
            yield Problem("geodns.file", f"the name server {shown(server)} lies in the zone and has no address there")


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
