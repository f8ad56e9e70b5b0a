"""Steering: who is sent where, and for whom else the answer holds."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import ConfigError
from pastebin.geo import Place
from pastebin.sections_regions import RegionSection
from pastebin.steering import GRAIN, Steering

US = RegionSection(
    addresses=["198.51.100.10"],
    latitude=39.0,
    longitude=-77.5,
    countries=["US", "CA"],
    continents=["NA", "SA"],
    networks=["10.1.0.0/16"],
    fallbacks=["eu"],
)
EU = RegionSection(addresses=["198.51.100.20"], latitude=50.1, longitude=8.7, continents=["EU", "AF"])
IL = RegionSection(addresses=["198.51.100.30"], latitude=32.1, longitude=34.8, countries=["IL"])
JP = RegionSection(addresses=["198.51.100.40"], latitude=35.7, longitude=139.7, networks=["2001:db8::/32"])
WORLD = {"us": US, "eu": EU, "il": IL, "jp": JP}
OSAKA = Place("", "", 34.7, 135.5, 20)


@pytest.mark.parametrize(
    ("address", "place", "order"),
    [
        ("10.1.2.3", Place("IL", "AS", 32.0, 34.0, 24), ["us", "eu", "il", "jp"]),
        ("192.0.2.1", Place("US", "NA", prefix_length=16), ["us", "eu", "il", "jp"]),
        ("192.0.2.1", Place("IL", "AS", 32.0, 34.9, 16), ["il", "eu", "jp", "us"]),
        ("192.0.2.1", Place("BR", "SA", -15.0, -48.0, 16), ["us", "eu", "il", "jp"]),
        ("192.0.2.1", OSAKA, ["jp", "il", "eu", "us"]),
        ("2001:db8:7::1", Place("US", "NA", 40.0, -80.0, 32), ["jp", "il", "eu", "us"]),
        ("::ffff:10.1.2.3", Place("IL"), ["us", "eu", "il", "jp"]),
    ],
)
def test_networks_then_countries_then_continents_then_distance(address: str, place: Place, order: list[str]) -> None:
    assert list(Steering(WORLD).order(address, place).regions) == order


def test_what_is_down_goes_to_the_end_and_nothing_is_left_out() -> None:
    steering = Steering(WORLD)
    ruling = steering.order("10.1.2.3", health={"us": 0.0})
    assert (ruling.regions, ruling.well, ruling.chosen) == (("eu", "il", "jp", "us"), 3, ("eu",))
    ruling = steering.order("10.1.2.3", health=dict.fromkeys(WORLD, 0.0))
    assert (ruling.well, ruling.chosen) == (0, ("us", "eu", "il", "jp"))


def test_scopes_are_as_wide_as_the_answer_holds() -> None:
    assert Steering({"eu": EU}).order("10.1.2.3", OSAKA).prefix == 0
    assert Steering(WORLD).order("10.1.2.3", OSAKA).prefix == 16
    assert Steering(WORLD).order("2001:db8::1", OSAKA).prefix == 32
    assert Steering(WORLD).order("192.0.2.1", OSAKA).prefix == 20
    halves = RegionSection(addresses=["192.0.2.1"], networks=["10.0.0.0/9", "10.128.0.0/9"])
    assert Steering({"a": halves, "b": EU}).order("10.200.1.1").prefix == 8
    assert Steering(WORLD).order("192.0.2.1", Place(prefix_length=8)).prefix == GRAIN[4]


def test_equals_share_by_weight() -> None:
    tables = {
        "one": RegionSection(addresses=["192.0.2.1"], countries=["DE"], weight=3.0),
        "two": RegionSection(addresses=["192.0.2.2"], countries=["DE"], weight=1.0),
        "spare": RegionSection(addresses=["192.0.2.3"], countries=["DE"], weight=0),
    }
    steering = Steering(tables)
    place = Place("DE", "EU", prefix_length=8)
    firsts = Counter(steering.order(IPv4Address(10 << 24 | n << 8), place).regions[0] for n in range(4000))
    assert 0.7 < firsts["one"] / 4000 < 0.8
    assert firsts["two"] + firsts["one"] == 4000
    down = Counter(steering.order(IPv4Address(n << 8), place, {"one": 0, "two": 0}).chosen for n in range(100))
    assert down == {("spare",): 100}


def test_who_has_too_much_to_do_keeps_a_share_of_its_clients() -> None:
    steering = Steering(WORLD)
    place = Place("US", "NA", prefix_length=8)
    rulings = [[steering.order(IPv4Address(n << 8), place, {"us": share}) for n in range(1000)] for share in (0.6, 0.3)]
    kept = [{n for n, ruling in enumerate(each) if ruling.chosen == ("us",)} for each in rulings]
    assert 500 < len(kept[0]) < 700
    assert 200 < len(kept[1]) < 400
    assert kept[1] < kept[0]  # who had gone does not come back while it gets worse
    assert all(ruling.chosen in (("us",), ("eu",)) and ruling.prefix == 24 for each in rulings for ruling in each)
    assert steering.order("192.0.2.1", place, {"us": 1e-9, "eu": 0, "il": 0, "jp": 0}).chosen == ("us",)


def test_a_region_that_goes_first_sheds_clients_too() -> None:
    steering = Steering(WORLD)
    place = Place("IL", "AS", prefix_length=16)
    assert steering.order("192.0.2.1", place, first="us").regions == ("us", "eu", "il", "jp")
    firsts = Counter(steering.order(IPv4Address(n << 8), place, {"us": 0.5}, first="us").chosen for n in range(1000))
    assert set(firsts) == {("us",), ("eu",)}
    assert 400 < firsts["us",] < 600


def test_everything_wrong_is_told_at_once() -> None:
    tables = {
        "us": RegionSection(networks=["10.0.0.0/8", "x"], fallbacks=["us", "mars"], latitude=1.0),
        "eu": RegionSection(addresses=["192.0.2.1", "192.0.2.1", "h"], networks=["10.1.0.0/16"], weight=0),
        "il": RegionSection(addresses=["ff02::1"], countries=["il"], continents=["XX"], probe=["ftp://h"], weight=0),
    }
    with pytest.raises(ConfigError) as raised:
        Steering(tables)
    assert sorted(problem.field for problem in raised.value.problems) == [
        "regions.eu.addresses",
        "regions.eu.addresses",
        "regions.eu.networks",
        "regions.il.addresses",
        "regions.il.continents",
        "regions.il.countries",
        "regions.il.probe",
        "regions.us.addresses",
        "regions.us.fallbacks",
        "regions.us.fallbacks",
        "regions.us.longitude",
        "regions.us.networks",
    ]
    with pytest.raises(ConfigError, match="there is none"):
        Steering({})
    with pytest.raises(ConfigError, match="weight above 0"):
        Steering({"a": RegionSection(addresses=["192.0.2.1"], weight=0)})


NETWORKS = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda pair: str(ip_network(pair, strict=False))),
    max_size=6,
    unique=True,
)
TABLES = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(
        RegionSection,
        addresses=st.just(["192.0.2.1"]),
        latitude=st.just(10.0),
        longitude=st.floats(-180, 180),
        countries=st.lists(st.sampled_from(["US", "DE"])),
        continents=st.lists(st.sampled_from(["EU", "NA"])),
        weight=st.sampled_from([0.5, 1.0, 7.0]),
    ),
    min_size=1,
)
PLACES = st.builds(
    Place, st.sampled_from(["", "US", "DE"]), st.sampled_from(["", "EU"]), st.just(1.0), st.floats(-180, 180)
)
HEALTH = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0.0, 0.3, 1.0]))


@given(TABLES, NETWORKS, PLACES, HEALTH, st.integers(0, 2**32 - 1), st.integers(0, 32), st.data())
def test_the_ruling_is_the_same_inside_its_prefix(
    tables: dict[str, RegionSection],
    networks: list[str],
    place: Place,
    health: dict[str, float],
    bits: int,
    length: int,
    data: st.DataObject,
) -> None:
    """Whatever the tables: a resolver that keeps the answer for the scope serves no client what it would not get."""
    first = next(iter(tables))
    fields = {name: getattr(tables[first], name) for name in RegionSection.__struct_fields__}
    tables[first] = RegionSection(**{**fields, "networks": networks})
    steering = Steering(tables)
    place = place._replace(prefix_length=length)
    ruling = steering.order(IPv4Address(bits), place, health)
    assert sorted(ruling.regions) == sorted(tables)
    free = 32 - ruling.prefix
    other = bits >> free << free | data.draw(st.integers(0, 2**free - 1))
    # its own prefix says for whom the place is the same; others may be anywhere
    is_near = not length or other >> 32 - length == bits >> 32 - length
    elsewhere = place if is_near else data.draw(PLACES)._replace(prefix_length=length)
    assert steering.order(IPv4Address(other), elsewhere, health) == ruling


@given(TABLES, HEALTH, st.one_of(st.ip_addresses().map(str), st.text()), PLACES)
def test_somebody_is_always_named(
    tables: dict[str, RegionSection], health: dict[str, float], address: str, place: Place
) -> None:
    ruling = Steering(tables).order(address, place, health)
    up = {name for name in tables if health.get(name, 1.0)}
    assert ruling.chosen
    assert set(ruling.chosen) <= (up or set(tables))
    assert bool(ruling.well) == bool(up)


def test_ipv6_grain() -> None:
    tables = {"a": RegionSection(addresses=["192.0.2.1"]), "b": RegionSection(addresses=["192.0.2.2"])}
    assert Steering(tables).order(IPv6Address("2001:db8::1")).prefix == 56
