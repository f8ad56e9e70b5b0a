"""Zones: what is fit to be served, and everything that is wrong at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import ConfigError
from pastebin.geodns.zone import Zone, load
from pastebin.sections_regions import GeodnsSection
from tests.geodns.dns_client import ZONE

HEAD = "@ 60 IN SOA ns hostmaster 1 2 3 4 5\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n"


def read(directory: Path, text: str, *names: str) -> Zone:
    path = directory / "zone"
    path.write_text(text)
    return load(GeodnsSection(zone="P.example.", file=str(path), names=list(names)))


def complaints(directory: Path, text: str, *names: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(directory, text, *names)
    return [str(problem).replace(f" of {directory / 'zone'}", "") for problem in raised.value.problems]


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = HEAD + (
        "a.q.example. 60 IN A 192.0.2.1\n"
        "zero 0 IN A 192.0.2.1\n"
        "c 60 IN CNAME ns\n"
        "www 60 IN A 192.0.2.1\n"
        "sub 60 IN NS ns.sub\n"
        "x.sub 60 IN TXT x\n"
        "d 60 IN DNSKEY 257 3 13 AAAA\n"
    )
    assert complaints(tmp_path, text, "@", "www", "y.sub", "c") == [
        "geodns.file: line 4: a.q.example. A lies outside the zone p.example.",
        "geodns.file: line 5: zero.p.example. A has a TTL of 0",
        "geodns.file: line 10: d.p.example. DNSKEY: signed zones are not served",
        "geodns.file: line 6: c.p.example. has a CNAME record and others",
        "geodns.names: www.p.example. has addresses in the zone file already",
        "geodns.file: line 9: x.sub.p.example. lies below the delegation of sub.p.example.",
        "geodns.file: line 8: the name server ns.sub.p.example. of sub.p.example. lies in the zone and has no address"
        " there",
        "geodns.names: y.sub.p.example. lies below a delegation",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (HEAD + "c 60 IN CNAME ns\nc 60 IN TXT x\n", "geodns.file: line 4: c.p.example. has a CNAME record and"),
        ("", "geodns.file: has no SOA record for p.example."),
        ("@ 60 IN NS a.b.\n", "geodns.file: has no SOA"),
        ("@ 60 IN SOA ns.b. h.b. 1 2 3 4 5\n", "geodns.file: has no NS"),
        ("@ 60 IN A 1.2.3\n", "geodns.file: line 1: the data of A is an IPv4 address"),
        (
            "x 60 IN SOA ns.b. h.b. 1 2 3 4 5\n",
            "geodns.file: line 1: x.p.example. SOA belongs to the zone p.example. only",
        ),
        ("$INCLUDE /etc/passwd\n", "geodns.file: line 1: $INCLUDE is not served; there are"),
        ("$UNICODE 2008\n", "geodns.file: line 1: $UNICODE is not served"),
        ("$ORIGIN\n", "geodns.file: line 1: $ORIGIN cannot be read"),
        ("@ IN A 192.0.2.1\n", "geodns.file: line 1: the record has no TTL, and no $TTL stands before it"),
        ("@ 60 CH A 192.0.2.1\n", "geodns.file: line 1: the class of all records is IN"),
        ("@ 60 IN AB 192.0.2.1\n", "geodns.file: line 1: 'AB' is no type of records"),
        ("@ 60 IN MX mail\n", "geodns.file: line 1: the data of MX is a preference and a name"),
        ("@ 60 IN NAPTR x\n", "geodns.file: line 1: the data of NAPTR is not of this form"),
        ('@ 60 IN TXT "x\n', "geodns.file: line 1: a text in quotes does not end on its line"),
        ("@ 60 IN TXT x )\n", "geodns.file: line 1: the data of TXT is texts, in quotes"),
        ("@ 60 IN TXT ( x\n", "geodns.file: line 1: a parenthesis is not closed"),
        (f"{'a' * 64} 60 IN A 192.0.2.1\n", "geodns.file: line 1: a part of a name has more than 63 characters"),
        ("a..b 60 IN A 192.0.2.1\n", "geodns.file: line 1: a name has an empty part"),
        ("@\n", "geodns.file: line 1: this is no record"),
        ("$TTL soon\n", "geodns.file: line 1: a TTL is a number of seconds"),
        (HEAD + "@ 60 IN SOA ns hostmaster 2 2 3 4 5\n", "geodns.file: line 4: p.example. SOA stands there more"),
    ],
)
def test_what_is_no_zone(tmp_path: Path, text: str, start: str) -> None:
    assert complaints(tmp_path, text)[0].startswith(start)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (
            "@ 60 IN MX 10 nobody\n",
            "the mail server nobody.p.example. of p.example. lies in the zone and does not exist",
        ),
        (
            "@ 60 IN MX 10 c\nc 60 IN CNAME ns\n",
            "the mail server c.p.example. of p.example. lies in the zone and is an",
        ),
        (
            "_x._tcp 60 IN SRV 0 0 1 t\nt 60 IN TXT x\n",
            "the server t.p.example. of _x._tcp.p.example. lies in the zone and has",
        ),
        (
            "_x._tcp 60 IN SRV 0 0 1 T.wild\n*.wild 60 IN CNAME ns\n",
            "the server t.wild.p.example. of _x._tcp.p.example.",
        ),
    ],
)
def test_servers_that_are_not_there_or_are_aliases_are_noticed(tmp_path: Path, text: str, wrong: str) -> None:
    (notice,) = read(tmp_path, HEAD + text).notices
    assert str(notice).startswith(f"geodns.file: line 4 of {tmp_path / 'zone'}: {wrong}")


def test_servers_may_be_elsewhere_or_nowhere_or_have_addresses_of_any_kind(tmp_path: Path) -> None:
    text = "$TTL 60\n@ MX 1 www\n@ MX 2 mail.test.\n@ MX 3 t.wild\n@ MX 4 x.sub\n_x._tcp SRV 0 0 0 .\nno MX 0 .\n"
    assert read(tmp_path, f"{HEAD}{text}*.wild AAAA 2001:db8::1\nsub NS ns.test.\n", "www").notices == ()


def test_lines_that_cannot_be_read_are_told_with_their_numbers(tmp_path: Path) -> None:
    text = HEAD + (
        "a 60 IN A 192.0.2.300\n"
        "b 60 IN TXT ( one ; )\n"
        '    "two ) \\" three"\n'
        "    ) x 60\n"
        "$ORIGIN sub\n"
        "c 60 IN AAAA 2001:db8::1 2001:db8::2\n"
        "d 0 IN A 192.0.2.1\n"
        "e 60 IN TXT ( never\nended\n"
    )
    first = HEAD.count("\n") + 1
    told = complaints(tmp_path, text)
    lines = [line.split(": ")[1] for line in told if ": line " in line]
    assert lines == [f"line {first + place}" for place in (0, 5, 7, 6)]
    assert f"geodns.file: line {first + 6}: d.sub.p.example. A has a TTL of 0" in told


def test_more_mistakes_than_anybody_reads_are_counted(tmp_path: Path) -> None:
    told = complaints(tmp_path, HEAD + "x 60 IN A 1.2.3\n" * 250)
    assert len(told) == 101
    assert told[-1].endswith("and 150 more problems")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(GeodnsSection(zone="p.example", file=str(tmp_path / "none")))
    (tmp_path / "zone").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is no text"):
        load(GeodnsSection(zone="p.example", file=str(tmp_path / "zone")))


def test_a_zone_without_a_file_is_made() -> None:
    zone = load(GeodnsSection(zone="p.example", nameservers=["ns1.p.example", "ns2.test."], names=["@", "ns1"]))
    assert zone.negative_ttl == 60
    assert len(zone.records[zone.origin][2].rdatas) == 2


@given(st.text(max_size=200) | st.lists(st.sampled_from(ZONE.splitlines())).map("\n".join))
def test_any_text_is_a_zone_or_explained(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any-zone"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        zone = load(GeodnsSection(zone="p.example", file=str(path)))
    except ConfigError as error:
        assert error.problems
        return
    assert zone.soa
