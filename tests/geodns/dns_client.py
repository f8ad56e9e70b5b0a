"""A name server for tests, in this process, and dnspython as its client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.asyncquery
import dns.edns
import dns.message
import dns.rdatatype

from tests.nodes import Node, directory, started

ZONE = """
$TTL 300
@        IN SOA ns1 hostmaster 7 7200 900 1209600 60
@        IN NS  ns1
@        IN NS  ns2.elsewhere.test.
@        IN TXT "hello"
@        IN CAA 0 issue "ca.test"
@        IN MX 10 mail
ns1      IN A   192.0.2.53
mail     IN A   192.0.2.25
long     IN TXT "{long}" "{long}" "{long}" "{long}" "{long}" "{long}"
_x._tcp  IN SRV 0 0 443 www
alias    IN CNAME www
chain    IN CNAME alias
out      IN CNAME a.elsewhere.test.
deep.ent IN A   192.0.2.1
*.wild   IN TXT "anything"
sub      IN NS  ns.sub
ns.sub   IN A   192.0.2.99
""".replace("{long}", "x" * 250)

REGIONS = {
    "us": {
        "addresses": ["198.51.100.10", "2001:db8::10"],
        "networks": ["10.1.0.0/16", "2001:db8:1::/48"],
        "fallbacks": ["eu"],
    },
    "eu": {"addresses": ["198.51.100.20"], "networks": ["10.2.0.0/16", "127.0.0.0/8"]},
    "il": {"addresses": ["198.51.100.30"], "networks": ["10.3.0.0/16"]},
}


@asynccontextmanager
async def serving(zone: str = ZONE, regions: dict[str, Any] = REGIONS, **settings: Any) -> AsyncIterator[Node]:
    """A node with the role geodns and no other, for p.example."""
    async with directory() as path:
        (path / "zone").write_text(zone)
        chosen = {
            "node__roles": ["geodns"],
            "node__name": "dns-1",
            "doors__dns": "127.0.0.1:0",
            "geodns__zone": "p.example",
            "geodns__file": str(path / "zone"),
            "geodns__names": ["@", "www", "*.any"],
            "geodns__responses_per_second": 0,
            "geodns__reload_seconds": 0.05,
            **{f"regions__{name}": table for name, table in regions.items()},
            **settings,
        }
        async with started("postgresql://127.0.0.1:1/none", path, **chosen) as node:
            yield node


def question(name: str, type_: str = "A", **options: Any) -> dns.message.QueryMessage:
    """A query without EDNS unless options say otherwise."""
    made: dns.message.QueryMessage = dns.message.make_query(name, type_, **options)
    return made


def subnet(text: str, length: int) -> dns.edns.ECSOption:
    return dns.edns.ECSOption(text, length)


async def ask(node: Node, query: dns.message.Message, *, tcp: bool = False) -> dns.message.Message:
    host, port = node.running.doors["dns"]
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await send(query, host, timeout=60, port=port)


def texts(answer: dns.message.Message) -> list[str]:
    """The answer section as `type data`, sorted."""
    return sorted(f"{dns.rdatatype.to_text(rrset.rdtype)} {rdata}" for rrset in answer.answer for rdata in rrset)
