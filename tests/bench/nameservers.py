"""Name servers to be measured: a node with the role geodns, and gdnsd (Debian: gdnsd) with the same zone and map.

Both are given the same database of networks, so that both have to look up a subnet in it for every answer. dnsperf
(Debian: dnsperf) asks, with a subnet in every question (EDNS Client Subnet).
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path

import dns.asyncquery
import dns.edns
import dns.exception
import dns.message
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from tests.bench.harness import WrongAnswer, pin_server
from tests.nodes import SECRET
from tests.ports import free_port

ZONE = """
$TTL 300
@    IN SOA ns1 hostmaster 7 7200 900 1209600 60
@    IN NS  ns1
@    IN TXT "hello"
ns1  IN A   192.0.2.53
"""
REGIONS = {"US": "198.51.100.10", "DE": "198.51.100.20", "IL": "198.51.100.30", "JP": "198.51.100.40"}
_CONTINENTS = {"US": "NA", "DE": "EU", "IL": "AS", "JP": "AS"}
_NETWORKS = 5000
_START_SECONDS = 20.0
_GDNSD = """
options => {{
  listen => {{ "127.0.0.1:{port}" => {{ udp_threads = 1, tcp_threads = 1 }} }}
  run_dir => {directory}/run, state_dir => {directory}/state, zones_rfc1035_auto = false
}}
plugins => {{ geoip => {{
  maps => {{ world => {{
    geoip2_db => {database}, datacenters => [US, DE, IL, JP],
    map => {{ NA => [US], EU => [DE], AS => {{ IL => [IL], JP => [JP] }}, default => [DE] }}
  }} }}
  resources => {{ www => {{ map => world, service_types => up,
    dcmap => {{ US => 198.51.100.10, DE => 198.51.100.20, IL => 198.51.100.30, JP => 198.51.100.40 }} }} }}
}} }}
"""


class World:
    """Networks and the country of each, always the same."""

    def __init__(self) -> None:
        dice = random.Random(6)  # noqa: S311
        starts = dice.sample(range(1 << 8, 223 << 8), _NETWORKS)  # of a /16
        self.countries = {
            IPv4Network((start << 16, 16)): dice.choice(list(REGIONS))
            for start in starts
            if start >> 8 not in (10, 127)
        }

    def write(self, path: Path) -> None:
        """As a database in MaxMind's format."""
        writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="GeoLite2-Country", languages=["en"])
        for country, continent in _CONTINENTS.items():
            networks = IPSet([str(network) for network, found in self.countries.items() if found == country])
            record = {"country": {"iso_code": country}, "continent": {"code": continent}}
            writer.insert_network(networks, record)
        writer.to_db_file(str(path))

    def subnets(self, count: int) -> list[IPv4Network]:
        """Clients' networks, /24, somewhere in it."""
        dice = random.Random(7)  # noqa: S311
        networks = list(self.countries)
        return [
            IPv4Network((int(dice.choice(networks).network_address) | dice.randrange(256) << 8, 24))
            for _ in range(count)
        ]


def query(subnet: IPv4Network, **options: object) -> dns.message.Message:
    """What dnsperf asks."""
    option = dns.edns.ECSOption(str(subnet.network_address), subnet.prefixlen)
    made: dns.message.Message = dns.message.make_query(
        "www.p.example", "A", use_edns=0, payload=1232, options=[option], flags=0, **options
    )
    return made


@asynccontextmanager
async def node(directory: Path, *options: str) -> AsyncIterator[tuple[int, int]]:
    """Port and process id of a node that answers for p.example by world.mmdb in the directory."""
    port = free_port()
    (directory / "zone").write_text(ZONE)
    regions = "".join(
        f'[regions.{country.lower()}]\naddresses = ["{address}"]\ncountries = ["{country}"]\n'
        for country, address in REGIONS.items()
    )
    config = directory / "node.toml"
    config.write_text(
        f'[node]\nsecret = "{SECRET}"\nroles = ["geodns"]\ndata_dir = "{directory}/data"\n'
        f'[doors]\ndns = "127.0.0.1:{port}"\ninternal = "127.0.0.1:0"\n'
        f'[geo]\ndatabase = "{directory}/world.mmdb"\n'
        f'[geodns]\nzone = "p.example"\nfile = "{directory}/zone"\nnames = ["www"]\nresponses_per_second = 0\n{regions}'
    )
    config.chmod(0o600)
    command = [sys.executable, "-m", "pastebin", "serve", f"--config={config}", *options]
    async with _running(command, directory / "node.log", port) as pid:
        yield port, pid


@asynccontextmanager
async def gdnsd(directory: Path) -> AsyncIterator[tuple[int, int]]:
    """The same of gdnsd, with one thread."""
    port, home = free_port(), directory / "gdnsd"
    for name in ("zones", "run", "state", "geoip"):
        (home / name).mkdir(parents=True)
    (home / "zones" / "p.example").write_text(f"{ZONE}www 30 DYNA geoip!www\n")
    (home / "config").write_text(_GDNSD.format(port=port, directory=home, database=directory / "world.mmdb"))
    async with _running(["gdnsd", "-c", str(home), "start"], directory / "gdnsd.log", port) as pid:
        yield port, pid


@asynccontextmanager
async def _running(command: Sequence[str], path: Path, port: int) -> AsyncIterator[int]:
    """A server that answers, on the processor of servers."""
    if shutil.which(command[0]) is None:
        raise WrongAnswer(f"{command[0]} is not installed: apt-get install gdnsd dnsperf")
    with path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=asyncio.subprocess.STDOUT
        )
    try:
        until = time.perf_counter() + _START_SECONDS
        while True:
            if process.returncode is not None or time.perf_counter() > until:
                raise WrongAnswer(f"{command[0]} does not answer: {path.read_text()[-2000:]}")
            try:
                await dns.asyncquery.udp(query(IPv4Network("192.0.2.0/24")), "127.0.0.1", port=port, timeout=0.2)
            except (dns.exception.Timeout, OSError):
                continue
            break
        pin_server(process.pid)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def write_queries(path: Path, subnets: Sequence[IPv4Network]) -> None:
    """As dnsperf -B takes them."""
    wires = [query(subnet).to_wire() for subnet in subnets]
    path.write_bytes(b"".join(len(wire).to_bytes(2, "big") + wire for wire in wires))


async def dnsperf(port: int, queries: Path, seconds: float, *options: str) -> str:
    """What it prints. Raises WrongAnswer if any question was left without a good answer."""
    command = ["-s", "127.0.0.1", "-p", str(port), "-B", "-d", str(queries), "-l", str(max(1, round(seconds)))]
    process = await asyncio.create_subprocess_exec(
        "dnsperf", *command, "-c", "4", *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), seconds + 60)
    text = out.decode()
    codes = re.search(r"Response codes: +(.*)", text)
    if process.returncode or codes is None or "100.00%" not in codes[1] or "NOERROR" not in codes[1]:
        raise WrongAnswer(f"dnsperf: {text[-1000:]}")
    lost = re.search(r"Queries lost: +(\d+)", text)
    if lost is None or lost[1] != "0":
        raise WrongAnswer(f"dnsperf: {text[-1000:]}")
    return text


def rate(text: str) -> float:
    found = re.search(r"Queries per second: +([0-9.]+)", text)
    if found is None:
        raise WrongAnswer(f"dnsperf: {text[-1000:]}")
    return float(found[1])
