"""Signed answers, as validators see them: dnspython, BIND's delv, and Unbound's library."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.dnssec
import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.NSEC
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cli import main
from pastebin.errors import ConfigError
from pastebin.geodns import keys
from pastebin.geodns.signing import Signatures, successor
from pastebin.geodns.zone import Records
from tests.geodns.dns_client import REGIONS, ZONE, ask, question, serving, subnet, texts
from tests.nodes import Node
from tests.programs import require

ORIGIN = dns.name.from_text("p.example.")
SIGNED_CHILD = f"""
safe     IN NS  ns.safe
safe     IN DS  12345 13 2 {"ab" * 32}
ns.safe  IN A   192.0.2.98
dangling IN CNAME nowhere
UPPER    IN MX  10 Mail.P.Example.
"""


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(tmp_path_factory.mktemp("keys")) / "p.example.pem"
    keys.make(path)
    return path


@pytest.fixture(scope="module")
async def server(key: Path) -> AsyncIterator[Node]:
    async with serving(ZONE + SIGNED_CHILD, geodns__dnssec_keys=[str(key)]) as node:
        yield node


async def dnskeys(node: Node) -> dns.rrset.RRset:
    answer = await ask(node, question("p.example", "DNSKEY", want_dnssec=True, payload=1232))
    return answer.find_rrset(answer.answer, ORIGIN, dns.rdataclass.IN, dns.rdatatype.DNSKEY)


async def validated(
    node: Node, name: str, type_: str, *, edns_flags: int = 0, **options: object
) -> dns.message.Message:
    """The answer, when every record set of it that has to be signed is."""
    query = question(name, type_, use_edns=0, ednsflags=dns.flags.DO | edns_flags, payload=1232, **options)
    answer = await ask(node, query)
    assert not answer.flags & (dns.flags.AD | dns.flags.TC)
    known = {ORIGIN: await dnskeys(node)}
    for section in (answer.answer, answer.authority):
        for rrset in section:
            if rrset.rdtype == dns.rdatatype.RRSIG:
                continue
            covering = [each for each in section if each.covers == rrset.rdtype and each.name == rrset.name]
            if rrset.rdtype == dns.rdatatype.NS and not answer.flags & dns.flags.AA:
                assert not covering
                continue
            assert len(covering) == 1, rrset
            assert covering[0].ttl == rrset.ttl
            dns.dnssec.validate(rrset, covering[0], known)
    return answer


def denied(answer: dns.message.Message) -> tuple[str, set[str]]:
    """The name of the NSEC record and its types; nothing lies between it and the next."""
    (rrset,) = (each for each in answer.authority if each.rdtype == dns.rdatatype.NSEC)
    assert isinstance(rrset[0], dns.rdtypes.ANY.NSEC.NSEC)
    assert rrset[0].next == dns.name.Name([b"\0", *rrset.name.labels])
    return str(rrset.name), set(rrset[0].to_text().split()[1:])


@pytest.mark.parametrize(
    ("name", "type_", "expected"),
    [
        ("p.example", "TXT", ['TXT "hello"']),
        ("p.example", "NS", ["NS ns1.p.example.", "NS ns2.elsewhere.test."]),
        ("p.example", "A", ["A 198.51.100.20"]),
        ("upper.p.example", "MX", ["MX 10 mail.p.example."]),
        ("wWw.P.eXample", "A", ["A 198.51.100.20"]),
        ("a.b.any.p.example", "A", ["A 198.51.100.20"]),
        ("q.wild.p.example", "TXT", ['TXT "anything"']),
        ("*.wild.p.example", "TXT", ['TXT "anything"']),
        ("chain.p.example", "A", ["A 198.51.100.20", "CNAME alias.p.example.", "CNAME www.p.example."]),
        ("out.p.example", "A", ["CNAME a.elsewhere.test."]),
        ("p.example", "ANY", ['HINFO "RFC8482" ""']),
        ("safe.p.example", "DS", [f"DS 12345 13 2 {'ab' * 32}"]),
    ],
)
async def test_answers_validate(server: Node, name: str, type_: str, expected: list[str]) -> None:
    answer = await validated(server, name, type_)
    assert [text for text in texts(answer) if not text.startswith("RRSIG")] == expected


@pytest.mark.parametrize("client", ["10.1.0.0", "10.2.0.0", "10.3.0.0"])
async def test_every_region_is_signed(server: Node, client: str) -> None:
    answer = await validated(server, "www.p.example", "A", options=[subnet(client, 16)])
    (expected,) = (table["addresses"][0] for table in REGIONS.values() if f"{client}/16" in table["networks"])
    assert f"A {expected}" in texts(answer)


@pytest.mark.parametrize(
    ("name", "type_", "types"),
    [
        ("no.p.example", "A", {"NXNAME"}),
        ("a.b.no.p.example", "A", {"NXNAME"}),
        ("ent.p.example", "A", set()),
        ("p.example", "SRV", {"A", "AAAA", "NS", "SOA", "MX", "TXT", "DNSKEY", "CDS", "CDNSKEY", "CAA"}),
        ("www.p.example", "AAAA", {"A"}),
        ("www.p.example", "TXT", {"A", "AAAA"}),
        ("q.wild.p.example", "A", {"TXT"}),
        ("p.example", "DS", {"A", "AAAA", "NS", "SOA", "MX", "TXT", "DNSKEY", "CDS", "CDNSKEY", "CAA"}),
        ("sub.p.example", "DS", {"NS"}),
    ],
)
async def test_what_is_not_there_is_proven(server: Node, name: str, type_: str, types: set[str]) -> None:
    """RFC 9824: a name that does not exist is one without types, and NOERROR."""
    answer = await validated(server, name, type_)
    assert answer.rcode() == dns.rcode.NOERROR
    assert denied(answer) == (f"{name}.", types | {"RRSIG", "NSEC"})
    assert [each.ttl for each in answer.authority] == [60] * 4


async def test_who_knows_compact_answers_is_told_nxdomain(server: Node) -> None:
    """RFC 9824, 5."""
    answer = await validated(server, "no.p.example", "A", edns_flags=dns.flags.CO)
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert answer.ednsflags & dns.flags.CO
    assert denied(answer)[1] == {"RRSIG", "NSEC", "NXNAME"}
    plain = await ask(server, question("no.p.example", use_edns=0, ednsflags=dns.flags.CO))
    assert (plain.rcode(), plain.ednsflags) == (dns.rcode.NXDOMAIN, 0)
    assert (await ask(server, question("p.example", "TYPE128"))).rcode() == dns.rcode.FORMERR


async def test_delegations_say_whether_the_child_is_signed(server: Node) -> None:
    answer = await validated(server, "x.sub.p.example", "A")
    assert denied(answer) == ("sub.p.example.", {"NS", "RRSIG", "NSEC"})
    answer = await validated(server, "x.safe.p.example", "A")
    assert [dns.rdatatype.to_text(each.rdtype) for each in answer.authority] == ["NS", "DS", "RRSIG"]
    assert [str(each) for each in answer.additional] == ["ns.safe.p.example. 300 IN A 192.0.2.98"]


async def test_who_does_not_ask_for_signatures_gets_none(server: Node) -> None:
    for name in ("p.example", "no.p.example", "x.safe.p.example"):
        answer = await ask(server, question(name, use_edns=0))
        kinds = {each.rdtype for section in answer.sections[1:] for each in section}
        assert not kinds & {dns.rdatatype.RRSIG, dns.rdatatype.NSEC, dns.rdatatype.DS}
    nsec = await ask(server, question("www.p.example", "NSEC"))
    assert texts(nsec) == ["NSEC \\000.www.p.example. A AAAA RRSIG NSEC"]
    rrsig = await ask(server, question("www.p.example", "RRSIG"))
    assert [text.split()[:2] for text in texts(rrsig)] == [["RRSIG", "NSEC"]]


async def test_what_is_too_long_comes_by_tcp(server: Node) -> None:
    query = question("long.p.example", "TXT", want_dnssec=True, payload=1232)
    assert (await ask(server, query)).flags & dns.flags.TC
    whole = await ask(server, query, tcp=True)
    dns.dnssec.validate(whole.answer[0], whole.answer[1], {ORIGIN: await dnskeys(server)})


async def test_a_parent_can_take_its_ds_from_the_zone(server: Node) -> None:
    (made,) = await dnskeys(server)
    ds = dns.dnssec.make_ds(ORIGIN, made, "SHA256", validating=True)
    assert texts(await validated(server, "p.example", "CDS"))[0] == f"CDS {ds}"
    assert texts(await validated(server, "p.example", "CDNSKEY"))[0] == f"CDNSKEY {made}"


async def test_one_key_takes_the_place_of_another(tmp_path: Path, key: Path) -> None:
    """While there are two, both sign the set of keys, so either DS record leads to it."""
    keys.make(tmp_path / "new.pem")
    async with serving(geodns__dnssec_keys=[str(key), str(tmp_path / "new.pem")]) as node:
        answer = await ask(node, question("p.example", "DNSKEY", want_dnssec=True, payload=1232))
        found, signatures = answer.answer
        assert (len(found), len(signatures)) == (2, 2)
        for one in found:
            alone = dns.rrset.from_rdata(ORIGIN, 60, one)
            dns.dnssec.validate(found, signatures, {ORIGIN: alone})
        await validated(node, "p.example", "TXT")


def test_signatures_are_made_anew_before_they_end_and_when_the_clock_goes_back(key: Path) -> None:
    wire = b"\1p\7example\0"
    signatures = Signatures(wire, keys.load([str(key)]))
    now, day, records = 1_800_000_000.0, 86_400, Records(60, (b"\1x",))
    first = signatures.of(wire, 16, records, now)
    assert signatures.of(wire, 16, records, now + 1) is first
    begins, ends = int.from_bytes(first[0][12:16], "big"), int.from_bytes(first[0][8:12], "big")
    assert begins == now - 3600
    assert 6.5 * day <= ends - now <= 7 * day
    assert not signatures.are_due(now + 3.4 * day)
    assert signatures.are_due(ends - 3 * day)
    assert not signatures.are_due(ends)  # nothing is kept any more
    assert signatures.of(wire, 16, records, ends) != first
    assert signatures.are_due(now)


label = st.binary(min_size=1, max_size=63).map(bytes.lower)


@given(st.lists(label, max_size=12))
def test_the_next_name_is_the_next(labels: list[bytes]) -> None:
    while sum(len(each) + 1 for each in labels) > 253 - 8:
        labels.pop()
    name = dns.name.Name([*labels, b"example", b""])
    following, _ = dns.name.from_wire(successor(name.to_wire() or b""), 0)
    assert following > name
    assert following.is_subdomain(dns.name.from_text("example."))


@pytest.mark.parametrize("tail", [b"a", b"@", b"\xff", b"Z"])
def test_the_longest_names_have_a_next_one_too(tail: bytes) -> None:
    rest = b"".join(bytes([63]) + b"y" * 63 for _ in range(3)) + b"\0"
    for length in range(58, 62):
        name = bytes([length]) + b"x" * (length - 1) + tail + rest
        following, _ = dns.name.from_wire(successor(name.lower()), 0)
        assert following > dns.name.from_wire(name.lower(), 0)[0]


async def run(program: str, *options: str) -> str:
    command = [require(program), *options]
    found = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    return found.stdout + found.stderr


ANSWERS = [
    ("p.example", "SOA"),
    ("www.p.example", "A"),
    ("chain.p.example", "A"),
    ("q.wild.p.example", "TXT"),
    ("upper.p.example", "MX"),
    ("p.example", "DNSKEY"),
    ("long.p.example", "TXT"),
    ("www.p.example", "NSEC"),
    ("p.example", "ANY"),
]
DENIALS = [("no.p.example", "A"), ("a.b.no.p.example", "TXT"), ("ent.p.example", "A"), ("p.example", "SRV")]
DENIALS += [
    ("dangling.p.example", "A"),
    ("nowhere.p.example", "DS"),
    ("www.p.example", "AAAA"),
    ("q.wild.p.example", "A"),
    ("sub.p.example", "DS"),
]


async def test_delv_validates(server: Node, tmp_path: Path) -> None:
    host, port = server.running.doors["dns"]
    (found,) = await dnskeys(server)
    public = found.to_text().split(" ", 3)[3].replace(" ", "")
    (tmp_path / "anchor").write_text(f'trust-anchors {{ p.example. static-key 257 3 13 "{public}"; }};\n')
    common = ("delv", f"@{host}", "-p", str(port), "-a", str(tmp_path / "anchor"), "+root=p.example", "-4")
    for name, type_ in ANSWERS:
        told = await run(*common, name, type_)
        assert "; fully validated" in told, told
    for name, type_ in DENIALS:
        told = await run(*common, name, type_)
        assert "fully validated" in told, told


async def test_unbound_validates(server: Node, tmp_path: Path) -> None:
    host, port = server.running.doors["dns"]
    (found,) = await dnskeys(server)
    ds = dns.dnssec.make_ds(ORIGIN, found, "SHA256")
    config = tmp_path / "unbound.conf"
    config.write_text(
        'server:\n  do-not-query-localhost: no\n  module-config: "validator iterator"\n'
        f'  trust-anchor: "p.example. DS {ds}"\n'
        f'stub-zone:\n  name: "p.example"\n  stub-addr: {host}@{port}\n  stub-prime: no\n'
    )
    for name, type_ in ANSWERS[:5] + DENIALS[:-1]:
        told = await run("unbound-host", "-C", str(config), "-v", "-t", type_, name)
        assert "(secure)" in told, told
        assert "BOGUS" not in told


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda path: path.write_text("nothing"), "is no key"),
        (lambda path: path.chmod(0o644), "everybody may read it"),
        (lambda path: path.unlink(), "pastebin dnssec makes it"),
    ],
)
def test_a_key_that_cannot_be_used(tmp_path: Path, spoil: Callable[[Path], object], complaint: str) -> None:
    path = tmp_path / "key.pem"
    keys.make(path)
    spoil(path)
    with pytest.raises(ConfigError, match=complaint):
        keys.load([str(path)])


def test_the_command_makes_keys_and_tells_the_parents_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, config = tmp_path / "key.pem", tmp_path / "node.toml"
    config.write_text(f'[geodns]\nzone = "P.example"\ndnssec_keys = ["{path}"]\n')
    assert main(["dnssec", "--config", str(config)]) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    told = capsys.readouterr().out
    (made,) = keys.load([str(path)])
    assert told.startswith(f"p.example. 3600 IN DS {made.tag} 13 2 ")
    assert main(["dnssec", "--config", str(config)]) == 0
    assert capsys.readouterr().out == told
    config.write_text("")
    assert main(["dnssec", "--config", str(config)]) == 78
