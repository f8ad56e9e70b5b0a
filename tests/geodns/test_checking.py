"""`pastebin check` reads the zone file, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from pastebin.cli import main
from tests.geodns.dns_client import ZONE


def test_what_is_wrong_in_the_zone_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zone, config = tmp_path / "zone", tmp_path / "node.toml"
    config.write_text(
        f'[node]\nroles = ["geodns"]\n[geodns]\nzone = "p.example"\nfile = "{zone}"\nnames = ["@", "www"]\n'
        '[regions.us]\naddresses = ["192.0.2.1"]\n'
    )
    zone.write_text(ZONE)
    assert main(["check", "--config", str(config)]) == 0
    shown = capsys.readouterr()
    assert "[regions.us]" in shown.out
    assert "notice:" not in shown.err
    zone.write_text(ZONE + "\nx 60 IN MX 1 nobody\n")
    assert main(["check", "--config", str(config)]) == 0
    assert "the mail server nobody.p.example. of x.p.example. lies in the zone and does not" in capsys.readouterr().err
    zone.write_text(ZONE + "\nx 0 IN A 192.0.2.1\ny.q.example. 60 IN A 192.0.2.1\n")
    assert main(["check", "--config", str(config)]) == 78
    told = capsys.readouterr().err
    assert "x.p.example. A has a TTL of 0" in told
    assert "y.q.example. A lies outside the zone" in told


def test_what_is_wrong_in_configuration_zone_and_map_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zone, config, database = tmp_path / "zone", tmp_path / "node.toml", tmp_path / "geo.mmdb"
    database.write_bytes(b"nothing of the kind")
    zone.write_text(
        "@ 60 IN SOA ns1 hostmaster 7 7200 900 1209600 60\n@ 60 IN SOA ns2 hostmaster 7 7200 900 1209600 60\n"
        "www 60 IN CNAME x\nx 0 IN A 192.0.2.1\nbroken 60 IN A 192.0.2\ny.q.example. 60 IN A 192.0.2.1\n"
    )
    config.write_text(
        f"""
        [node]
        roles = ["geodns"]
        [geo]
        database = "{database}"
        networks = {{ "10.0.0.0/8" = "somewhere" }}
        [geodns]
        zone = "p.example"
        file = "{zone}"
        names = ["www", "www.q.example.", "a..b"]
        ttl_seconds = 0
        down = 101
        [regions.us]
        networks = ["10.0.0.0/8"]
        fallbacks = ["mars"]
        weight = 0
        [regions.eu]
        addresses = ["192.0.2.1"]
        networks = ["10.1.0.0/16"]
        weight = 0
        latitude = 91
        """
    )
    assert main(["check", "--config", str(config)]) == 78
    told = capsys.readouterr().err
    for expected in (
        "geodns.ttl_seconds: expected integer >= 1",
        "geodns.down: expected integer <= 100",
        "regions.eu.latitude: ",
        "geodns.names: www.q.example. lies outside the zone",
        "geodns.names: 'a..b' is no name",
        "regions.us.addresses: is required",
        "regions.us.fallbacks: 'mars' is not a region",
        "regions.eu.networks: 10.1.0.0/16 overlaps 10.0.0.0/8 of region us",
        "regions: one of them has to have a weight above 0",
        "geo.networks: 10.0.0.0/8: must be a country",
        f"geodns.file: line 2 of {zone}: p.example. SOA stands there more than once",
        f"geodns.file: line 5 of {zone}: the data of A is an IPv4 address",
        f"geodns.file: line 6 of {zone}: y.q.example. A lies outside the zone",
        f"geodns.file: line 4 of {zone}: x.p.example. A has a TTL of 0",
        "geodns.file: has no NS record",
        f"geodns.file: line 3 of {zone}: www.p.example. has a CNAME record and others",
        "geo.database: ",
    ):
        assert expected in told, expected


@pytest.mark.parametrize("zone", ["x..y", "a b", "x" * 64, "é.example", "." * 3])
def test_a_zone_that_is_no_name_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str], zone: str) -> None:
    config = tmp_path / "node.toml"
    config.write_text(
        f'[node]\nroles = ["geodns"]\n[geodns]\nzone = "{zone}"\n'
        f'nameservers = ["x y"]\nnames = ["a..b", "{"y" * 64}"]\n'
        '[regions.us]\naddresses = ["192.0.2.1"]\n'
    )
    assert main(["check", "--config", str(config)]) == 78
    assert capsys.readouterr().err.count("geodns.zone: ") == 1


def test_regions_of_which_only_some_have_ipv6_are_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "node.toml"
    text = (
        '[node]\nroles = ["geodns"]\n[geodns]\nzone = "p.example"\nnameservers = ["ns.q.example"]\n'
        '[regions.us]\naddresses = ["192.0.2.1", "2001:db8::1"]\n[regions.eu]\naddresses = ["192.0.2.2"]\n'
    )
    config.write_text(text)
    assert main(["check", "--config", str(config)]) == 0
    assert "notice: regions.eu.addresses: has no IPv6 address" in capsys.readouterr().err
    config.write_text(text.replace('["192.0.2.2"]', '["192.0.2.2", "2001:db8::2"]'))
    assert main(["check", "--config", str(config)]) == 0
    assert "notice" not in capsys.readouterr().err


def test_networks_that_are_none_are_told_with_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "node.toml"
    config.write_text(
        '[node]\nroles = ["geodns"]\n[geodns]\nzone = "p.example"\nnameservers = ["ns1.p.example"]\n'
        '[geo.networks]\n"10.1.0.0/33" = "IL"\n[regions.us]\naddresses = ["192.0.2.1"]\n'
    )
    assert main(["check", "--config", str(config)]) == 78
    told = capsys.readouterr().err
    assert "geo.networks: '10.1.0.0/33' is no network" in told
    assert (
        "geodns.nameservers: the name server ns1.p.example. of p.example. lies in the zone and has no address there"
        in told
    )
