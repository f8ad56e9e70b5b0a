"""Clients and nodes that mean harm, or die: over real sockets."""

from __future__ import annotations

import asyncio
import gc
import re
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.cdn.origins import Origin, answer, scripted
from tests.gateway.gateways import Gateway, gateway_before, node_at, region
from tests.tcp_proxy import TcpProxy

MIB = 1024**2


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[Origin]:
    async with scripted() as served:
        served.script("/", answer(body=b"well"))
        yield served


@pytest.fixture(scope="module")
async def gateway(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with gateway_before(tmp_path_factory.mktemp("gateway"), {"us": region(node_at(origin.url))}) as running:
        yield running


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: p\r\n\r\n"
HEADS = {
    "length and coding": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "coding and length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n",
    "the same length twice": b"Content-Length: 4\r\nContent-Length: 4\r\n",
    "a list of lengths": b"Content-Length: 4, 4\r\n",
    "a length with a sign": b"Content-Length: +4\r\n",
    "a negative length": b"Content-Length: -1\r\n",
    "a length in hex": b"Content-Length: 0x4\r\n",
    "a length with _": b"Content-Length: 1_0\r\n",
    "an empty length": b"Content-Length: \r\n",
    "an enormous length": b"Content-Length: 99999999999999999999999\r\n",
    "a folded header": b"X-A: 1\r\n 2\r\n",
    "a folded coding": b"Transfer-Encoding:\r\n chunked\r\n",
    "a space before the colon": b"Content-Length : 4\r\n",
    "a coding with a space before the colon": b"Transfer-Encoding : chunked\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "two codings": b"Transfer-Encoding: gzip, chunked\r\n",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n",
    "chunked on two lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, identity\r\n",
    "a coding in quotes": b'Transfer-Encoding: "chunked"\r\n',
    "a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "a bare CR": b"X-A: 1\rX-B: 2\r\n",
    "a bare LF": b"X-A: 1\nTransfer-Encoding: chunked\r\n",
    "a NUL": b"X-A: \x00\r\n",
    "no name": b": 1\r\n",
    "a name with a space": b"X A: 1\r\n",
    "no colon": b"X-A\r\n",
    "two hosts": b"Host: other\r\n",
}


@pytest.mark.parametrize("name", HEADS)
async def test_a_request_that_can_be_read_in_two_ways_is_refused(gateway: Gateway, origin: Origin, name: str) -> None:
    before = len(origin.requests)
    request = b"POST / HTTP/1.1\r\nHost: p\r\n" + HEADS[name] + b"\r\n0\r\n\r\n" + SMUGGLED
    reply = await gateway.raw(request)
    assert re.match(rb"HTTP/1.[01] 400 ", reply), reply[:200]
    assert len(re.findall(rb"HTTP/1.[01] \d", reply)) == 1  # and the connection was closed
    assert len(origin.requests) == before


LINES = {
    "another host": b"GET http://other/ HTTP/1.1\r\nHost: p\r\n\r\n",
    "a space in the target": b"GET / / HTTP/1.1\r\nHost: p\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\nHost: p\n\n",
    "an unknown version": b"GET / HTTP/3.7\r\nHost: p\r\n\r\n",
    "no version": b"GET /\r\nHost: p\r\n\r\n",
    "a preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "binary": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a bad chunk": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + SMUGGLED,
    "a chunk longer than it says": b"POST / HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
}


@pytest.mark.parametrize("name", LINES)
async def test_what_is_no_request_is_refused(gateway: Gateway, origin: Origin, name: str) -> None:
    reply = await gateway.raw(LINES[name] + SMUGGLED)
    assert re.match(rb"HTTP/1.[01] (400|505) ", reply), reply[:200]
    assert len(re.findall(rb"HTTP/1.[01] \d", reply)) == 1
    assert not origin.asked("/smuggled")


async def test_a_chunked_body_is_sent_on_in_chunks_of_the_gateway(gateway: Gateway, origin: Origin) -> None:
    origin.script("/chunks", answer())
    body = b"1;ext=1\r\na\r\n2\r\nbc\r\n0\r\nX-Trailer: 1\r\n\r\n"
    head = b"POST /chunks HTTP/1.1\r\nHost: p\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (await gateway.raw(head + body)).startswith(b"HTTP/1.1 200 ")
    asked = origin.asked("/chunks")[0]
    assert asked.body == b"abc"
    assert "X-Trailer" not in asked.headers


async def test_a_connection_of_a_node_that_goes_on_after_its_answer_is_not_used_again(
    gateway: Gateway, origin: Origin
) -> None:
    origin.script(
        "/long", answer(headers={"Content-Length": "2"}, body=b"okHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    )
    await gateway.get("/long")
    for _ in range(5):
        assert await gateway.get("/") == (200, b"well")


async def test_who_sends_a_head_slowly_is_closed_and_others_are_served(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pastebin.http.protocol.HEAD_SECONDS", 0.3)
    slow = [await asyncio.open_connection(*gateway.address) for _ in range(50)]
    try:
        for _, writer in slow:
            writer.write(b"GET / HTTP/1.1\r\nHost: p\r\nX-A: ")
        assert await gateway.get("/") == (200, b"well")
        async with asyncio.timeout(60):
            for reader, _ in slow:
                assert b" 408 " in await reader.readline()
    finally:
        for _, writer in slow:
            writer.close()


async def test_no_read_fails_when_a_node_dies_under_load(tmp_path: Path) -> None:
    async with scripted() as origin, TcpProxy.opened(_place(origin)) as one, TcpProxy.opened(_place(origin)) as two:
        origin.script("/", answer(body=b"w" * 20_000))
        nodes = region(*(node_at(f"http://127.0.0.1:{proxy.port}", f"n{proxy.port}") for proxy in (one, two)))
        async with gateway_before(tmp_path, {"us": nodes}, gateway__try_timeout_seconds=5.0) as gateway:
            statuses: list[int] = []
            stop = asyncio.Event()
            came = asyncio.Condition()

            async def read() -> None:
                while not stop.is_set():
                    status, body = await gateway.get("/")
                    statuses.append(status if len(body) == 20_000 else -1)
                    async with came:
                        came.notify_all()

            async def grown() -> None:
                until = len(statuses) + 200
                async with asyncio.timeout(120), came:
                    await came.wait_for(lambda: len(statuses) >= until)

            async with asyncio.TaskGroup() as tasks:
                for _ in range(16):
                    tasks.create_task(read())
                for step in (one.refuse, one.restore, two.black_hole, two.restore, two.refuse, two.restore):
                    await grown()
                    if (waiting := step()) is not None:
                        await waiting
                await grown()
                stop.set()
    assert set(statuses) == {200}


async def test_a_node_that_is_not_ready_gets_nothing(tmp_path: Path) -> None:
    async with scripted() as one, scripted() as two:
        for served, name in ((one, b"one"), (two, b"two")):
            served.script("/", answer(body=name))
            served.script("/readyz", answer())
        nodes = region(node_at(one.url, "one", internal=one.url), node_at(two.url, "two", internal=two.url))
        async with gateway_before(tmp_path, {"us": nodes}, gateway__probe_interval_seconds=0.1) as gateway:
            one.script("/readyz", answer(503))
            await one.when_asked("/readyz", len(one.asked("/readyz")) + 4)
            assert {(await gateway.get("/"))[1] for _ in range(20)} == {b"two"}
            one.script("/readyz", answer())
            await one.when_asked("/readyz", len(one.asked("/readyz")) + 4)
            two.script("/readyz", answer(503))
            await two.when_asked("/readyz", len(two.asked("/readyz")) + 4)
            assert {(await gateway.get("/"))[1] for _ in range(20)} == {b"one"}


async def test_bodies_of_any_size_are_streamed_both_ways_in_little_memory(tmp_path: Path) -> None:
    size, block = 100 * MIB, bytes(MIB)
    taken: list[int] = []

    async def take(request: web.Request) -> web.Response:
        taken.append(0)
        async for chunk in request.content.iter_any():
            taken[-1] += len(chunk)
        return web.Response(text="taken")

    async def give(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        await response.prepare(request)
        for _ in range(size // MIB):
            await response.write(block)
        return response

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(size // MIB):
            yield block

    application = web.Application(client_max_size=2 * size)
    application.add_routes([web.post("/", take), web.get("/", give)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with gateway_before(tmp_path, {"us": region(node_at(f"http://{host}:{port}"))}) as gateway:
            gc.collect()
            before = _peak()
            async with gateway.http.post(f"{gateway.url}/", data=blocks()) as response:
                assert (response.status, await response.text()) == (200, "taken")
            assert taken == [size]
            got = 0
            async with gateway.http.get(f"{gateway.url}/") as response:
                async for chunk in response.content.iter_any():
                    got += len(chunk)
            assert got == size
            assert _peak() - before < 40 * MIB
    finally:
        await runner.cleanup()


async def test_a_client_that_reads_nothing_holds_its_node_up(tmp_path: Path) -> None:
    sent = 0

    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
        try:
            while True:
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(give, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    regions = {"us": region(node_at(f"http://127.0.0.1:{port}"))}
    async with server, gateway_before(tmp_path, regions) as gateway:
        _, writer = await asyncio.open_connection(*gateway.address, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: p\r\n\r\n")
        seen = -1
        while seen != sent or not sent:
            seen = sent
            await asyncio.sleep(0.3)  # nothing tells that nothing happens any more
        assert sent < 30 * MIB
        writer.transport.abort()


def _place(origin: Origin) -> tuple[str, int]:
    host, _, port = origin.url.removeprefix("http://").partition(":")
    return host, int(port)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
