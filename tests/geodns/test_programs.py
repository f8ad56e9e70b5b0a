"""What programs that others have written find: dig, kdig, dnsperf, named-checkzone."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from pastebin.errors import ConfigError
from pastebin.geodns import keys
from pastebin.geodns.zone import load
from pastebin.sections_regions import GeodnsSection
from tests.geodns.dns_client import ZONE, serving
from tests.nodes import Node
from tests.programs import require


@pytest.fixture(scope="module", params=["unsigned", "signed"])
async def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    paths = []
    if request.param == "signed":
        paths = [str(Path(tmp_path_factory.mktemp("keys")) / "key.pem")]
        keys.make(Path(paths[0]))
    async with serving(geodns__dnssec_keys=paths) as node:
        yield node


async def run(program: str, *options: str) -> str:
    """What it prints; it is content."""
    command = [require(program), *options]
    found = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found
    return found.stdout + found.stderr


async def dig(node: Node, *options: str, program: str = "dig") -> str:
    host, port = node.running.doors["dns"]
    told = await run(program, f"@{host}", "-p", str(port), *options)
    warnings = [line for line in told.splitlines() if "warning" in line.lower() and "recursion requested" not in line]
    assert not warnings, told
    return told


def flags(told: str) -> set[str]:
    found = re.search(r"^;; flags: ([a-z ]*);", told, re.MULTILINE)
    assert found, told
    return set(found[1].split())


# RFC 8906, section 8: the commands, the status, and what has to be there; `+nocookie` is what old ones do by themselves
COMMANDS = [
    ("8.1.1", "+noedns +noad +norec soa", "NOERROR", "SOA"),
    ("8.1.2", "+noedns +noad +norec type1000", "NOERROR", ""),
    ("8.1.3.1", "+noedns +noad +norec +cd soa", "NOERROR", "SOA"),
    ("8.1.3.2", "+noedns +norec +ad soa", "NOERROR", "SOA"),
    ("8.1.3.3", "+noedns +noad +norec +zflag soa", "NOERROR", "SOA"),
    ("8.1.3.4", "+noedns +noad +rec soa", "NOERROR", "SOA"),
    ("8.1.4", "+noedns +noad +opcode=15 +norec +header-only", "NOTIMP", ""),
    ("8.1.5", "+noedns +noad +norec +tcp soa", "NOERROR", "SOA"),
    ("8.2.1", "+edns=0 +nocookie +noad +norec soa", "NOERROR", "SOA"),
    ("8.2.2", "+edns=1 +noednsneg +nocookie +noad +norec soa", "BADVERS", ""),
    ("8.2.3", "+edns=0 +ednsopt=100 +nocookie +noad +norec soa", "NOERROR", "SOA"),
    ("8.2.4", "+edns=0 +ednsflags=0x40 +nocookie +noad +norec soa", "NOERROR", "SOA"),
    ("8.2.5", "+edns=1 +noednsneg +ednsflags=0x40 +nocookie +noad +norec soa", "BADVERS", ""),
    ("8.2.6", "+edns=1 +noednsneg +ednsopt=100 +nocookie +noad +norec soa", "BADVERS", ""),
    ("8.2.7", "+norec +dnssec +bufsize=512 +ignore dnskey", "NOERROR", ""),
    ("8.2.8", "+edns=0 +nocookie +noad +norec +dnssec soa", "NOERROR", "SOA"),
    ("8.2.9", "+edns=1 +noednsneg +nocookie +norec +noad +dnssec soa", "BADVERS", ""),
    ("8.2.10", "+edns=0 +noad +norec +cookie +nsid +expire +subnet=0.0.0.0/0 soa", "NOERROR", "SOA"),
]


@pytest.mark.parametrize(("section", "options", "status", "answer"), COMMANDS, ids=[each[0] for each in COMMANDS])
async def test_rfc_8906_with_dig(server: Node, section: str, options: str, status: str, answer: str) -> None:
    told = await dig(server, *options.split(), "p.example")
    assert f"status: {status}," in told
    assert ("p.example.\t\t300\tIN\tSOA\tns1.p.example." in told) == bool(answer)
    assert flags(told) & {"qr", "ra", "ad", "aa"} == ({"qr", "aa"} if status == "NOERROR" else {"qr"})
    assert ("rd" in flags(told)) == ("+rec " in options)
    assert "MBZ" not in told
    assert ("OPT PSEUDOSECTION" in told) == ("+noedns " not in options)
    if "OPT PSEUDOSECTION" in told:
        assert "EDNS: version: 0" in told
        assert ("flags: do;" in told) == ("+dnssec" in options)
        assert "OPT=100" not in told
    if "opcode" in options:
        assert "opcode: RESERVED15" in told
    if section == "8.2.10":
        assert all(name in told for name in ("COOKIE: ", "(good)", "NSID: ", "CLIENT-SUBNET: 0.0.0.0/0/0"))
        assert "EXPIRE" not in told


@pytest.mark.parametrize("program", ["dig", "kdig"])
@pytest.mark.parametrize(
    ("subnet", "region"),
    [("10.1.2.0/24", "198.51.100.10"), ("10.3.128.0/17", "198.51.100.30"), ("2001:db8:1:2::/64", "198.51.100.10")],
)
async def test_all_clients_under_a_scope_get_one_answer(server: Node, program: str, subnet: str, region: str) -> None:
    async def asked(text: str) -> tuple[str, int]:
        told = await dig(server, "+norec", f"+subnet={text}", "www.p.example", "A", program=program)
        address = re.search(r"^www\.p\.example\.\s+30\s+IN\s+A\s+(\S+)$", told, re.MULTILINE)
        option = re.search(r"CLIENT-SUBNET: \S+?/(\d+)/(\d+)", told)
        assert address, told
        assert option, told
        assert option[1] == text.partition("/")[2]
        return address[1], int(option[2])

    address, scope = await asked(subnet)
    assert address == region
    network = ip_network(f"{subnet.partition('/')[0]}/{scope}", strict=False)
    dice = random.Random(subnet)  # noqa: S311
    others = [int(network[0]), int(network[-1]), dice.randrange(int(network[0]), int(network[-1]))]
    for number in others:
        client = ip_address(number) if network.version == 4 else type(network[0])(number)
        assert await asked(f"{client}/{network.max_prefixlen}") == (address, scope)


async def test_dnsperf_loses_nothing(server: Node, tmp_path: Path) -> None:
    host, port = server.running.doors["dns"]
    asked = ["p.example SOA", "www.p.example A", "www.p.example AAAA", "chain.p.example A", "q.wild.p.example TXT"]
    queries = tmp_path / "queries"
    queries.write_text("\n".join(asked * 40))
    common = ("-s", host, "-p", str(port), "-d", str(queries), "-n", "1", "-t", "60")
    for options in (("-m", "udp"), ("-m", "tcp"), ("-E", "8:000118000a0102"), ("-D",)):
        told = await run("dnsperf", *common, *options)
        assert re.search(r"Queries lost: +0 ", told), told
        assert re.search(r"Response codes: +NOERROR 200 \(100.00%\)", told), told


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("", True),
        ("x IN A 192.0.2.256\n", False),
        ("x IN CNAME mail\nx IN TXT x\n", False),
        ("@ IN CNAME mail\n", False),
        ("x IN SOA ns1 hostmaster 1 2 3 4 5\n", False),
        ("x IN NOTHING 1\n", False),
        ('x IN TXT "open\n', False),
        (f"{'x' * 64} IN A 192.0.2.1\n", False),
        ("x IN MX mail\n", False),
    ],
)
async def test_named_checkzone_agrees(tmp_path: Path, text: str, is_good: bool) -> None:
    path, whole = tmp_path / "zone", tmp_path / "whole"
    path.write_text(ZONE + text)
    whole.write_text(f"{ZONE}{text}www IN A 192.0.2.1\n")  # else it misses the name that is answered by regions
    command = [require("named-checkzone"), "p.example", str(whole)]
    found = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert (found.returncode == 0) == is_good, found.stdout
    section = GeodnsSection(zone="p.example", file=str(path), names=["www"])
    if is_good:
        assert load(section)
    else:
        with pytest.raises(ConfigError):
            load(section)
