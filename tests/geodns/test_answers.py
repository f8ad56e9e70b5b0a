"""What the name server says, over real sockets, with dnspython on the other side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import dns.edns
import dns.flags
import dns.rcode
import dns.rdatatype
import pytest

from tests.geodns.dns_client import ask, question, serving, subnet, texts
from tests.nodes import Node


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Node]:
    async with serving() as node:
        yield node


@pytest.mark.parametrize(
    ("name", "type_", "expected"),
    [
        ("p.example", "TXT", ['TXT "hello"']),
        ("p.example", "CAA", ['CAA 0 issue "ca.test"']),
        ("p.example", "NS", ["NS ns1.p.example.", "NS ns2.elsewhere.test."]),
        ("p.example", "MX", ["MX 10 mail.p.example."]),
        ("_x._tcp.p.example", "SRV", ["SRV 0 0 443 www.p.example."]),
        ("p.example", "A", ["A 198.51.100.20"]),
        ("a.b.any.p.example", "A", ["A 198.51.100.20"]),
        ("chain.p.example", "A", ["A 198.51.100.20", "CNAME alias.p.example.", "CNAME www.p.example."]),
        ("out.p.example", "A", ["CNAME a.elsewhere.test."]),
        ("alias.p.example", "CNAME", ["CNAME www.p.example."]),
        ("q.wild.p.example", "TXT", ['TXT "anything"']),
        ("p.example", "ANY", ['HINFO "RFC8482" ""']),
    ],
)
async def test_records(server: Node, name: str, type_: str, expected: list[str]) -> None:
    for tcp in (False, True):
        answer = await ask(server, question(name, type_), tcp=tcp)
        assert texts(answer) == expected
        assert answer.rcode() == dns.rcode.NOERROR
        assert answer.flags & dns.flags.AA
        assert not answer.flags & dns.flags.RA
    assert {rrset.ttl for rrset in answer.answer} <= {30, 300, 3600}


@pytest.mark.parametrize(
    ("name", "type_", "code"),
    [
        ("p.example", "AAAA", dns.rcode.NOERROR),
        ("ent.p.example", "A", dns.rcode.NOERROR),
        ("p.example", "TYPE1234", dns.rcode.NOERROR),
        ("no.p.example", "A", dns.rcode.NXDOMAIN),
        ("no.p.example", "ANY", dns.rcode.NXDOMAIN),
        ("ent.p.example", "ANY", dns.rcode.NOERROR),
    ],
)
async def test_what_is_not_there_says_for_how_long(server: Node, name: str, type_: str, code: int) -> None:
    """RFC 2308: the smaller of the SOA record's TTL and its MINIMUM."""
    answer = await ask(server, question(name, type_))
    assert (answer.rcode(), answer.answer) == (code, [])
    assert [(rrset.rdtype, rrset.ttl) for rrset in answer.authority] == [(dns.rdatatype.SOA, 60)]
    assert answer.flags & dns.flags.AA


async def test_what_is_delegated_is_referred(server: Node) -> None:
    answer = await ask(server, question("x.sub.p.example"))
    assert not answer.flags & dns.flags.AA
    assert [str(rrset) for rrset in answer.authority] == ["sub.p.example. 300 IN NS ns.sub.p.example."]
    assert [str(rrset) for rrset in answer.additional] == ["ns.sub.p.example. 300 IN A 192.0.2.99"]


@pytest.mark.parametrize("name", ["q.example", "example", ".", "xp.example", "p.example.org"])
async def test_what_is_not_ours_is_refused(server: Node, name: str) -> None:
    answer = await ask(server, question(name))
    assert answer.rcode() == dns.rcode.REFUSED
    assert not answer.flags & dns.flags.AA
    assert not answer.answer + answer.authority


@pytest.mark.parametrize(
    ("client", "source", "expected", "scope"),
    [
        ("10.1.2.0", 24, "A 198.51.100.10", 16),
        ("10.2.0.0", 16, "A 198.51.100.20", 16),
        ("10.3.3.3", 32, "A 198.51.100.30", 16),
        ("2001:db8:1::", 56, "A 198.51.100.10", 48),
    ],
)
async def test_clients_are_sent_to_their_region(
    server: Node, client: str, source: int, expected: str, scope: int
) -> None:
    answer = await ask(server, question("www.p.example", options=[subnet(client, source)]))
    assert texts(answer) == [expected]
    (option,) = answer.options
    assert isinstance(option, dns.edns.ECSOption)
    assert (option.address, option.srclen, option.scopelen) == (client, source, scope)


async def test_static_answers_hold_for_everybody_and_none_is_asked_for_a_subnet(server: Node) -> None:
    answer = await ask(server, question("p.example", "TXT", options=[subnet("10.1.2.0", 24)]))
    assert [option.scopelen for option in answer.options] == [0]
    answer = await ask(server, question("p.example", use_edns=0))
    assert answer.edns == 0
    assert answer.options == ()
    assert (await ask(server, question("p.example"))).edns == -1
    answer = await ask(server, question("p.example", options=[subnet("::", 0)]))
    assert [option.scopelen for option in answer.options] == [0]
    assert texts(answer) == ["A 198.51.100.20"]  # the region of the resolver


async def test_answers_that_are_too_long_come_by_tcp(server: Node) -> None:
    for options in ({}, {"use_edns": 0, "payload": 1232}, {"use_edns": 0, "payload": 65_000}):
        query = question("long.p.example", "TXT", **options)
        short = await ask(server, query)
        assert short.flags & dns.flags.TC
        assert not short.answer
        long = await ask(server, query, tcp=True)
        assert not long.flags & dns.flags.TC
        assert len(long.to_wire()) > 1500


async def test_the_case_of_a_question_comes_back(server: Node) -> None:
    answer = await ask(server, question("wWw.P.eXample"))
    assert str(answer.question[0].name) == "wWw.P.eXample."
    assert str(answer.answer[0].name) == "wWw.P.eXample."


async def test_cookies_and_the_name_of_the_server(server: Node) -> None:
    client = b"12345678"
    asked = [dns.edns.GenericOption(10, client), dns.edns.GenericOption(3, b"")]
    answer = await ask(server, question("p.example", options=asked))
    found = {int(option.otype): option for option in answer.options}
    assert found[3].to_text().endswith("dns-1") or b"dns-1" in found[3].to_wire()
    whole = found[10].to_wire()
    assert (whole[:8], len(whole)) == (client, 24)
    again = await ask(server, question("p.example", options=[dns.edns.GenericOption(10, whole)]))
    assert texts(again) == texts(answer)


async def test_many_questions_on_one_connection(server: Node) -> None:
    host, port = server.running.doors["dns"]
    reader, writer = await asyncio.open_connection(host, port)
    queries = [question("p.example", "TXT"), question("www.p.example"), question("q.example")]
    wires = [query.to_wire() for query in queries]
    writer.write(b"".join(len(each).to_bytes(2, "big") + each for each in wires))
    for query in queries:
        length = int.from_bytes(await reader.readexactly(2), "big")
        packet = await reader.readexactly(length)
        assert packet[:2] == query.id.to_bytes(2, "big")
    writer.close()
    await writer.wait_closed()
