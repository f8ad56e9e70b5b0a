"""Scopes: wide where neighbours are sent the same way, and right for every address in them."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from pastebin.geo import Geo
from pastebin.geodns.scopes import Scopes, Stopped
from pastebin.sections import GeoSection
from pastebin.sections_regions import RegionSection
from pastebin.steering import Steering
from tests.geodns.dns_client import ask, question, serving, subnet

US = RegionSection(addresses=["192.0.2.1"], continents=["NA"], latitude=39.0, longitude=-77.0, networks=["10.9.0.0/16"])
EU = RegionSection(addresses=["192.0.2.2"], continents=["EU"], latitude=50.0, longitude=8.0, fallbacks=["us"])
JP = RegionSection(addresses=["192.0.2.3"], countries=["JP"], latitude=35.0, longitude=139.0)
WORLD = {"us": US, "eu": EU, "jp": JP}


def write(path: Path, countries: dict[str, Any], version: int = 6) -> None:
    writer = MMDBWriter(version, "Test", ipv4_compatible=version == 6)
    for network, country in countries.items():
        writer.insert_network(IPSet([network]), {"country": {"iso_code": country}} if country else {"x": 1})
    writer.to_db_file(str(path))


@contextmanager
def opened(
    countries: dict[str, Any], tables: dict[str, RegionSection] = WORLD, *, version: int = 6, **named: str
) -> Iterator[tuple[Geo, Scopes, Steering]]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "geo.mmdb"
        write(path, countries, version)
        with Geo.opened(GeoSection(database=str(path), networks=named)) as geo:
            steering = Steering(tables)
            scopes = Scopes(geo, steering, lambda: None)
            scopes._map = scopes.made(threading.Event())
            yield geo, scopes, steering


def test_neighbours_that_are_sent_the_same_way_are_one() -> None:
    countries = {"20.0.0.0/16": "DE", "20.1.0.0/16": "FR", "20.2.0.0/15": "PL", "20.4.0.0/16": "JP"}
    with opened({**countries, "2a00::/32": "DE", "2a00:1::/32": "FR"}) as (geo, scopes, _):
        assert geo.place("20.1.2.3").prefix_length == 16
        assert scopes.place("20.1.2.3") == geo.place("20.1.2.3")._replace(prefix_length=14)
        assert scopes.place("20.4.0.1").prefix_length == 16
        assert scopes.place("2a00:1::1").prefix_length == 31
        assert scopes.place("::ffff:20.1.2.3").prefix_length == 14
        assert scopes.place("nobody") == geo.place("nobody")
        assert scopes.place("2002:1401:203::1") == geo.place("2002:1401:203::1")


CODES = st.sampled_from(["US", "DE", "FR", "JP", ""])
FOUR = st.tuples(st.integers(0, 2**12 - 1).map(lambda bits: bits << 20), st.integers(1, 30)).map(
    lambda pair: str(ip_network((IPv4Address(pair[0]), pair[1]), strict=False))
)
SIX = st.tuples(st.integers(0x200, 0xFFF).map(lambda bits: bits << 116), st.integers(3, 64)).map(
    lambda pair: str(ip_network((IPv6Address(pair[0]), pair[1]), strict=False))
)
NETWORKS = st.dictionaries(st.one_of(FOUR, SIX), CODES, max_size=6)
NAMED = st.dictionaries(FOUR, CODES.filter(bool), max_size=3)
HEALTH = st.dictionaries(st.sampled_from(["us", "eu", "jp"]), st.sampled_from([0.0, 0.3, 1.0]))
TWINS = {**WORLD, "eu-2": RegionSection(addresses=["192.0.2.4"], continents=["EU"], weight=2.0)}


@settings(max_examples=30, deadline=None)
@given(NETWORKS, NAMED, HEALTH, st.sampled_from([WORLD, TWINS]), st.sampled_from([32, 128]), st.data())
def test_every_address_in_a_scope_is_sent_the_same_way(
    countries: dict[str, str],
    named: dict[str, str],
    health: dict[str, float],
    tables: dict[str, RegionSection],
    bits: int,
    data: st.DataObject,
) -> None:
    version = 4 if bits == 32 and not any(":" in text for text in countries) and data.draw(st.booleans()) else 6
    with opened(countries, tables, version=version, **named) as (geo, scopes, steering):
        edges = [ip_network(text) for text in [*countries, *named, "10.9.0.0/16"]]
        some = [int(edge) for one in edges if one.max_prefixlen == bits for edge in (one[0], one[-1])]
        near = st.sampled_from(some).map(lambda edge: min(max(edge, 0), 2**bits - 1)) if some else st.just(0)
        kind = IPv4Address if bits == 32 else IPv6Address
        address = kind(data.draw(st.one_of(near, st.integers(0, 2**bits - 1))))
        ruling = steering.order(address, scopes.place(str(address)), health)
        assert ruling[:2] == steering.order(address, geo.place(str(address)), health)[:2]
        assert ruling.prefix <= steering.order(address, geo.place(str(address)), health).prefix
        free = bits - ruling.prefix
        first = int(address) >> free << free
        inside = [edge for edge in some if edge >> free << free == first]
        inside += [first, first | (1 << free) - 1, first | data.draw(st.integers(0, (1 << free) - 1))]
        for other in map(kind, inside):
            if getattr(other, "ipv4_mapped", None) is None:
                assert steering.order(other, geo.place(str(other)), health)[:2] == ruling[:2], other


def test_a_map_that_nobody_waits_for_is_given_up() -> None:
    stopped = threading.Event()
    stopped.set()
    with opened({"20.0.0.0/16": "DE"}) as (_, scopes, _), pytest.raises(Stopped):
        scopes.made(stopped)


def test_a_tree_without_end_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The root points to itself: reading one address ends after 128 bits, going through all would never."""
    path = tmp_path / "geo.mmdb"
    write(path, {"20.0.0.0/16": "DE"})
    content = path.read_bytes()
    with Geo.opened(GeoSection(database=str(path))) as geo:
        assert geo.database is not None
        nodes = geo.database.reader.metadata().node_count
    path.write_bytes(b"\0" * 6 * nodes + content[6 * nodes :])
    with Geo.opened(GeoSection(database=str(path))) as geo:
        scopes = Scopes(geo, Steering(WORLD), lambda: None)
        with caplog.at_level(logging.WARNING):
            asyncio.run(scopes._make(geo.database, scopes._steering))
        assert "as narrow as" in caplog.text
        assert scopes.place("20.0.0.1") == geo.place("20.0.0.1")


async def test_a_server_answers_with_wide_scopes_also_for_the_next_database(tmp_path: Path) -> None:
    path = tmp_path / "geo.mmdb"
    regions = {
        "us": {"addresses": ["192.0.2.1"], "continents": ["NA"]},
        "eu": {"addresses": ["192.0.2.2"], "continents": ["EU"]},
    }
    write(path, {"20.0.0.0/16": "DE", "20.1.0.0/16": "FR", "20.2.0.0/15": "US"})
    async with serving(regions=regions, geo__database=str(path)) as node:

        async def until(scope: int) -> None:
            async with asyncio.timeout(60):
                while True:
                    answer = await ask(node, question("www.p.example", options=[subnet("20.1.2.0", 24)]))
                    if answer.options[0].scopelen == scope:  # type: ignore[attr-defined]
                        return
                    await asyncio.sleep(0.02)  # there is no event to await

        await until(15)
        unfinished = path.with_suffix(".new")
        write(unfinished, {"20.0.0.0/16": "DE", "20.1.0.0/17": "FR", "20.1.128.0/17": "US"})
        unfinished.rename(path)
        await until(17)
