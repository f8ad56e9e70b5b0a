"""Where addresses are: by networks that are named, by a real database, and while that is replaced."""

from __future__ import annotations

import os
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from pastebin.errors import StartError
from pastebin.geo import Geo, Networks, Place
from pastebin.sections import GeoSection

_CITY = {
    "192.0.2.0/24": {
        "country": {"iso_code": "DE"},
        "continent": {"code": "EU"},
        "location": {"latitude": 52.5, "longitude": 13.4},
    },
    "198.51.100.0/25": {"registered_country": {"iso_code": "BR"}},
    "203.0.113.0/24": {"country_code": "jp"},
    "2001:db8::/32": {"country": {"iso_code": "CA"}},
}


def write(path: Path, records: dict[str, Any]) -> None:
    """A database in its place at once, as those who replace it do."""
    writer = MMDBWriter(6, "Test-City", ipv4_compatible=True)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    unfinished = path.with_suffix(".new")
    writer.to_db_file(str(unfinished))
    unfinished.rename(path)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "city.mmdb"
    write(path, _CITY)
    return path


def test_a_database_says_where_addresses_are(database: Path) -> None:
    with Geo.opened(GeoSection(database=str(database))) as geo:
        assert geo.place("192.0.2.7") == Place("DE", "EU", 52.5, 13.4, 24)
        assert geo.place("198.51.100.1") == Place("BR", "SA", None, None, 25)
        assert geo.place("203.0.113.1")[:2] == ("JP", "AS")
        assert geo.place("2001:db8::1") == Place("CA", "NA", None, None, 32)
        assert geo.place("::ffff:192.0.2.7") == geo.place("192.0.2.7")


@pytest.mark.parametrize("address", ["", "somewhere", "192.0.2.300", "fe80::1%eth0", "8.8.8.8", "::1"])
def test_what_is_not_known_is_nowhere(database: Path, address: str) -> None:
    with Geo.opened(GeoSection(database=str(database))) as geo:
        assert geo.place(address)[:4] == ("", "", None, None)


def test_without_a_database_everything_is_unknown_but_what_is_named() -> None:
    with Geo.opened(GeoSection()) as geo:
        assert geo.place("192.0.2.7") == Place()
        assert not geo.check()
    with Geo.opened(GeoSection(networks={"10.0.0.0/8": "IL", "10.1.0.0/16": "US", "2001:db8::/32": "FR"})) as geo:
        assert geo.place("10.2.0.1")[:2] == ("IL", "AS")
        assert geo.place("10.1.0.1") == Place("US", "NA", prefix_length=16)
        assert geo.place("2001:db8::1") == Place("FR", "EU", prefix_length=32)
        assert geo.place("11.0.0.1")[:2] == ("", "")


def test_a_network_that_is_named_goes_before_the_database(database: Path) -> None:
    with Geo.opened(GeoSection(database=str(database), networks={"192.0.2.128/25": "AT"})) as geo:
        assert geo.place("192.0.2.200") == Place("AT", "EU", prefix_length=25)
        assert geo.place("192.0.2.7") == Place("DE", "EU", 52.5, 13.4, 25)


_PREFIXES = st.integers(0, 2**32 - 1).flatmap(
    lambda bits: st.integers(0, 32).map(lambda length: str(ip_network((bits >> 20 << 20, length), strict=False)))
)


@given(st.dictionaries(_PREFIXES, st.sampled_from(["DE", "FR", "US"]), max_size=8), st.integers(0, 2**32 - 1))
def test_the_longest_network_counts_and_the_answer_holds_for_its_prefix(named: dict[str, str], bits: int) -> None:
    networks = Networks(named)

    def expected(address: int) -> str:
        fitting = [ip_network(text) for text in named if ip_address(address) in ip_network(text)]
        return named[str(max(fitting, key=lambda network: network.prefixlen))] if fitting else ""

    country, length = networks.find(ip_address(bits))
    assert country == expected(bits)
    host = 2 ** (32 - length) - 1
    edges = {int(ip_network(text)[0]) for text in named} | {int(ip_network(text)[-1]) for text in named}
    same = {bits & ~host, bits | host} | {edge for edge in edges if edge & ~host == bits & ~host}
    assert {expected(address) for address in same} == {country}


def test_another_file_is_taken_up_and_a_broken_one_is_not(database: Path) -> None:
    with Geo.opened(GeoSection(database=str(database))) as geo:
        assert not geo.check()
        assert geo.place("192.0.2.7").country == "DE"
        write(database, {"192.0.2.0/24": {"country": {"iso_code": "PL"}}})
        assert geo.check()
        assert geo.place("192.0.2.7").country == "PL"
        database.write_bytes(database.read_bytes()[:100])
        assert not geo.check()
        assert geo.place("192.0.2.8").country == "PL"
        database.unlink()
        assert not geo.check()
        assert geo.place("192.0.2.9").country == "PL"


def test_a_file_that_is_cut_while_it_is_used_harms_nobody(database: Path) -> None:
    with Geo.opened(GeoSection(database=str(database))) as geo:
        os.truncate(database, 0)
        assert geo.place("192.0.2.7").country == "DE"


@pytest.mark.parametrize("content", [None, b"", b"no database", b"\xab\xcd\xefMaxMind.com\xff"])
def test_a_database_that_is_none_keeps_the_node_from_starting(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartError, match=r"geo\.database: .*broken\.mmdb"), Geo.opened(GeoSection(database=str(path))):
        pass


@given(st.data())
def test_damage_within_is_no_more_than_unknown(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "whole.mmdb"
    if not path.exists():
        write(path, _CITY)
    content = bytearray(path.read_bytes())
    end = content.rindex(b"\xab\xcd\xefMaxMind.com")
    for place in data.draw(st.lists(st.integers(0, end - 1), max_size=40)):
        content[place] = data.draw(st.integers(0, 255))
    damaged = folder / "damaged.mmdb"
    damaged.write_bytes(content)
    with Geo.opened(GeoSection(database=str(damaged))) as geo:
        for address in ("192.0.2.7", "198.51.100.1", "203.0.113.1", "2001:db8::1", "8.8.8.8"):
            assert isinstance(geo.place(address), Place)
