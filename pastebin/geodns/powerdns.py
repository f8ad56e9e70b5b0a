"""What PowerDNS asks of its remote back end, by HTTP: the zone and the steering of this node as PowerDNS knows records.

The dialect is that of `post=1,post_json=1`: every call is one JSON document to one address (PowerDNS Authoritative
Server, "Remote Backend").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
import msgspec
import orjson
from aiohttp import web
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from pastebin.decoding import UNREADABLE
from pastebin.errors import UnreadableRequest
from pastebin.geodns.answers import Answers, Chosen
from pastebin.geodns.responding import Responder
from pastebin.geodns.wire import AAAA, A
from pastebin.geodns.zone import Records, shown
from pastebin.http import bodies

PATH = "/internal/geodns/powerdns"

_CALL_BYTES = 64 * 1024
_CALL_SECONDS = 5.0
_ID = 1  # of the one zone that there is


class Call(msgspec.Struct, frozen=True):
    """One question of PowerDNS."""

    method: str
    parameters: dict[str, Any] = {}


class Backend:
    """Answers calls from what the responder knows at the moment.

    What depends on who asks carries a scope above 0: PowerDNS keeps such records in none of its caches.
    """

    def __init__(self, responder: Responder, *, follows_subnets: bool) -> None:
        self._responder = responder
        self._follows_subnets = follows_subnets
        # other methods are for secondaries, DNSSEC and changes: PowerDNS takes false for "not here"
        self._methods: Mapping[str, Callable[[dict[str, Any]], object]] = {
            "initialize": lambda _parameters: True,
            "lookup": self._lookup,
            "list": self._list,
            "getAllDomains": lambda _parameters: [self._domain()],
            "getDomainInfo": self._domain_info,
            "getDomainMetadata": lambda _parameters: [],
            "getAllDomainMetadata": lambda _parameters: {},
        }

    async def answer(self, request: web.Request) -> web.Response:
        """The handler. Raises UnreadableRequest for what is no call, UploadTooSlow, PasteTooLarge."""
        body = await bodies.whole(request, _CALL_BYTES, _CALL_SECONDS)
        try:
            call = msgspec.json.decode(body, type=Call)
        except UNREADABLE:
            raise UnreadableRequest from None
        return web.Response(body=orjson.dumps({"result": self.result(call)}), content_type="application/json")

    def result(self, call: Call) -> object:
        """What PowerDNS takes for the answer; False where there is none."""
        method = self._methods.get(call.method)
        return method(call.parameters) if method is not None else False

    @property
    def _answers(self) -> Answers:
        return self._responder.facts.answers

    def _lookup(self, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """The records of exactly that name: wildcards, aliases and delegations are looked for by PowerDNS itself."""
        name, zone = _wire(parameters.get("qname")), self._answers.zone
        if name is None or not zone.holds(name) or name not in zone.there:
            return []
        asked = str(parameters.get("qtype"))
        chosen, scope = self._steered(parameters) if name in zone.geo else ((), 0)
        found = [
            record
            for type_, records in self._types(name, chosen)
            if asked in ("ANY", word := _word(type_))
            for record in _shown(name, word if asked == "ANY" else asked, type_, records, scope)
        ]
        if not found and asked == "ANY":  # a name that is there for those below it is not one that does not exist
            return [{"qname": shown(name), "qtype": "", "content": "", "ttl": zone.negative_ttl, "domain_id": _ID}]
        return found

    def _types(self, name: bytes, chosen: Chosen) -> Iterator[tuple[int, Records]]:
        zone, answers = self._answers.zone, self._answers
        yield from zone.records.get(name, {}).items()
        for type_ in (A, AAAA) if name in zone.geo else ():
            if (records := answers.records(name, type_, tuple(chosen))) is not None:
                yield type_, records

    def _steered(self, parameters: dict[str, Any]) -> tuple[Chosen, int]:
        """Where the client is sent: the subnet that its resolver tells of, else the resolver (RFC 7871, 7.2.1)."""
        client = str(parameters.get("remote", ""))
        address, _, length = str(parameters.get("real-remote", "")).partition("/")
        if self._follows_subnets and address and length != "0":
            client = address
        try:
            client = str(ip_address(client.partition("%")[0]))
        except ValueError:
            client = ""
        ruling, scope = self._responder.steered(client)
        return ruling.chosen, scope if client else 1  # nobody's answer is for nobody else

    def _list(self, parameters: dict[str, Any]) -> object:
        """The whole zone, as somebody from nowhere sees it."""
        zone = self._answers.zone
        if _wire(parameters.get("zonename")) != zone.origin:
            return False
        chosen = self._responder.steered("")[0].chosen
        return [
            record
            for name in sorted({*zone.records, *zone.geo})
            for type_, records in self._types(name, chosen)
            for record in _shown(name, _word(type_), type_, records, 0)
        ]

    def _domain_info(self, parameters: dict[str, Any]) -> object:
        return self._domain() if _wire(parameters.get("name")) == self._answers.zone.origin else False

    def _domain(self) -> dict[str, Any]:
        zone = self._answers.zone
        serial = int.from_bytes(zone.soa.rdatas[0][-20:-16], "big")
        return {"id": _ID, "zone": shown(zone.origin), "kind": "native", "serial": serial, "notified_serial": serial}


def _shown(name: bytes, word: str, type_: int, records: Records, scope: int) -> Iterator[dict[str, Any]]:
    for rdata in records.rdatas:
        content = dns.rdata.from_wire(RdataClass.IN, RdataType.make(type_), rdata, 0, len(rdata)).to_text()
        yield {
            "qname": shown(name),
            "qtype": word,
            "content": content,
            "ttl": records.ttl,
            "domain_id": _ID,
            "scopeMask": scope,
        }


def _word(type_: int) -> str:
    return dns.rdatatype.to_text(RdataType.make(type_))


def _wire(name: object) -> bytes | None:
    try:
        return (dns.name.from_text(str(name).lower()).to_wire() or b"").lower()
    except (dns.exception.DNSException, ValueError):
        return None
