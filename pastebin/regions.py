"""What is wrong with the tables [regions.NAME], taken together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from pastebin.errors import Problem
from pastebin.places import is_site, is_url
from pastebin.sections import NodeSection
from pastebin.sections_regions import RegionSection

CONTINENTS = ("AF", "AN", "AS", "EU", "NA", "OC", "SA")


def check(regions: Mapping[str, RegionSection]) -> Iterator[Problem]:
    """Every rule that they break."""
    for name, region in regions.items():
        yield from _check_region(f"regions.{name}", region)
        for fallback in region.fallbacks:
            if fallback not in regions:
                yield Problem(f"regions.{name}.fallbacks", f"{fallback!r} is not a region; there are {_told(regions)}")
            elif fallback == name or region.fallbacks.count(fallback) > 1:
                yield Problem(f"regions.{name}.fallbacks", f"{fallback!r} is the region itself, or named twice")
    yield from _check_networks(regions)
    yield from _check_nodes(regions)
    if regions and not any(region.weight for region in regions.values()):
        yield Problem(
            "regions", "one of them has to have a weight above 0: else there is none for clients from nowhere"
        )


def none() -> Iterator[Problem]:
    """What is said where there has to be a region and there is none."""
    yield Problem("regions", "there is none: at least one table such as [regions.us] with addresses is needed")


def notice_home(regions: Mapping[str, RegionSection], node: NodeSection) -> Iterator[Problem]:
    """Whether a node that knows regions is in one of them; where a name server is, matters to nobody."""
    if regions and node.region not in regions and node.roles != ["geodns"]:
        yield Problem("node.region", f"{node.region!r} is none of the regions; there are {_told(regions)}")


def notices(regions: Mapping[str, RegionSection]) -> Iterator[Problem]:
    """What breaks no rule. Resolvers keep "there is no such address" for all clients (RFC 7871, 7.4)."""
    for version in (4, 6):
        having = {
            name
            for name, region in regions.items()
            if any((":" in text) == (version == 6) for text in region.addresses)
        }
        for name in regions if having else ():
            if name not in having:
                message = (
                    f"has no IPv{version} address and others have: clients of these may be told that there is none"
                )
                yield Problem(f"regions.{name}.addresses", message)


def _check_region(path: str, region: RegionSection) -> Iterator[Problem]:
    if not region.addresses:
        yield Problem(f"{path}.addresses", "is required: the addresses that clients of the region are sent to")
    for text in region.addresses:
        try:
            address = ip_address(text)
        except ValueError:
            yield Problem(f"{path}.addresses", f"{text!r} is no IP address")
            continue
        if address.is_unspecified or address.is_multicast or "%" in text:
            yield Problem(f"{path}.addresses", f"{text} is nobody's address")
    if len(set(region.addresses)) != len(region.addresses):
        yield Problem(f"{path}.addresses", "names an address twice")
    if (region.latitude is None) != (region.longitude is None):
        missing = "latitude" if region.latitude is None else "longitude"
        yield Problem(f"{path}.{missing}", "is required: latitude and longitude come together or not at all")
    for country in region.countries:
        if not re.fullmatch("[A-Z]{2}", country):
            yield Problem(f"{path}.countries", f"{country!r} is no country: two capital letters of ISO 3166-1")
    for continent in region.continents:
        if continent not in CONTINENTS:
            yield Problem(f"{path}.continents", f"{continent!r} is not one of {', '.join(CONTINENTS)}")
    for url in region.probe:
        if not is_url(url, "http", "https") or not is_site(url.partition("?")[0]):
            yield Problem(f"{path}.probe", f"{url!r} must be http(s)://host[:port]/path")


def _check_networks(regions: Mapping[str, RegionSection]) -> Iterator[Problem]:
    """Sorted by where they begin, networks that overlap are neighbours, or have one between them that overlaps too."""
    found: list[tuple[int, int, int, str, IPv4Network | IPv6Network]] = []
    for name, region in regions.items():
        for text in region.networks:
            try:
                network = ip_network(text)
            except ValueError as error:
                yield Problem(f"regions.{name}.networks", f"{text!r} is no network: {error}")
                continue
            found.append((network.version, int(network.network_address), network.prefixlen, name, network))
    found.sort(key=lambda entry: entry[:4])
    open_now: list[tuple[str, IPv4Network | IPv6Network]] = []
    for version, start, _, name, network in found:
        while open_now and (open_now[-1][1].version != version or int(open_now[-1][1].broadcast_address) < start):
            open_now.pop()
        for other_name, other in open_now:
            if other_name != name:
                yield Problem(f"regions.{name}.networks", f"{network} overlaps {other} of region {other_name}")
                break
        open_now.append((name, network))


def _check_nodes(regions: Mapping[str, RegionSection]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, region in regions.items():
        for index, node in enumerate(region.nodes):
            path = f"regions.{name}.nodes[{index}]"
            if node.name in seen:
                yield Problem(f"{path}.name", f"{node.name} is a node of region {seen[node.name]} already")
            seen[node.name] = name
            for option in ("url", "internal"):
                if (url := getattr(node, option)) and not is_site(url):
                    yield Problem(f"{path}.{option}", "must be http(s)://host[:port] without query, fragment or user")


def _told(regions: Mapping[str, RegionSection]) -> str:
    return ", ".join(regions) or "none"
