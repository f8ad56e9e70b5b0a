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
    return [str(problem) for problem in raised.value.problems]


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
        "geodns.file: a.q.example. A lies outside the zone p.example.",
        "geodns.file: zero.p.example. A has a TTL of 0",
        "geodns.file: d.p.example. DNSKEY: signed zones are not served",
        "geodns.file: c.p.example. has a CNAME record and others",
        "geodns.names: www.p.example. has addresses in the zone file already",
        "geodns.file: the name server ns.sub.p.example. lies in the zone and has no address there",
        "geodns.file: x.sub.p.example. lies below the delegation of sub.p.example.",
        "geodns.names: y.sub.p.example. lies below a delegation",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (HEAD + "c 60 IN CNAME ns\nc 60 IN TXT x\n", "geodns.file: c.p.example. has a CNAME record and others"),
        ("", "geodns.file: has no SOA record for p.example."),
        ("@ 60 IN NS a.b.\n", "geodns.file: has no SOA"),
        ("@ 60 IN SOA ns.b. h.b. 1 2 3 4 5\n", "geodns.file: has no NS"),
        ("@ 60 IN A 1.2.3\n", "geodns.file: line 1: "),
        ("x 60 IN SOA ns.b. h.b. 1 2 3 4 5\n", "geodns.file: x.p.example. SOA belongs to the zone p.example. only"),
        ("$INCLUDE /etc/passwd\n", "geodns.file: line 1: zone file directive '$INCLUDE' is not allowed"),
        (HEAD + "@ 60 IN SOA ns hostmaster 2 2 3 4 5\n", "geodns.file: line 4: p.example. SOA stands there more"),
    ],
)
def test_what_is_no_zone(tmp_path: Path, text: str, start: str) -> None:
    assert complaints(tmp_path, text)[0].startswith(start)


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
    assert lines == [f"line {first + place}" for place in (0, 5, 7)]
    assert "geodns.file: d.sub.p.example. A has a TTL of 0" in told


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
