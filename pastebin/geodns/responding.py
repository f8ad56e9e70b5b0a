"""From a packet to the answer of it: what is asked, who asks, what is said, and whether it may be sent at all."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from pastebin.geo import Place
from pastebin.geodns import wire
from pastebin.geodns.answers import Answers, Body, Chosen
from pastebin.geodns.cookies import Cookies
from pastebin.geodns.limits import Limits, Verdict, network_of
from pastebin.geodns.wire import HEADER, Question
from pastebin.steering import Ruling, Steering

log = logging.getLogger(__name__)

_OPT = struct.Struct("!BHHIH")
_PAIR = struct.Struct("!HH")
_KEPT = 8192
_AMPLIFICATION = 24  # times the size of the question, for who has not shown that the address is theirs
_NONE = [0]
_FAULT = Body(wire.REFUSED, 0, (0, 0, 0), b"", b"")


@dataclass(frozen=True, slots=True)
class Facts:
    """What answers are made of; replaced as a whole when any of it changes."""

    answers: Answers
    steering: Steering
    health: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Rules:
    """How answers are given, whatever they say."""

    cookies: Cookies
    limits: Limits
    identity: bytes  # for NSID (RFC 5001)
    follows_subnets: bool = True
    tcp_idle_seconds: float = 10.0


class Responder:
    """Answers packets. Answers that are alike in all but their id are made once."""

    def __init__(self, rules: Rules, facts: Facts, place: Callable[[str], Place], count: Callable[[str], None]) -> None:
        self._rules = rules
        self._place = place
        self._count = count
        self._rulings: dict[str, Ruling] = {}
        self._ready: dict[
            tuple[bytes, str], tuple[bytes, bytes, list[int]]
        ] = {}  # question, client: answer, kind, tally
        # how many answers were given that begin with a region, "" for those of none
        self._tallies: dict[str, list[int]] = {}
        self._facts = facts

    @property
    def facts(self) -> Facts:
        return self._facts

    def tally(self, region: str) -> int:
        """How many answers have named addresses of the region, as the first one."""
        return self._tallies.get(region, _NONE)[0]

    def take(self, facts: Facts) -> None:
        """Answer by these from now on."""
        self._facts = facts
        self.forget()

    def forget(self) -> None:
        """Make every answer anew: something about addresses has changed."""
        self._rulings.clear()
        self._ready.clear()

    def datagram(self, packet: bytes, client: str, now: float) -> bytes | None:
        """What to send back; None for nothing. `now` is the time of day in seconds."""
        ready = self._ready.get((packet[2:], client))
        if ready is not None:
            answer, kind, tally = ready
            verdict = self._rules.limits.verdict(network_of(client), kind, now)
            if verdict is Verdict.SEND:
                self._count("sent")
                tally[0] += 1
                return packet[:2] + answer
            return self._limited(packet, client, now, verdict)
        question = wire.parse(packet)
        if question is None:
            self._count("ignored")
            return None
        cookie = question.edns.cookie if question.edns else b""
        is_known = bool(cookie) and self._rules.cookies.is_ours(cookie, client, now)
        body, scope, tally = self._body(question, client)
        verdict = Verdict.SEND if is_known else self._rules.limits.verdict(network_of(client), body.kind, now)
        if verdict is not Verdict.SEND:
            return self._limited(packet, client, now, verdict)
        limit = question.limit if is_known else min(question.limit, _AMPLIFICATION * len(packet))
        answer = self._packed(question, body, scope, client, now, limit)
        if not cookie:
            if len(self._ready) >= _KEPT:
                self._ready.clear()
            self._ready[packet[2:], client] = (answer[2:], body.kind, tally)
        self._count("sent")
        tally[0] += 1
        return answer

    def message(self, packet: bytes, client: str, now: float) -> bytes | None:
        """The same by TCP, where addresses are not borrowed and answers may be long."""
        question = wire.parse(packet)
        if question is None:
            return None
        body, scope, tally = self._body(question, client)
        self._count("sent")
        tally[0] += 1
        return self._packed(question, body, scope, client, now, 65_535, is_stream=True)

    def _limited(self, packet: bytes, client: str, now: float, verdict: Verdict) -> bytes | None:
        """Nothing, or an invitation to show that the address is theirs: by a cookie, else by TCP."""
        question = wire.parse(packet) if verdict is Verdict.SLIP else None
        if question is None:
            self._count("dropped")
            return None
        self._count("slipped")
        if question.edns and question.edns.cookie and not question.fault:
            return self._packed(question, Body(wire.BADCOOKIE, 0, (0, 0, 0), b"", b""), 0, client, now, wire.PAYLOAD)
        return self._packed(question, Body(wire.NOERROR, wire.TC, (0, 0, 0), b"", b""), 0, client, now, wire.PAYLOAD)

    def _body(self, question: Question, client: str) -> tuple[Body, int, list[int]]:
        """The answer, for how many bits of the subnet it holds, and where it is counted."""
        zone, tally = self._facts.answers.zone, self._counted(())
        if question.fault:
            return Body(question.fault, 0, (0, 0, 0), b"", b""), 0, tally
        if not question.asked:
            return Body(wire.NOERROR, 0, (0, 0, 0), b"", b""), 0, tally
        if not zone.holds(question.name):
            return _FAULT, 0, tally
        if not self._facts.answers.is_geo(question.name, question.type):
            return self._facts.answers.body(question.name, question.type, ()), 0, tally
        subnet = question.edns.subnet if question.edns and self._rules.follows_subnets else None
        if subnet is None or not subnet.source:
            ruling, scope = self._ruling(client), 0
        else:
            address = subnet.address
            ruling = self._ruling(str(address))
            is_mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
            scope = ruling.prefix + (96 if is_mapped else 0)
        body = self._facts.answers.body(question.name, question.type, ruling.chosen)
        return body, scope, self._counted(ruling.chosen)

    def _counted(self, chosen: Chosen) -> list[int]:
        return self._tallies.setdefault(chosen[0] if chosen else "", [0])

    def _ruling(self, client: str) -> Ruling:
        ruling = self._rulings.get(client)
        if ruling is None:
            facts = self._facts
            try:
                ruling = facts.steering.order(client, self._place(client), facts.health)
            except Exception:  # whatever it is: an answer that is not the best beats none (RFC 9520, 3)
                log.exception("a client could not be steered")
                ruling = facts.steering.order("")
            if len(self._rulings) >= _KEPT:
                self._rulings.clear()
            self._rulings[client] = ruling
        return ruling

    def _packed(
        self,
        question: Question,
        body: Body,
        scope: int,
        client: str,
        now: float,
        limit: int,
        *,
        is_stream: bool = False,
    ) -> bytes:
        """The message, within `limit`."""
        opt = self._opt(question, body.code, scope, client, now, is_stream)
        records, counts, flags = body.wire, body.counts, question.head | body.flags | body.code & 15
        if 12 + len(question.asked) + len(records) + len(opt) > limit:
            records, counts, flags = b"", (0, 0, 0), flags | wire.TC
        header = HEADER.pack(
            question.id, flags, 1 if question.asked else 0, counts[0], counts[1], counts[2] + (1 if opt else 0)
        )
        return header + question.asked + records + opt

    def _opt(self, question: Question, code: int, scope: int, client: str, now: float, is_stream: bool) -> bytes:
        """The OPT record of the answer: none where the question has none (RFC 6891, 7)."""
        edns = question.edns
        if edns is None:
            return b""
        options = b""
        if edns.is_whole and not edns.version:
            if edns.wants_nsid:
                options += _PAIR.pack(wire.NSID, len(self._rules.identity)) + self._rules.identity
            if edns.subnet is not None:
                options += edns.subnet.with_scope(scope)
            if edns.cookie:
                made = self._rules.cookies.made(edns.cookie, client, now)
                options += _PAIR.pack(wire.COOKIE, len(made)) + made
            if edns.wants_keepalive and is_stream:  # RFC 7828, 3.3.2: in units of 100 ms
                options += struct.pack("!HHH", wire.KEEPALIVE, 2, min(int(self._rules.tcp_idle_seconds * 10), 65_535))
        flags = (code >> 4) << 24 | (0x8000 if edns.wants_dnssec else 0)
        return _OPT.pack(0, wire.OPT, wire.PAYLOAD, flags, len(options)) + options


def client_of(host: str) -> str:
    """The address of a client as it is known everywhere here: without an interface, IPv4 as such."""
    if ":" not in host:
        return host
    address = ip_address(host.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)
