"""The fast road of the gateway: what takes it, what is taken over from it, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pastebin.gateway import express, grammar
from pastebin.gateway.express import Passage
from tests.gateway.gateways import Gateway, gateway_before, node_at, region
from tests.gateway.roads import LAST, Node, exchanged, listening


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many requests were answered on the fast road, and how many were handed over."""
    counts: Counter[str] = Counter()
    answer, hand_over = Passage._answer, Passage._hand_over

    def answered(self: Passage, heading: grammar.Heading, data: bytes) -> None:
        counts["answered"] += 1
        answer(self, heading, data)

    def handed(self: Passage, data: bytes) -> bool:
        counts["handed"] += 1
        return hand_over(self, data)

    monkeypatch.setattr(Passage, "_answer", answered)
    monkeypatch.setattr(Passage, "_hand_over", handed)
    return counts


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed over is not so for having taken long."""
    monkeypatch.setattr(express, "_LONGEST_SECONDS", 60.0)


async def came(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Return when it is so."""
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110  (of which nobody tells)
            await asyncio.sleep(0.01)


async def answered(gateway: Gateway, data: bytes) -> bytes:
    return await exchanged(gateway, [data])


X = b"GET /x HTTP/1.1\r\nHost: p\r\n\r\n"


@pytest.mark.usefixtures("unhurried")
async def test_small_answers_take_the_fast_road(gateway: Gateway, node: Node, taken: Counter[str]) -> None:
    await gateway.get("/warm")
    before = await gateway.figure('pastebin_http_request_duration_seconds_count{door="gateway"')
    reply = await answered(gateway, X * 3 + X.replace(b"GET", b"HEAD") + LAST)
    assert reply.count(b"well") == 4
    assert taken == {"answered": 4}
    assert await gateway.figure('pastebin_http_request_duration_seconds_count{door="gateway"') == before + 5
    assert await gateway.figure("pastebin_gateway_answers_total") == 6
    assert await gateway.figure('pastebin_http_requests_in_flight{door="gateway"}') == 0


@pytest.mark.usefixtures("unhurried")
async def test_an_answer_of_any_other_kind_is_taken_over(gateway: Gateway, node: Node, taken: Counter[str]) -> None:
    await gateway.get("/warm")
    node.answer = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwell\r\n", b"0\r\n\r\n"]
    assert (await answered(gateway, X + LAST)).count(b"well") == 2
    node.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", b"x" * 200_000]
    assert len(await answered(gateway, X + LAST)) > 200_000
    node.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", b"x" * 100_000]
    node.ends = True
    assert b"well" not in await answered(gateway, X + LAST)
    assert taken["handed"] == 3
    assert len(node.asked) == 3


async def test_a_slow_answer_is_waited_for_on_the_full_road(gateway: Gateway, node: Node, taken: Counter[str]) -> None:
    await gateway.get("/warm")
    node.hold = asyncio.Event()
    _, writer = await asyncio.open_connection(*gateway.address)
    reading = asyncio.ensure_future(answered(gateway, X + LAST))

    async def is_late() -> bool:
        return taken["handed"] > 0

    await came(is_late)
    node.hold.set()
    assert (await reading).count(b"well") == 2
    assert len(node.asked) == 1
    writer.close()


async def test_an_idle_connection_that_is_dead_is_not_noticed(node: Node, tmp_path: Path) -> None:
    async with listening() as node, gateway_before(tmp_path, {"us": region(node_at(node.url))}) as gateway:
        node.ends = True  # after every answer to this, which promises to stay
        for _ in range(10):
            assert await gateway.get("/x") == (200, b"well")


async def test_who_goes_away_is_not_waited_for(gateway: Gateway, node: Node, taken: Counter[str]) -> None:
    await gateway.get("/warm")
    node.hold = asyncio.Event()

    async def is_asked() -> bool:
        return bool(node.asked)

    async def is_empty() -> bool:
        return await gateway.figure('pastebin_http_requests_in_flight{door="gateway"}') == 0

    _, writer = await asyncio.open_connection(*gateway.address)
    writer.write(X)
    await came(is_asked)
    # a reset: who only ends his side may still want the answer
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await came(is_empty)
    node.hold.set()
    name = 'pastebin_http_request_duration_seconds_count{door="gateway",method="GET",route="/{path}",status="499"}'
    assert await gateway.figure(name) == 1
    assert (await gateway.get("/x"))[0] == 200


async def test_a_second_node_is_asked_while_the_first_keeps_silent(tmp_path: Path) -> None:
    async with listening() as one, listening() as two:
        nodes = region(node_at(one.url, "one"), node_at(two.url, "two"))
        async with gateway_before(tmp_path, {"us": nodes}, gateway__try_timeout_seconds=60) as gateway:
            for _ in range(120):
                await gateway.get("/x")
            for silent in (one, two):  # whichever is asked first
                silent.hold = asyncio.Event()
                for _ in range(8):
                    assert await gateway.get("/x") == (200, b"well")
                silent.hold.set()
            assert await gateway.figure('pastebin_gateway_hedges_total{won="second"}') >= 1


@pytest.mark.usefixtures("unhurried")
async def test_who_asks_is_announced_on_both_roads(node: Node, tmp_path: Path, taken: Counter[str]) -> None:
    addresses = bytes([192, 0, 2, 9]) + bytes(4)
    announced = b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack(">BBH8sHH", 0x21, 0x11, 12, addresses, 1, 2)
    async with gateway_before(tmp_path, {"us": region(node_at(node.url))}, gateway__proxy_protocol=True) as gateway:
        for _ in range(2):
            assert (await answered(gateway, announced + X + LAST)).count(b"well") == 2
    assert taken["answered"] >= 1
    assert all(b"X-Forwarded-For: 192.0.2.9\r\n" in head for head in node.asked)


async def test_at_the_end_streams_end_and_downloads_are_finished(node: Node, tmp_path: Path) -> None:
    regions = {"us": region(node_at(node.url))}
    async with gateway_before(tmp_path, regions, node__drain_seconds=0.1) as gateway:
        await end_of(gateway, node)


async def end_of(gateway: Gateway, node: Node) -> None:
    node.answer = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n9\r\ndata: 1\n\n\r\n"
    ]
    stream, closes = await asyncio.open_connection(*gateway.address)
    closes.write(X)
    await stream.readuntil(b"data: 1\n\n\r\n")
    node.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000]
    download, more = await asyncio.open_connection(*gateway.address)
    more.write(X)
    await download.readuntil(b"x" * 1000)
    gateway.stopping.ask()
    async with asyncio.timeout(60):
        assert await stream.read() == b"0\r\n\r\n"
        for served in node.writers:
            served.write(b"x" * 100_000)
        assert len((await download.read()).strip(b"x")) == 0
    closes.close()
    more.close()
