"""From a packet to the answer of it: what is asked, who asks, what is said, and whether it may be sent at all."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from pastebin.geo import Place
from pastebin.geodns import wire
from pastebin.geodns.answers import Answers, Body, Proof
from pastebin.geodns.cookies import Cookies
from pastebin.geodns.limits import Limits, Verdict, network_of
from pastebin.geodns.recent import Recent
from pastebin.geodns.wire import HEADER, Question
from pastebin.steering import Ruling, Steering

log = logging.getLogger(__name__)

_OPT = struct.Struct("!BHHIH")
_PAIR = struct.Struct("!HH")
_KEPT = 16_384
_FRESH_SECONDS = 600.0  # less than a cookie is good for (RFC 9018, 4.3)
_AMPLIFICATION = 24  # times the size of the question, for who has not shown that the address is theirs

OUTCOMES = ("sent", "slipped", "dropped", "ignored")


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


class _Ready(NamedTuple):
    """An answer without its id. `kind` is None for who has shown a cookie; `tally` counts it by region."""

    answer: bytes
    kind: bytes | None
    tally: list[int]


def _nothing(code: int, flags: int = 0) -> Body:
    """An answer without records."""
    return Body(code, flags, (0, 0, 0), b"", b"")


_REFUSED = _nothing(wire.REFUSED)


class Responder:
    """Answers packets. Answers that are alike in all but their id are made once.

    `count` is told by `tell` how many packets had which outcome: sent, slipped, dropped or ignored.
    """

    def __init__(
        self, rules: Rules, facts: Facts, place: Callable[[str], Place], count: Callable[[str, int], None]
    ) -> None:
        self._rules = rules
        self._place = place
        self._count = count
        self._facts = facts
        self._rulings: Recent[str, Ruling] = Recent(_KEPT)
        self._ready: Recent[tuple[bytes, str], _Ready] = Recent(_KEPT)
        self._forgotten_at = 0.0
        self._outcomes = dict.fromkeys(OUTCOMES, 0)
        self._tallies: dict[str, list[int]] = {}

    @property
    def facts(self) -> Facts:
        return self._facts

    def tally(self, region: str) -> int:
        """How many answers have named addresses of the region, as the first one; "" for all others."""
        return sum(self._tallies.get(region, ()))

    def tell(self) -> None:
        """Pass on what was counted since the last time: it costs more than a number that grows."""
        for outcome, many in self._outcomes.items():
            if many:
                self._outcomes[outcome] = 0
                self._count(outcome, many)

    def take(self, facts: Facts) -> None:
        """Answer by these from now on."""
        self._facts = facts
        self.forget()

    def forget(self) -> None:
        """Make every answer anew: something about addresses has changed."""
        self._rulings.clear()
        self._ready.clear()

    def renew(self, now: float) -> None:
        """Make anew what is of a time: signatures that are about to end, cookies that grow old."""
        if self._facts.answers.are_stale(now) or not 0 <= now - self._forgotten_at < _FRESH_SECONDS:
            self._forgotten_at = now
            self._ready.clear()

    def datagram(self, packet: bytes, client: str, now: float) -> bytes | None:
        """What to send back; None for nothing. `now` is the time of day in seconds."""
        ready = self._ready.get((packet[2:], client))
        if ready is None:
            return self._fresh(packet, client, now)
        if ready.kind is not None:
            verdict = self._rules.limits.verdict(network_of(client), ready.kind, now)
            if verdict is not Verdict.SEND:
                return self._limited(packet, client, now, verdict)
        self._outcomes["sent"] += 1
        ready.tally[0] += 1
        return packet[:2] + ready.answer

    def message(self, packet: bytes, client: str, now: float) -> bytes | None:
        """The same by TCP, where addresses are not borrowed and answers may be long."""
        question = wire.parse(packet)
        if question is None:
            self._outcomes["ignored"] += 1
            return None
        body, scope, tally = self._body(question, client, now)
        cookie, _ = self._cookie(question, client, now)
        self._outcomes["sent"] += 1
        tally[0] += 1
        return self._packed(question, body, scope, cookie, 65_535, is_stream=True)

    def steered(self, address: str) -> tuple[Ruling, int]:
        """The ruling for an address, and for how many bits of it, as it is written, that holds."""
        ruling = self._ruling(address)
        is_mapped = ":" in address and IPv6Address(address.partition("%")[0]).ipv4_mapped is not None
        return ruling, ruling.prefix + (96 if is_mapped else 0)

    def _fresh(self, packet: bytes, client: str, now: float) -> bytes | None:
        """The answer to a question that was not asked lately."""
        question = wire.parse(packet)
        if question is None:
            self._outcomes["ignored"] += 1
            return None
        cookie, is_known = self._cookie(question, client, now)
        body, scope, tally = self._body(question, client, now)
        verdict = Verdict.SEND if is_known else self._rules.limits.verdict(network_of(client), body.kind, now)
        if verdict is not Verdict.SEND:
            return self._limited(packet, client, now, verdict)
        limit = question.limit if is_known else min(question.limit, _AMPLIFICATION * len(packet))
        answer = self._packed(question, body, scope, cookie, limit)
        if is_known or not cookie:  # who has no cookie yet takes the one of the answer
            self._ready.put((packet[2:], client), _Ready(answer[2:], None if is_known else body.kind, tally))
        self._outcomes["sent"] += 1
        tally[0] += 1
        return answer

    def _limited(self, packet: bytes, client: str, now: float, verdict: Verdict) -> bytes | None:
        """Nothing, or an invitation to show that the address is theirs: by a cookie, else by TCP."""
        question = wire.parse(packet) if verdict is Verdict.SLIP else None
        if question is None:
            self._outcomes["dropped"] += 1
            return None
        self._outcomes["slipped"] += 1
        cookie, _ = self._cookie(question, client, now)
        invitation = _nothing(wire.BADCOOKIE) if cookie and not question.fault else _nothing(wire.NOERROR, wire.TC)
        return self._packed(question, invitation, 0, cookie, wire.PAYLOAD)

    def _cookie(self, question: Question, client: str, now: float) -> tuple[bytes, bool]:
        """The cookie of the answer, if there is one, and whether that of the question shows whose the address is."""
        if question.edns is None or not question.edns.cookie:
            return b"", False
        return self._rules.cookies.returned(question.edns.cookie, client, now)

    def _body(self, question: Question, client: str, now: float) -> tuple[Body, int, list[int]]:
        """The answer, for how many bits of the subnet it holds, and where it is counted."""
        answers, tally = self._facts.answers, self._tally("")
        if question.fault or not question.asked:
            return _nothing(question.fault), 0, tally
        if not answers.zone.holds(question.name):
            return _REFUSED, 0, tally
        proof = self._proof(question)
        if not answers.is_geo(question.name, question.type):
            return answers.body(question.name, question.type, (), proof, now), 0, tally
        subnet = question.edns.subnet if question.edns and self._rules.follows_subnets else None
        if subnet is None or not subnet.source:
            ruling, scope = self._ruling(client), 0
        else:
            ruling, scope = self.steered(str(subnet.address))
        body = answers.body(question.name, question.type, ruling.chosen, proof, now)
        return body, scope, self._tally(ruling.chosen[0] if ruling.chosen else "")

    def _tally(self, region: str) -> list[int]:
        return self._tallies.setdefault(region, [0])

    def _proof(self, question: Question) -> Proof:
        """What the answer has to show."""
        if question.edns is None or not question.edns.wants_dnssec or self._facts.answers.signatures is None:
            return Proof.NONE
        return Proof.MISSING if question.edns.takes_compact else Proof.SIGNED

    def _ruling(self, client: str) -> Ruling:
        ruling = self._rulings.get(client)
        if ruling is None:
            facts = self._facts
            try:
                ruling = facts.steering.order(client, self._place(client), facts.health)
            except Exception:  # whatever it is: an answer that is not the best beats none (RFC 9520, 3)
                log.exception("a client could not be steered")
                ruling = facts.steering.order("")
            self._rulings.put(client, ruling)
        return ruling

    def _packed(
        self,
        question: Question,
        body: Body,
        scope: int,
        cookie: bytes,
        limit: int,
        *,
        is_stream: bool = False,
    ) -> bytes:
        """The message, within `limit`."""
        opt = self._opt(question, body.code, scope, cookie, is_stream=is_stream)
        records, counts, flags = body.wire, body.counts, question.head | body.flags | body.code & 15
        if 12 + len(question.asked) + len(records) + len(opt) > limit:
            records, counts, flags = b"", (0, 0, 0), flags | wire.TC
        header = HEADER.pack(
            question.id, flags, 1 if question.asked else 0, counts[0], counts[1], counts[2] + (1 if opt else 0)
        )
        return header + question.asked + records + opt

    def _opt(self, question: Question, code: int, scope: int, cookie: bytes, *, is_stream: bool) -> bytes:
        """The OPT record of the answer: none where the question has none (RFC 6891, 7)."""
        edns = question.edns
        if edns is None:
            return b""
        options = b""
        if question.fault not in (wire.FORMERR, wire.BADVERS):  # options of what was not understood say nothing
            if edns.wants_nsid:
                options += _PAIR.pack(wire.NSID, len(self._rules.identity)) + self._rules.identity
            if edns.subnet is not None:
                options += edns.subnet.with_scope(scope)
            if cookie:
                options += _PAIR.pack(wire.COOKIE, len(cookie)) + cookie
            if edns.wants_keepalive and is_stream:  # RFC 7828, 3.3.2: in units of 100 ms
                options += struct.pack("!HHH", wire.KEEPALIVE, 2, min(int(self._rules.tcp_idle_seconds * 10), 65_535))
        flags = (code >> 4) << 24 | (wire.DO if edns.wants_dnssec else 0)
        if not question.fault and self._proof(question) is Proof.MISSING:
            flags |= wire.CO
        return _OPT.pack(0, wire.OPT, wire.PAYLOAD, flags, len(options)) + options


def client_of(host: str) -> str:
    """The address of a client as it is known everywhere here: without an interface, IPv4 as such."""
    if ":" not in host:
        return host
    address = ip_address(host.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)
