"""[regions.NAME] and [geodns]: tables by name, and every mistake in them at once."""

from __future__ import annotations

import re
import tomllib

import msgspec
import pytest

from pastebin.config import describe, load, notices
from pastebin.sections_regions import RegionSection
from tests.test_config import REFERENCE, WriteFile, complaints, write

__all__ = ["write"]

US = '[regions.us]\naddresses = ["192.0.2.1"]\n'
DNS = '[node]\nroles = ["geodns"]\n[geodns]\nzone = "p.example"\nnameservers = ["ns.p.example"]\n'


def test_the_reference_shows_a_region_with_every_option() -> None:
    """As comments: a region that is there by default would be nowhere."""
    text = REFERENCE.read_text(encoding="utf-8").partition("\n[regions]")[2]
    lines = re.findall(r"^# (?=\[regions|\w+ +=)(.*)", text, re.MULTILINE)
    shown = tomllib.loads("\n".join(lines))["regions"]["us"]
    assert list(shown) == list(RegionSection.__struct_fields__)
    given = {"latitude": None, "longitude": None}
    assert msgspec.convert({**shown, **given}, RegionSection) == RegionSection()
    assert all(re.search(r"\S +# \S.{5,}", line) for line in lines)


def test_regions_are_tables_by_name(write: WriteFile) -> None:
    path = write(
        US + 'nodes = [{ name = "n", roles = ["web"], url = "http://n:1" }]\n[regions.eu]\naddresses = ["::1"]'
    )
    chosen = load(path)
    assert list(chosen.regions) == ["us", "eu"]
    assert chosen.regions["us"].nodes[0].url == "http://n:1"
    described = tomllib.loads("\n".join(describe(chosen)))
    assert described["regions"]["us"]["nodes"][0]["roles"] == ["web"]
    assert set(described["regions"]) == {"us", "eu"}


def test_everything_wrong_is_told_at_once(write: WriteFile) -> None:
    path = write(
        """
        [node]
        roles = ["geodns"]
        [geodns]
        zone = "p.example"
        names = ["www.q.example.", "a b", "www.p.example."]
        ttl_seconds = 0
        [regions]
        eu = 3
        [regions.US]
        [regions.us]
        bogus = 1
        latitude = 91
        """
    )
    assert [line.split(": ")[0] for line in complaints(path)] == [
        "geodns.ttl_seconds",
        "regions.eu",
        "regions.US",
        "regions.us.bogus",
        "regions.us.latitude",
        "geodns.names",  # what is wrong in some options hides nothing that is wrong in others
        "geodns.nameservers",
        "geodns.names",
        "geodns.names",
        "regions.us.addresses",
    ]
    path = write(
        DNS.replace('["ns.p.example"]', '["x y"]')
        + 'names = ["www.q.example.", "a b", "www.p.example."]\npeers = ["h"]\n'
        + US
        + 'networks = ["10.0.0.0/8"]\nfallbacks = ["mars"]\n[regions.eu]\nnetworks = ["10.2.0.0/16"]'
    )
    assert [line.split(": ")[0] for line in complaints(path)] == [
        "geodns.names",
        "geodns.names",
        "geodns.nameservers",
        "geodns.peers[0]",
        "node.secret",
        "regions.us.fallbacks",
        "regions.eu.addresses",
        "regions.eu.networks",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (DNS, "regions: there is none"),
        ('[node]\nroles = ["geodns"]\n' + US, "geodns.zone: is required"),
        (DNS.replace("nameservers", "#") + US, "geodns.nameservers: is required"),
        (US + US, "{path}: is not TOML: "),  # two regions with one name
        (US + "weight = 0", "regions: one of them has to have a weight"),
        (US + 'nodes = [{ name = "n" }, { name = "n" }]', "regions.us.nodes[1].name: n is a node of region us"),
    ],
)
def test_what_cannot_work_is_refused(write: WriteFile, text: str, start: str) -> None:
    path = write(text)
    assert complaints(path)[0].startswith(start.format(path=path))


def test_what_is_right_is_taken(write: WriteFile) -> None:
    assert load(write(DNS + US)).geodns.zone == "p.example"


def test_a_node_that_is_in_none_of_the_regions_is_noticed(write: WriteFile) -> None:
    text = '[node]\nregion = "{}"\nroles = {}\n[regions.eu]\naddresses = ["192.0.2.1"]\n'
    for region, roles, told in (
        ("local", '["read"]', ["node.region: 'local' is none of the regions; there are eu"]),
        ("eu", '["read"]', []),
        ("local", '["geodns"]\n[geodns]\nzone = "p.example"\nnameservers = ["ns.test"]', []),
    ):
        assert [str(notice) for notice in notices(load(write(text.format(region, roles))))] == told
