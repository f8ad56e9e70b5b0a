"""Questions as they come over the wire (RFC 1035, 4; RFC 6891), read without trusting a byte of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")  # type, class, TTL, length
_PAIR = struct.Struct("!HH")

QR, AA, TC, RD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0010
_OPCODE = 0x7800
DO, CO = 0x8000, 0x4000  # of EDNS (RFC 3225; RFC 9824, 5)

NOERROR, FORMERR, NXDOMAIN, NOTIMP, REFUSED, BADVERS, BADCOOKIE = 0, 1, 3, 4, 5, 16, 23
A, NS, CNAME, SOA, TXT, AAAA, OPT, ANY, IN = 1, 2, 5, 6, 16, 28, 41, 255, 1
DS, RRSIG, NSEC, DNSKEY, CDS, CDNSKEY, NXNAME = 43, 46, 47, 48, 59, 60, 128

NSID, CLIENT_SUBNET, COOKIE, KEEPALIVE = 3, 8, 10, 11

PAYLOAD = 1232  # what crosses every network in one piece (RFC 9715, 3.2)
_PLAIN = 512


@dataclass(frozen=True, slots=True)
class Subnet:
    """EDNS Client Subnet as it was asked (RFC 7871, 6); `octets` is the address, cut off after `source` bits."""

    family: int
    source: int
    octets: bytes

    @property
    def address(self) -> IPv4Address | IPv6Address:
        return (
            IPv4Address(self.octets.ljust(4, b"\0")) if self.family == 1 else IPv6Address(self.octets.ljust(16, b"\0"))
        )

    def with_scope(self, scope: int) -> bytes:
        """The option of the answer."""
        data = struct.pack("!HBB", self.family, self.source, scope) + self.octets
        return _PAIR.pack(CLIENT_SUBNET, len(data)) + data


@dataclass(frozen=True, slots=True)
class Edns:
    """What the OPT record of a question says; what is not known here is left out."""

    payload: int = _PLAIN
    version: int = 0
    wants_dnssec: bool = False
    takes_compact: bool = False  # knows that what does not exist may be denied compactly (RFC 9824, 5)
    subnet: Subnet | None = None
    cookie: bytes = b""
    wants_nsid: bool = False
    wants_keepalive: bool = False
    is_whole: bool = True  # False: an option contradicts its own specification


@dataclass(frozen=True, slots=True)
class Question:
    """One query. `fault` is the response code that it deserves without being looked at further; 0 for none.

    `asked` is the question section byte for byte, with the case that it came in (0x20); empty if there is none that
    could be repeated. `name` is its name in lower case.
    """

    id: int
    flags: int
    asked: bytes = b""
    name: bytes = b""
    type: int = 0
    edns: Edns | None = None
    fault: int = NOERROR

    @property
    def limit(self) -> int:
        """The longest answer that may go to it in a datagram."""
        return min(max(self.edns.payload, _PLAIN), PAYLOAD) if self.edns else _PLAIN

    @property
    def head(self) -> int:
        """Flags of the answer that repeat those of the question (RFC 1035, 4.1.1; RFC 4035, 3.1.6 and 3.2.2)."""
        return QR | self.flags & (_OPCODE | RD | CD)


def parse(packet: bytes) -> Question | None:
    """What is asked; None for what nobody should answer: less than a header, and what is itself an answer."""
    if len(packet) < 12:
        return None
    id_, flags, questions, answers, authorities, additionals = HEADER.unpack_from(packet)
    if flags & QR:
        return None
    if flags & _OPCODE:  # other operations have other messages: nothing beyond the header is understood
        return Question(id_, flags, fault=NOTIMP)
    flawed = Question(id_, flags, fault=FORMERR)
    if questions > 1 or answers or flags & TC:
        return flawed
    try:
        place, name = _name(packet, 12) if questions else (12, b"")
        if questions:
            place += 4
            if place > len(packet):
                return flawed
        asked = packet[12:place]
        edns, end = _edns(packet, place, authorities, additionals)
    except (ValueError, struct.error, IndexError):
        return flawed
    return _judged(Question(id_, flags, asked, name.lower(), edns=edns), is_whole=end == len(packet))


def _judged(question: Question, *, is_whole: bool) -> Question:
    """The question with its fault."""
    edns, asked = question.edns, question.asked
    type_, class_ = _PAIR.unpack_from(asked, len(asked) - 4) if asked else (0, 0)
    fault = NOERROR
    if edns is not None and edns.version:
        fault = BADVERS  # RFC 6891, 6.1.3; before anything that a later version might have changed
    elif not is_whole or (edns is not None and not edns.is_whole):
        fault = FORMERR
    elif not asked:  # RFC 7873, 5.4: somebody wants to know a cookie and nothing else
        fault = NOERROR if edns is not None and edns.cookie else FORMERR
    elif class_ != IN:
        fault = REFUSED
    elif type_ in (OPT, NXNAME, 249, 250):  # never asked for, TKEY and TSIG neither
        fault = FORMERR
    elif type_ in (251, 252):  # zone transfers
        fault = REFUSED
    elif type_ in (253, 254):  # MAILB, MAILA: obsolete
        fault = NOTIMP
    return Question(question.id, question.flags, asked, question.name, type_, edns, fault)


def _name(packet: bytes, place: int) -> tuple[int, bytes]:
    """Where the name ends, and the name. The first one in a message has nothing that it could point to."""
    start = place
    while length := packet[place]:
        if length > 63:
            raise ValueError("a pointer, or a label of a kind that does not exist")
        place += length + 1
        if place - start > 254:
            raise ValueError("longer than 255 octets")
    return place + 1, packet[start : place + 1]


def _skip_name(packet: bytes, place: int) -> int:
    start = place
    while length := packet[place]:
        if length >= 192:
            return place + 2
        if length > 63 or place - start > 254:
            raise ValueError("no name")
        place += length + 1
    return place + 1


def _edns(packet: bytes, place: int, authorities: int, additionals: int) -> tuple[Edns | None, int]:
    """The OPT record, if there is one, and where the last record ends. Raises for what is cut off."""
    found: Edns | None = None
    for index in range(authorities + additionals):
        start, place = place, _skip_name(packet, place)
        type_, class_, ttl, length = _RECORD.unpack_from(packet, place)
        place += 10
        data, place = packet[place : place + length], place + length
        if place > len(packet):
            raise ValueError("cut off")
        if type_ == OPT:
            if index < authorities or found is not None or packet[start]:  # RFC 6891, 6.1.1
                raise ValueError("an OPT record where none may be")
            found = _options(data, class_, ttl)
    return found, place


def _options(data: bytes, payload: int, ttl: int) -> Edns:
    """The options of one OPT record; those that are not known are ignored (RFC 6891, 6.1.2)."""
    version, wants_dnssec, takes_compact = ttl >> 16 & 255, bool(ttl & DO), bool(ttl & CO)
    subnet, cookie, nsid, keepalive, is_whole, place = None, b"", False, False, True, 0
    while place < len(data):
        if place + 4 > len(data):
            is_whole = False
            break
        code, length = _PAIR.unpack_from(data, place)
        value = data[place + 4 : place + 4 + length]
        place += 4 + length
        is_whole = is_whole and place <= len(data)
        if code == CLIENT_SUBNET:
            is_whole = is_whole and subnet is None and (subnet := _subnet(value)) is not None
        elif code == COOKIE:
            is_whole = is_whole and (len(value) == 8 or 16 <= len(value) <= 40)  # RFC 7873, 5.2.2
            cookie = cookie or value
        elif code == NSID:
            nsid = True
        elif code == KEEPALIVE:
            keepalive = True
    return Edns(payload, version, wants_dnssec, takes_compact, subnet, cookie, nsid, keepalive, is_whole)


def _subnet(value: bytes) -> Subnet | None:
    """None for what RFC 7871, 6 and 7.1.2 forbid: such a question is malformed."""
    if len(value) < 4:
        return None
    family, source, scope = struct.unpack_from("!HBB", value)
    octets = value[4:]
    bits = {1: 32, 2: 128}.get(family, -1)
    if scope or source > bits or len(octets) != (source + 7) // 8:
        return None
    if source % 8 and octets[-1] & (1 << 8 - source % 8) - 1:
        return None
    return Subnet(family, source, octets)
