"""RFC 8906, "A Common Operational Problem in DNS Servers: Failure to Communicate", section 8, test by test."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import pytest

from tests.geodns.dns_client import ask, question, serving, texts
from tests.nodes import Node

SOA = "SOA ns1.p.example. hostmaster.p.example. 7 7200 900 1209600 60"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Node]:
    async with serving() as node:
        yield node


def check(answer: dns.message.Message, code: int = dns.rcode.NOERROR, *, is_authoritative: bool = True) -> None:
    assert answer.rcode() == code
    assert bool(answer.flags & dns.flags.AA) == is_authoritative
    assert answer.flags & dns.flags.QR
    assert not answer.flags & (dns.flags.RA | dns.flags.AD | 0x0040)


async def test_8_1_1_is_the_server_configured_for_the_zone(server: Node) -> None:
    query = question("p.example", "SOA", flags=0)
    answer = await ask(server, query)
    check(answer)
    assert texts(answer) == [SOA]
    assert not answer.flags & dns.flags.RD
    assert answer.edns == -1


async def test_8_1_2_unknown_types(server: Node) -> None:
    answer = await ask(server, question("p.example", "TYPE1000", flags=0))
    check(answer)
    assert not answer.answer
    assert [rrset.rdtype for rrset in answer.authority] == [dns.rdatatype.SOA]


@pytest.mark.parametrize("flag", [dns.flags.CD, dns.flags.AD, dns.flags.RD, 0x0040])
async def test_8_1_3_header_bits(server: Node, flag: int) -> None:
    """CD, AD, the reserved bit, recursive queries."""
    answer = await ask(server, question("p.example", "SOA", flags=flag))
    check(answer)
    assert texts(answer) == [SOA]


@pytest.mark.parametrize("opcode", [1, 2, 3, 4, 5, 6, 15])
async def test_8_1_4_unknown_opcodes(server: Node, opcode: int) -> None:
    """NOTIMP, with the opcode repeated; the message has a header and nothing else."""
    packet = struct.pack("!6H", 77, opcode << 11, 0, 0, 0, 0)
    query = dns.message.from_wire(packet)
    answer = await ask(server, query)
    check(answer, dns.rcode.NOTIMP, is_authoritative=False)
    assert answer.opcode() == opcode


async def test_8_1_5_tcp(server: Node) -> None:
    answer = await ask(server, question("p.example", "SOA", flags=0), tcp=True)
    check(answer)
    assert texts(answer) == [SOA]


async def test_8_2_1_minimal_edns(server: Node) -> None:
    answer = await ask(server, question("p.example", "SOA", use_edns=0, payload=4096, flags=0))
    check(answer)
    assert texts(answer) == [SOA]
    assert (answer.edns, answer.payload, answer.ednsflags & 0xFFFF) == (0, 1232, 0)


@pytest.mark.parametrize("type_", ["SOA", "TYPE1000"])
async def test_8_2_2_unknown_versions(server: Node, type_: str) -> None:
    answer = await ask(server, question("p.example", type_, use_edns=1, flags=0))
    check(answer, dns.rcode.BADVERS, is_authoritative=False)
    assert answer.edns == 0
    assert not answer.answer


async def test_8_2_3_unknown_options(server: Node) -> None:
    answer = await ask(server, question("p.example", "SOA", options=[dns.edns.GenericOption(100, b"")], flags=0))
    check(answer)
    assert texts(answer) == [SOA]
    assert answer.options == ()


async def test_8_2_4_unknown_flags(server: Node) -> None:
    answer = await ask(server, question("p.example", "SOA", use_edns=0, ednsflags=0x0080, flags=0))
    check(answer)
    assert texts(answer) == [SOA]
    assert answer.ednsflags & 0xFFFF == 0


async def test_8_2_5_unknown_versions_with_unknown_flags(server: Node) -> None:
    answer = await ask(server, question("p.example", "SOA", use_edns=1, ednsflags=0x0080, flags=0))
    check(answer, dns.rcode.BADVERS, is_authoritative=False)
    assert (answer.edns, answer.ednsflags & 0xFFFF) == (0, 0)


async def test_8_2_6_unknown_versions_with_unknown_options(server: Node) -> None:
    options = [dns.edns.GenericOption(100, b"")]
    answer = await ask(server, question("p.example", "SOA", use_edns=1, options=options, flags=0))
    check(answer, dns.rcode.BADVERS, is_authoritative=False)
    assert answer.options == ()


async def test_8_2_7_truncated_answers(server: Node) -> None:
    """They have an OPT record, too."""
    answer = await ask(server, question("long.p.example", "TXT", use_edns=0, payload=512, flags=0))
    check(answer)
    assert answer.flags & dns.flags.TC
    assert answer.edns == 0


async def test_8_2_8_dnssec_ok(server: Node) -> None:
    answer = await ask(server, question("p.example", "SOA", want_dnssec=True, flags=0))
    check(answer)
    assert texts(answer) == [SOA]
    assert answer.ednsflags & dns.flags.DO


async def test_8_2_9_unknown_versions_with_dnssec_ok(server: Node) -> None:
    answer = await ask(server, question("p.example", "SOA", use_edns=1, ednsflags=dns.flags.DO, flags=0))
    check(answer, dns.rcode.BADVERS, is_authoritative=False)


async def test_8_2_10_several_options_that_are_defined(server: Node) -> None:
    options = [
        dns.edns.GenericOption(3, b""),  # NSID
        dns.edns.GenericOption(10, b"12345678"),  # COOKIE
        dns.edns.ECSOption("::", 0),
        dns.edns.GenericOption(9, b""),  # EXPIRE
    ]
    answer = await ask(server, question("p.example", "SOA", options=options, flags=0))
    check(answer)
    assert texts(answer) == [SOA]
    assert {int(option.otype) for option in answer.options} == {3, 8, 10}


@pytest.mark.parametrize("class_", ["CH", "HS", "ANY", "CLASS1000"])
async def test_other_classes_are_refused(server: Node, class_: str) -> None:
    answer = await ask(server, question("p.example", "TXT", rdclass=class_))
    check(answer, dns.rcode.REFUSED, is_authoritative=False)


@pytest.mark.parametrize(
    ("type_", "code"),
    [("AXFR", dns.rcode.REFUSED), ("IXFR", dns.rcode.REFUSED), ("MAILB", dns.rcode.NOTIMP), ("OPT", dns.rcode.FORMERR)],
)
async def test_other_meta_types(server: Node, type_: str, code: int) -> None:
    answer = await ask(server, question("p.example", type_))
    check(answer, code, is_authoritative=False)
