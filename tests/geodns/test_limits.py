"""Response rate limiting: how much goes to whom."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import pytest

from pastebin.geodns.limits import Limits, Verdict, network_of
from tests.geodns.dns_client import ask, question, serving
from tests.geodns.responders import NOW, responder


def test_so_many_a_second_then_every_second_one_slips() -> None:
    limits = Limits(5, 2)
    verdicts = [limits.verdict("n", b"k", 1.0).value for _ in range(9)]
    assert verdicts == ["send"] * 5 + ["drop", "slip", "drop", "slip"]
    assert limits.verdict("n", b"other", 1.0) is Verdict.SEND
    assert limits.verdict("other", b"k", 1.0) is Verdict.SEND
    assert limits.verdict("n", b"k", 1.25) is Verdict.SEND
    assert limits.verdict("n", b"k", 1.25) is not Verdict.SEND
    assert limits.verdict("n", b"k", 0.0) is not Verdict.SEND  # a clock that goes back brings nothing


def test_without_slip_nobody_is_told() -> None:
    limits = Limits(1, 0)
    assert [limits.verdict("n", b"k", 1.0) for _ in range(3)] == [Verdict.SEND, Verdict.DROP, Verdict.DROP]
    assert {Limits(0, 2).verdict("n", b"k", 1.0) for _ in range(100)} == {Verdict.SEND}


def test_the_table_is_bounded() -> None:
    limits = Limits(1, 0, most=3)
    for number in range(100):
        limits.verdict(str(number), b"k", 1.0)
    assert limits.verdict("99", b"k", 1.0) is Verdict.DROP
    assert limits.verdict("0", b"k", 1.0) is Verdict.SEND


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.255", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8::1", "2001:db8:0:ff::1", True),
        ("2001:db8::1", "2001:db8:0:100::1", False),
        ("::ffff:192.0.2.1", "192.0.2.9", True),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_networks(one: str, other: str, is_same: bool) -> None:
    assert (network_of(one) == network_of(other)) is is_same


def test_who_shows_a_cookie_or_comes_by_tcp_is_free(tmp_path: Path) -> None:
    server = responder(tmp_path, per_second=2, slip=1)
    plain = question("p.example").to_wire()
    outcomes = [server.datagram(plain, "192.0.2.1", NOW) for _ in range(4)]
    assert [len(answer or b"") > 30 and not (answer or b"")[2] & 2 for answer in outcomes] == [True, True, False, False]
    assert outcomes[2] is not None
    slipped = dns.message.from_wire(outcomes[2])
    assert slipped.flags & dns.flags.TC
    assert not slipped.answer
    asking = question("p.example", options=[dns.edns.GenericOption(10, b"12345678")]).to_wire()
    refused = dns.message.from_wire(server.datagram(asking, "192.0.2.1", NOW) or b"")
    assert refused.rcode() == 23
    cookie = refused.options[0].to_wire()
    free = question("p.example", options=[dns.edns.GenericOption(10, cookie)]).to_wire()
    assert all(dns.message.from_wire(server.datagram(free, "192.0.2.1", NOW) or b"").answer for _ in range(10))
    assert all(dns.message.from_wire(server.message(plain, "192.0.2.1", NOW) or b"").answer for _ in range(10))


def test_what_does_not_exist_counts_together(tmp_path: Path) -> None:
    """Else a stranger's list of made-up names would never meet a limit."""
    server = responder(tmp_path, per_second=5, slip=0)
    answers = [server.datagram(question(f"n{n}.p.example").to_wire(), "192.0.2.1", NOW) for n in range(50)]
    assert sum(answer is not None for answer in answers) == 5
    answers = [server.datagram(question(f"n{n}.test").to_wire(), "192.0.2.1", NOW) for n in range(50)]
    assert sum(answer is not None for answer in answers) == 5


async def test_who_asks_much_by_tcp_leaves_turns_to_others() -> None:
    """Everything is answered in its order, and a question by UDP does not wait for the end of it."""
    packets = [question("p.example").to_wire() for _ in range(5000)]
    async with serving() as node:
        reader, writer = await asyncio.open_connection(*node.running.doors["dns"])
        try:
            writer.write(b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets))

            async def read_all() -> list[bytes]:
                return [await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")) for _ in packets]

            reading = asyncio.ensure_future(read_all())
            assert (await ask(node, question("p.example"))).answer
            assert not reading.done()
            async with asyncio.timeout(60):
                assert [answer[:2] for answer in await reading] == [packet[:2] for packet in packets]
        finally:
            writer.close()
