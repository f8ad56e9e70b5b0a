"""Packets that were good once, without end, and a client that sends them and looks at every answer."""

from __future__ import annotations

import itertools
import random
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import dns.edns
import dns.message
import dns.rcode

from tests.geodns.dns_client import question, subnet

_WINDOW = 64
_TIMES = 24  # an answer is at most so many times as long as the question
_MOST_BYTES = 1232
_TIMEOUT_SECONDS = 60.0
_NAMES = ["p.example", "www.p.example", "a.b.any.p.example", "chain.p.example", "x.sub.p.example", "no.p.example"]
_NAMES += ["q.wild.p.example", "long.p.example", "elsewhere.test", ".", "x" * 63 + ".p.example"]
_TYPES = ["A", "AAAA", "TXT", "NS", "SOA", "ANY", "DNSKEY", "DS", "NSEC", "RRSIG", "TYPE1000", "AXFR", "OPT"]
_OPTIONS = [
    subnet("10.1.2.0", 24),
    subnet("2001:db8:1::", 56),
    subnet("::", 0),
    dns.edns.GenericOption(10, b"12345678"),
    dns.edns.GenericOption(10, b"1234567890123456"),
    dns.edns.GenericOption(3, b""),
    dns.edns.GenericOption(11, b""),
    dns.edns.GenericOption(12, bytes(64)),
]


@dataclass
class Tally:
    """What came of a storm."""

    sent: int = 0
    answered: int = 0
    worst: float = 0.0  # bytes of an answer for one of its question

    def add(self, other: Tally) -> None:
        self.sent += other.sent
        self.answered += other.answered
        self.worst = max(self.worst, other.worst)


