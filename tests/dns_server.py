"""A DNS server for tests: answers what it is told over UDP on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class DnsServer(asyncio.DatagramProtocol):
    """`records` maps (name, type) to (seconds to live, texts); `fails` makes it answer SERVFAIL."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.fails = False
        self.asked: list[tuple[str, str]] = []
        self.address = ""
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls) -> AsyncIterator[DnsServer]:
        transport, server = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=("127.0.0.1", 0))
        host, port = transport.get_extra_info("sockname")
        server.address = f"{host}:{port}"
        try:
            yield server
        finally:
            transport.close()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        query = dns.message.from_wire(data)
        (asked,) = query.question
        name, kind = asked.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(asked.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        if self.fails:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self.records:
            ttl, texts = self.records[name, kind]
            if texts:
                response.answer.append(dns.rrset.from_text(asked.name, ttl, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if not response.answer:
            # without it resolvers choose how long to believe that there is nothing
            soa = f"ns.{name}. host.{name}. 1 60 60 60 0"
            response.authority.append(dns.rrset.from_text(asked.name, 0, "IN", "SOA", soa))
        assert self._transport is not None
        self._transport.sendto(response.to_wire(), address)
