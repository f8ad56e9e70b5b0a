"""Packets of every malformed kind: FORMERR or silence, never a crash, never an amplifier."""

from __future__ import annotations

import asyncio
import itertools
import random
import struct
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.geodns import keys, wire
from pastebin.geodns.responding import Responder
from tests.geodns import storm
from tests.geodns.dns_client import ask, question, serving, texts
from tests.geodns.responders import NOW, responder

PACKETS, BY_TCP = 30_000, 1500

GOOD = [
    question("p.example").to_wire(),
    question("long.p.example", "TXT", use_edns=0, payload=4096).to_wire(),
    question("www.p.example", options=[dns.edns.ECSOption("10.1.2.0", 24)]).to_wire(),
    question("x.sub.p.example", options=[dns.edns.GenericOption(10, b"12345678")]).to_wire(),
    question("no.p.example", "ANY", want_dnssec=True).to_wire(),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Responder:
    return responder(Path(tmp_path_factory.mktemp("zone")))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good packet with some bytes changed, cut out or put in."""
    packet = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(packet)))
        match draw(st.sampled_from("sdit")):
            case "s" if place < len(packet):
                packet[place] = draw(st.sampled_from([0, 1, 41, 63, 64, 192, 255]) | st.integers(0, 255))
            case "d":
                del packet[place : place + draw(st.integers(1, 4))]
            case "i":
                packet[place:place] = draw(st.binary(max_size=12))
            case "t":
                del packet[place:]
    return bytes(packet)


def check(server: Responder, packet: bytes, client: str = "192.0.2.1") -> None:
    answer = server.datagram(packet, client, NOW)
    whole = server.message(packet, client, NOW)
    if len(packet) < 12 or packet[2] & 0x80:
        assert answer is None
        return
    assert answer is not None
    assert whole is not None
    asked = wire.parse(packet)
    assert asked is not None
    assert len(answer) <= min(asked.limit, 24 * len(packet))
    told = dns.message.from_wire(answer)
    assert told.id == int.from_bytes(packet[:2], "big")
    assert told.flags & dns.flags.QR
    if told.rcode() == wire.FORMERR:
        assert len(answer) <= len(packet) + 16  # an OPT record, or our part of a cookie in the one that was sent
    assert told.rcode() != 2  # SERVFAIL
    again = server.datagram(b"\0\1" + packet[2:], client, NOW)  # what was kept is the same
    assert again is not None
    assert again[2:] == answer[2:]


@settings(max_examples=400, deadline=None)
@given(packet=mutated())
def test_mutated_packets(server: Responder, packet: bytes) -> None:
    check(server, packet)


@settings(max_examples=200, deadline=None)
@given(packet=st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\0\1\1\0\0\1\0\0\0\0\0\1" + tail))
def test_any_bytes(server: Responder, packet: bytes) -> None:
    check(server, packet)


@pytest.mark.parametrize("seed", [1])
async def test_a_storm_of_packets_leaves_the_server_as_it_was(tmp_path: Path, seed: int) -> None:
    """scripts/bench geodns_hostile is the same, with a million of them."""
    keys.make(tmp_path / "key.pem")
    async with serving(geodns__dnssec_keys=[str(tmp_path / "key.pem")]) as node:
        host, port = node.running.doors["dns"]
        source = storm.packets(seed)
        tally = await asyncio.to_thread(storm.datagrams, (host, port), itertools.islice(source, PACKETS))
        assert tally.sent == PACKETS > tally.answered > PACKETS // 2
        dice = random.Random(seed)  # noqa: S311
        tally = await asyncio.to_thread(storm.streams, (host, port), itertools.islice(source, BY_TCP), dice)
        assert tally.sent == BY_TCP > tally.answered > BY_TCP // 2
        for tcp in (False, True):
            answer = await ask(node, question("p.example", "TXT"), tcp=tcp)
            assert texts(answer) == ['TXT "hello"']


def edns(data: bytes, *, class_: int = 1232, ttl: int = 0, owner: bytes = b"\0") -> bytes:
    head = question("p.example").to_wire()
    opt = owner + struct.pack("!HHIH", 41, class_, ttl, len(data)) + data
    return head[:10] + b"\0\1" + head[12:] + opt


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


@pytest.mark.parametrize(
    "packet",
    [
        GOOD[0][:4] + b"\0\2" + GOOD[0][6:],  # two questions
        GOOD[0][:4] + b"\0\0" + GOOD[0][6:],  # none, and bytes after it
        GOOD[0][:12],  # cut off
        GOOD[0] + b"\0",  # something behind it
        GOOD[0][:12] + b"\xc0\x0c\0\1\0\1",  # a pointer to itself
        GOOD[0][:12] + b"\x40" + b"x" * 64 + b"\0\0\1\0\1",
        GOOD[0][:12] + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1",  # 257 octets
        GOOD[0][:6] + b"\0\1" + GOOD[0][8:] + b"\0\0\1\0\1" + b"\0" * 6,  # an answer
        edns(option(8, b"\0\1")),
        edns(option(8, b"\0\3\x18\0\1\2\3")),  # an unknown family
        edns(option(8, b"\0\0\0\0")),
        edns(option(8, b"\0\1\x18\1\1\2\3")),  # a scope in a question
        edns(option(8, b"\0\1\x21\0\1\2\3\4\5")),  # 33 bits of IPv4
        edns(option(8, b"\0\1\x18\0\1\2")),  # too short
        edns(option(8, b"\0\1\x18\0\1\2\3\4")),  # too long
        edns(option(8, b"\0\1\x17\0\1\2\3")),  # a bit beyond the length
        edns(option(8, b"\0\1\0\0") * 2),
        edns(option(10, b"1234567")),
        edns(option(10, b"123456789")),
        edns(option(10, b"x" * 41)),
        edns(b"\0\3\0\5"),  # an option longer than its record
        edns(b"\0\3\0"),
        edns(b"", owner=b"\1x\0"),
        edns(b"")[:10] + b"\0\2" + edns(b"")[12:] + edns(b"")[-11:],  # two OPT records
    ],
    ids=lambda packet: packet[2:].hex(),  # the first two are random
)
def test_what_is_malformed_is_called_so(server: Responder, packet: bytes) -> None:
    answer = server.datagram(packet, "192.0.2.1", NOW)
    assert answer is not None
    assert answer[3] & 15 == wire.FORMERR
    assert not answer[2] & 4


def test_short_packets_and_answers_are_nobodys_question(server: Responder) -> None:
    assert server.datagram(GOOD[0][:11], "192.0.2.1", NOW) is None
    assert server.datagram(GOOD[0][:2] + b"\x80" + GOOD[0][3:], "192.0.2.1", NOW) is None


def test_a_cookie_can_be_asked_for_without_a_question(server: Responder) -> None:
    """RFC 7873, 5.4."""
    packet = edns(option(10, b"12345678"))
    packet = packet[:4] + b"\0\0" + packet[6:12] + packet[-(11 + 12) :]
    answer = dns.message.from_wire(server.datagram(packet, "192.0.2.1", NOW) or b"")
    assert answer.rcode() == 0
    assert len(answer.options) == 1
