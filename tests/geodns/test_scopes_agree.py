"""What a resolver keeps for a scope is what every client in it would get (RFC 7871, 7.3)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import dns.edns
import dns.message
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.geo import Geo
from pastebin.geodns.responding import Responder
from pastebin.sections import GeoSection
from tests.geodns.dns_client import question
from tests.geodns.responders import NOW, responder

BITS = {4: 32, 6: 128}
NAMES = ["us", "eu", "il"]
COUNTRIES = ["US", "DE", "IL", "JP"]
HEAD = {4: 10 << 24, 6: 0x20010DB8 << 96}  # so that networks meet


def address(version: int, number: int) -> str:
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


@st.composite
def networks(draw: st.DrawFn) -> str:
    version = draw(st.sampled_from([4, 6]))
    length = draw(st.integers(4, BITS[version]))
    bits = HEAD[version] | draw(st.integers(0, 255)) << BITS[version] - 8 >> 8 | draw(st.integers(0, 255))
    return str(ip_network((bits >> BITS[version] - length << BITS[version] - length, length)))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, str], dict[str, float]]:
    """Regions, the countries of networks, and the health of regions."""
    named: dict[str, str] = {}
    for text, name in draw(st.dictionaries(networks(), st.sampled_from(NAMES), max_size=5)).items():
        if not any(ip_network(text).overlaps(ip_network(other)) for other in named):  # else they are refused
            named[text] = name
    regions: dict[str, Any] = {}
    for index, name in enumerate(NAMES):
        regions[name] = {
            "addresses": [f"198.51.100.{index}", f"2001:db8::{index}"],
            "networks": [network for network, found in named.items() if found == name],
            "countries": draw(st.lists(st.sampled_from(COUNTRIES), max_size=2, unique=True)),
            "weight": draw(st.sampled_from([1, 1, 3])),
        }
        if draw(st.booleans()):
            regions[name] |= {"latitude": 40.0 - 20 * index, "longitude": 50.0 * index}
    countries = draw(st.dictionaries(networks(), st.sampled_from(COUNTRIES), max_size=5))
    return regions, countries, {name: draw(st.sampled_from([1.0, 1.0, 0.5, 0.0])) for name in NAMES}


def asked(server: Responder, version: int, number: int, length: int) -> tuple[list[str], int]:
    option = dns.edns.ECSOption(address(version, number), length)
    packet = question("www.p.example", options=[option]).to_wire()
    answer = dns.message.from_wire(server.datagram(packet, "127.0.0.1", NOW) or b"")
    found = answer.options[0]
    assert isinstance(found, dns.edns.ECSOption)
    return [str(rdata) for rdata in answer.answer[0]], found.scopelen


@settings(max_examples=80, deadline=None)
@given(world=worlds(), version=st.sampled_from([4, 6]), data=st.data())
def test_answers_under_a_scope_agree(
    tmp_path_factory: Any, world: tuple[dict[str, Any], dict[str, str], Mapping[str, float]], version: int, data: Any
) -> None:
    regions, countries, health = world
    directory = tmp_path_factory.getbasetemp()
    with Geo.opened(GeoSection(networks=countries)) as geo:
        server = responder(directory, regions=regions, place=geo.place, health=health)
        bits = BITS[version]
        edges = [
            number
            for text in [*countries, *(network for table in regions.values() for network in table["networks"])]
            if (network := ip_network(text)).version == version
            for number in (int(network[0]), int(network[-1]))
        ]
        number = data.draw(st.sampled_from(edges) if edges else st.just(HEAD[version]))
        source = data.draw(st.integers(1, bits))
        start = number >> bits - source << bits - source
        told, scope = asked(server, version, start, source)
        free = bits - scope
        first = start >> free << free
        inside = [edge for edge in edges if edge >> free == start >> free]
        anywhere = st.integers(first, first + 2**free - 1)
        other = data.draw(anywhere | st.sampled_from(inside) if inside else anywhere)
        assert asked(server, version, other, bits) == (told, scope)