def packets(seed: int) -> Iterator[bytes]:
    """Mutated packets; the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311  (to be the same again)
    good = [_good(dice) for _ in range(200)]
    while True:
        packet = bytearray(dice.choice(good))
        for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
            dice.choice(_MUTATIONS)(packet, dice, good)
        yield bytes(packet[:8192])


def _good(dice: random.Random) -> bytes:
    options = dice.sample(_OPTIONS, dice.choice((0, 0, 1, 1, 2, 4)))
    flags = dice.choice((0, 0x8000, 0xC000, 0x0080))
    edns = {"use_edns": 0, "options": options, "ednsflags": flags, "payload": dice.choice((0, 512, 1232, 65_535))}
    made = question(dice.choice(_NAMES), dice.choice(_TYPES), **(edns if options or flags else {}))
    return made.to_wire()


def _flip(packet: bytearray, dice: random.Random, _good: list[bytes]) -> None:
    for _ in range(dice.randint(1, 8)):
        if packet:
            packet[dice.randrange(len(packet))] ^= 1 << dice.randrange(8)


def _cut(packet: bytearray, dice: random.Random, _good: list[bytes]) -> None:
    del packet[dice.randint(0, len(packet)) :]


def _splice(packet: bytearray, dice: random.Random, good: list[bytes]) -> None:
    other = dice.choice(good)
    packet[dice.randint(0, len(packet)) :] = other[dice.randint(0, len(other)) :]


def _insert(packet: bytearray, dice: random.Random, _good: list[bytes]) -> None:
    place = dice.randint(0, len(packet))
    packet[place:place] = dice.randbytes(dice.choice((1, 2, 11, 40, 600)))


def _point(packet: bytearray, dice: random.Random, _good: list[bytes]) -> None:
    """Names that lead to themselves, backwards, forwards, or beyond the end."""
    place = dice.randint(12, max(12, len(packet)))
    packet[place : place + 2] = struct.pack("!H", 0xC000 | dice.choice((12, place, place + 2, 0, 0x3FFF)))


def _label(packet: bytearray, dice: random.Random, _good: list[bytes]) -> None:
    if len(packet) > 12:
        packet[dice.randrange(12, len(packet))] = dice.choice((0, 1, 63, 64, 128, 191, 192, 255))


def _count(packet: bytearray, dice: random.Random, _good: list[bytes]) -> None:
    if len(packet) >= 12:
        struct.pack_into("!H", packet, dice.choice((4, 6, 8, 10)), dice.choice((0, 1, 2, 3, 255, 65_535)))


def _opt(packet: bytearray, dice: random.Random, _good: list[bytes]) -> None:
    """One more OPT record: of any class, version and length, with options that may be longer than itself."""
    data = b"".join(_option(dice) for _ in range(dice.randint(0, 3)))
    length = dice.choice((len(data), len(data), len(data) + 1, 0, 65_535))
    head = dice.choice((b"\0", b"\0", b"\1x\0", b"\xc0\x0c"))
    packet += head + struct.pack("!HHIH", 41, dice.choice((0, 511, 1232, 65_535)), dice.getrandbits(32), length) + data
    if len(packet) >= 12:
        struct.pack_into("!H", packet, 10, dice.choice((1, 1, 1, 2)))


def _option(dice: random.Random) -> bytes:
    code = dice.choice((8, 8, 8, 10, 3, 11, 0, 65_535))
    data = dice.randbytes(dice.choice((0, 1, 7, 8, 16, 24, 41)))
    if code == 8:
        family, source = dice.choice((0, 1, 1, 2, 2, 3)), dice.choice((0, 1, 24, 32, 33, 56, 128, 255))
        data = struct.pack("!HBB", family, source, dice.choice((0, 0, 0, 24))) + dice.randbytes(dice.randint(0, 17))
    return struct.pack("!HH", code, dice.choice((len(data), len(data), len(data), len(data) + 1, 65_535))) + data


_MUTATIONS: list[Callable[[bytearray, random.Random, list[bytes]], None]] = [
    *(_flip, _flip, _cut, _splice, _insert, _point, _label, _count, _opt, _opt)
]


def deserves_answer(packet: bytes) -> bool:
    """Less than a header cannot be answered; what is itself an answer must not be."""
    return len(packet) >= 12 and not packet[2] & 0x80


def check(packet: bytes, answer: bytes, *, is_stream: bool = False) -> None:
    """Whether this may be said to that. Raises AssertionError."""
    assert deserves_answer(packet), packet
    assert answer[:2] == packet[:2]
    assert answer[2] & 0x80
    assert is_stream or len(answer) <= min(_MOST_BYTES, _TIMES * len(packet)), packet
    told = dns.message.from_wire(answer)
    assert told.rcode() != dns.rcode.SERVFAIL, packet
    assert told.rcode() != dns.rcode.FORMERR or len(answer) <= len(packet) + 11, packet


def datagrams(address: tuple[str, int], source: Iterable[bytes], *, looks_at_every: int = 1) -> Tally:
    """Send all of them, so many at a time; every one is answered that deserves it, once, and no other. Blocks.

    `looks_at_every` so-manieth answer is taken apart; of all others the length counts.
    """
    tally = Tally()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(address)
        client.settimeout(_TIMEOUT_SECONDS)
        numbers = itertools.cycle(range(65_536))
        left = iter(source)
        while batch := list(itertools.islice(left, _WINDOW)):
            waiting: dict[bytes, bytes] = {}
            for packet in batch:
                numbered = next(numbers).to_bytes(2, "big") + packet[2:] if len(packet) >= 2 else packet
                if deserves_answer(numbered):
                    waiting[numbered[:2]] = numbered
                client.send(numbered)
            tally.sent += len(batch)
            while waiting:
                answer = client.recv(65_535)
                asked = waiting.pop(answer[:2])
                tally.answered += 1
                tally.worst = max(tally.worst, len(answer) / len(asked))
                assert len(answer) <= min(_MOST_BYTES, _TIMES * len(asked)), asked
                if tally.answered % looks_at_every == 0:
                    check(asked, answer)
    return tally


def streams(address: tuple[str, int], source: Iterable[bytes], dice: random.Random) -> Tally:
    """The same by TCP, sometimes with a length that is not that of the packet; a connection may be closed. Blocks."""
    tally = Tally()
    client: socket.socket | None = None
    for packet in source:
        if client is None:
            client = socket.create_connection(address, _TIMEOUT_SECONDS)
        is_framed = dice.random() < 0.9
        length = len(packet) if is_framed else dice.randint(0, 65_535)
        tally.sent += 1
        answer = b""
        try:
            client.sendall(length.to_bytes(2, "big") + packet)
            if not is_framed:
                client.shutdown(socket.SHUT_WR)
            answer = _framed(client)
        except ConnectionError:
            pass
        if is_framed and answer:
            tally.answered += 1
            check(packet, answer, is_stream=True)
        if not (is_framed and answer):
            assert not (is_framed and deserves_answer(packet)), packet
            client.close()
            client = None
    if client is not None:
        client.close()
    return tally


def _framed(client: socket.socket) -> bytes:
    """One message; nothing once the other side has closed."""
    with client.makefile("rb") as file:
        head = file.read(2)
        return file.read(int.from_bytes(head, "big")) if len(head) == 2 else b""
