"""PowerDNS before a node: what it answers is what the node itself would."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import dns.asyncquery
import dns.edns
import dns.message
import dns.rcode
import dns.zone
import pytest

from pastebin.geodns.powerdns import PATH, Backend, Call
from tests.geodns.dns_client import REGIONS, ZONE, ask, question, serving, subnet, texts
from tests.geodns.powerdns import powerdns
from tests.geodns.responders import responder
from tests.nodes import Node
from tests.ports import free_port

NAMES = {
    "p.example": ("A", "AAAA", "NS", "SOA", "TXT", "CAA", "MX"),
    "www.p.example": ("A", "AAAA"),
    "chain.p.example": ("A", "CNAME"),
    "x.any.p.example": ("A",),
    "ent.p.example": ("A",),
    "deep.ent.p.example": ("A", "AAAA"),
    "nothing.p.example": ("A",),
    "a.wild.p.example": ("TXT",),
    "x.sub.p.example": ("A",),
    "_x._tcp.p.example": ("SRV",),
    "out.p.example": ("A",),
    "elsewhere.test": ("A",),
}
# two regions that share a country, so that clients are told apart by chance too
WORLD = {
    **REGIONS,
    "one": {"addresses": ["198.51.100.40", "2001:db8::40"], "countries": ["DE"]},
    "two": {"addresses": ["198.51.100.50"], "countries": ["DE"], "weight": 2.0},
}
COUNTRIES = {"20.0.0.0/8": "DE", "2001:db8:20::/44": "DE", "21.0.0.0/8": "IL"}


async def asked(door: tuple[str, int], query: dns.message.Message) -> dns.message.Message:
    return await dns.asyncquery.udp(query, door[0], timeout=60, port=door[1])


def scope(answer: dns.message.Message) -> int | None:
    return next((option.scopelen for option in answer.options if isinstance(option, dns.edns.ECSOption)), None)


def said(answer: dns.message.Message) -> tuple[Any, ...]:
    return answer.rcode(), texts(answer), sorted(map(str, answer.authority)), bool(answer.flags & 0x0400)


def clients() -> list[tuple[str, int]]:
    """Subnets of every kind, always the same ones."""
    chance = random.Random(7)  # noqa: S311  (no secret)
    blocks = [("10.1.0.0", 16), ("10.2.0.0", 16), ("20.0.0.0", 8), ("21.0.0.0", 8), ("0.0.0.0", 0)]  # noqa: S104  (subnets)
    four = [(chance.choice(blocks), chance.choice([16, 20, 24, 24, 24, 32])) for _ in range(80)]
    found = []
    for (start, length), source in four:
        bits = int(ip_address(start)) | chance.getrandbits(32 - length)
        found.append((str(ip_address(bits >> 32 - source << 32 - source)), source))
    six = [int(ip_address("2001:db8:1::")), int(ip_address("2001:db8:20::")), int(ip_address("2a00::"))]
    for _ in range(40):
        bits = chance.choice(six) | chance.getrandbits(80)
        found.append((str(ip_address(bits >> 72 << 72)), 56))
    return found


async def compared(node: Node, door: tuple[str, int], names: list[tuple[str, str]]) -> set[str]:
    """Compare both for every client; the addresses that occurred."""
    seen: set[str] = set()
    for address, length in clients():
        for name, type_ in names:
            query = question(name, type_, options=[subnet(address, length)])
            own, theirs = await ask(node, query), await asked(door, query)
            assert said(theirs) == said(own), (address, name, type_)
            if own.answer:  # RFC 7871, 7.4: what is not there has no scope at PowerDNS
                assert (scope(theirs) or 0) >= (scope(own) or 0), (address, name, type_)
            seen.update(texts(own))
    return seen


async def test_it_answers_as_the_node_does_for_everybody() -> None:
    settings = {"geo__networks": COUNTRIES}
    async with serving(regions=WORLD, **settings) as node, powerdns(node.internal) as door:
        for name, types in NAMES.items():
            for type_ in types:
                query = question(name, type_)
                own, theirs = await ask(node, query), await asked(door, query)
                assert said(theirs) == said(own), (name, type_)
        seen = await compared(node, door, [("www.p.example", "A"), ("chain.p.example", "A"), ("p.example", "AAAA")])
        addresses = {text for table in WORLD.values() for text in table["addresses"]}
        assert {text.split()[1] for text in seen if text.split()[0] in ("A", "AAAA")} >= addresses - {"198.51.100.30"}


async def test_it_follows_when_a_region_goes_down() -> None:
    dead = f"http://127.0.0.1:{free_port()}/readyz"
    regions = {**REGIONS, "us": {**REGIONS["us"], "probe": [dead]}}
    fast = {"geodns__probe_interval_seconds": 0.1, "geodns__down": 1}
    async with serving(regions=regions, **fast) as node, powerdns(node.internal) as door:
        query = question("www.p.example", options=[subnet("10.1.2.0", 24)])
        async with asyncio.timeout(60):
            while texts(await ask(node, query)) != ["A 198.51.100.20"]:
                pass
        assert "A 198.51.100.10" not in await compared(node, door, [("www.p.example", "A")])


async def test_without_the_node_it_has_its_cache_and_then_nothing_until_the_node_is_back() -> None:
    own = {"doors__internal": f"127.0.0.1:{free_port()}"}
    async with AsyncExitStack() as both:
        first = await both.enter_async_context(AsyncExitStack())
        node = await first.enter_async_context(serving(**own))
        door = await both.enter_async_context(powerdns(node.internal))
        static, geographic = question("deep.ent.p.example"), question("www.p.example")
        for query in (static, geographic):
            assert (await asked(door, query)).answer
        await first.aclose()
        assert texts(await asked(door, static)) == ["A 192.0.2.1"]
        assert (await asked(door, geographic)).rcode() == dns.rcode.SERVFAIL
        await both.enter_async_context(serving(**own))
        async with asyncio.timeout(60):
            while not (await asked(door, geographic)).answer:
                pass


def result(backend: Backend, method: str, **parameters: Any) -> Any:
    return backend.result(Call(method, {name.replace("_", "-"): value for name, value in parameters.items()}))


def test_calls_beside_lookups(tmp_path: Path) -> None:
    backend = Backend(responder(tmp_path), follows_subnets=True)
    [domain] = result(backend, "getAllDomains", include_disabled=True)
    assert domain == {"id": 1, "zone": "p.example.", "kind": "native", "serial": 7, "notified_serial": 7}
    assert result(backend, "getDomainInfo", name="P.example.") == domain
    assert result(backend, "getDomainInfo", name="q.example.") is False
    assert result(backend, "getDomainMetadata", name="p.example.", kind="PRESIGNED") == []
    assert result(backend, "getAllDomainMetadata", name="p.example.") == {}
    assert result(backend, "initialize") is True
    for method in ("getDomainKeys", "startTransaction", "list", "x"):
        assert result(backend, method, zonename="q.example.") is False
    listed = "\n".join(
        f"{one['qname']} {one['ttl']} IN {one['qtype']} {one['content']}"
        for one in result(backend, "list", zonename="p.example.")
    )
    zone = dns.zone.from_text(listed, "p.example.", relativize=False)
    origin = dns.zone.from_text(ZONE, "p.example.", relativize=False)
    assert all(zone.get_node(name) is not None for name in origin)
    assert len(zone.find_rdataset("p.example.", "A")) == 1


@pytest.mark.parametrize(
    "qname", ["", "x" * 64 + ".p.example.", "q.example.", "a..b", "\\256.p.example.", "é.p.example."]
)
def test_names_that_are_none_have_no_records(tmp_path: Path, qname: str) -> None:
    backend = Backend(responder(tmp_path), follows_subnets=True)
    assert result(backend, "lookup", qname=qname, qtype="ANY", remote="10.1.0.1") == []


@pytest.mark.parametrize(
    ("remote", "real", "follows", "expected"),
    [
        ("10.2.0.1", "10.1.2.0/24", True, ("198.51.100.10", 16)),
        ("10.2.0.1", "10.1.2.0/24", False, ("198.51.100.20", 16)),
        ("10.2.0.1", "0.0.0.0/0", True, ("198.51.100.20", 16)),
        ("10.3.0.1", "10.3.0.1/32", True, ("198.51.100.30", 16)),
        ("::1", "::ffff:10.1.2.0/120", True, ("198.51.100.10", 112)),
        ("10.3.0.1%eth0", "", True, ("198.51.100.30", 16)),
        ("somebody", "x/24", True, None),
    ],
)
def test_the_client_is_the_subnet_else_the_resolver(
    tmp_path: Path, remote: str, real: str, follows: bool, expected: tuple[str, int] | None
) -> None:
    backend = Backend(responder(tmp_path), follows_subnets=follows)
    [record, *_] = result(backend, "lookup", qname="www.p.example.", qtype="A", remote=remote, real_remote=real)
    if expected is None:
        assert record["scopeMask"] == 1  # kept in no cache
    else:
        assert (record["content"], record["scopeMask"]) == expected


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"method": 3}', b'{"method": "lookup", "parameters": []}'])
async def test_what_is_no_call_is_refused(body: bytes) -> None:
    async with serving() as node, aiohttp.ClientSession() as client:
        async with client.post(node.internal + PATH, data=body) as response:
            assert response.status == 400
        async with client.post(node.internal + PATH, data=b'{"method": "lookup", "more": 1}') as response:
            assert (response.status, await response.json()) == (200, {"result": []})
