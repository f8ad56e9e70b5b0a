"""Doors: opened where they were told to, closed when the last request has its answer."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from pastebin.errors import ResourceUnavailable, StartError
from tests.http.doors import Door, behind

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Hall:
    """A request that stays inside until it is let go."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.seen = b""

    async def wait(self, _request: web.Request) -> web.Response:
        self.entered.set()
        await self.go.wait()
        return web.Response(text="an answer")

    async def take(self, request: web.Request) -> web.Response:
        async for chunk in request.content.iter_any():
            self.seen += chunk
            self.entered.set()
        return web.Response(text=str(len(self.seen)))

    async def drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        self.entered.set()
        await self.go.wait()
        await response.write(b"last")
        return response

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self.wait), web.post("/", self.take), web.get("/drip", self.drip)]


async def text(door: Door, method: str = "GET", path: str = "/", data: object = None) -> str:
    async with door.http.request(method, door.url + path, data=data) as response:
        assert response.status == 200
        return await response.text()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
async def test_a_port_of_zero_becomes_a_real_one(address: str) -> None:
    if address.startswith("["):
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    hall = Hall()
    hall.go.set()
    async with behind(hall.routes(), address=address) as door:
        host, port = door.address
        assert f"[{host}]" == address[:-2] or host == address[:-2]
        assert port > 0
        async with door.http.get(f"http://{address[:-2]}:{port}/") as response:
            assert response.status == 200
            assert response.headers["Server"] == "pastebin"


async def test_a_taken_port_is_named_with_the_option_that_helps() -> None:
    async with behind([]) as door:
        taken = f"127.0.0.1:{door.address[1]}"
        with pytest.raises(ResourceUnavailable, match=rf"doors.origin: {taken} is in use .* --port"):
            async with behind([], address=taken):
                pass


async def test_an_address_of_another_machine_is_refused_in_one_line() -> None:
    with pytest.raises(ResourceUnavailable, match=r"doors.origin: cannot listen on 192\.0\.2\.1:0"):
        async with behind([], address="192.0.2.1:0"):
            pass


async def test_two_roles_cannot_claim_one_address() -> None:
    hall = Hall()
    with pytest.raises(StartError, match="two roles claim GET /"):
        async with behind([*hall.routes(), web.get("/", hall.wait)]):
            pass


async def test_closing_waits_for_the_answer_under_way_and_lets_nobody_in() -> None:
    hall = Hall()
    async with asyncio.TaskGroup() as tasks:
        async with behind(hall.routes()) as door:
            asked = tasks.create_task(text(door))
            await hall.entered.wait()
            tasks.create_task(refused(door, hall.go))
        assert asked.done()
    assert asked.result() == "an answer"
    with pytest.raises(OSError, match="refused|failed"):
        await asyncio.open_connection(*door.address)


async def test_who_was_let_in_last_is_answered() -> None:
    """The connection is there before the door closes, its request comes behind that."""
    hall = Hall()
    hall.go.set()
    is_closed = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, behind(hall.routes()) as door:
        reader, writer = await asyncio.open_connection(*door.address)
        tasks.create_task(refused(door, is_closed))

        async def ask() -> bytes:
            await is_closed.wait()
            for _ in range(100):  # the last connection would long be cut
                await asyncio.sleep(0)
            writer.write(GET)
            answer = await reader.readuntil(b"an answer")
            writer.close()
            return answer

        asked = tasks.create_task(ask())
    assert asked.result().startswith(b"HTTP/1.1 200 OK\r\n")


async def test_closing_waits_for_the_upload_under_way() -> None:
    hall = Hall()

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await hall.go.wait()
        yield b"y" * 1_000_000

    async with asyncio.TaskGroup() as tasks, behind(hall.routes()) as door:
        upload = tasks.create_task(text(door, "POST", data=body()))
        await hall.entered.wait()
        tasks.create_task(refused(door, hall.go))
    assert upload.result() == "1001000"


async def test_closing_waits_for_the_download_under_way() -> None:
    hall = Hall()
    async with asyncio.TaskGroup() as tasks, behind(hall.routes()) as door:
        download = tasks.create_task(text(door, path="/drip"))
        await hall.entered.wait()
        tasks.create_task(refused(door, hall.go))
    assert download.result() == "first last"


async def refused(door: Door, then: asyncio.Event) -> None:
    """Wait until nobody gets in any more, then set the event."""
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection(*door.address)
                except OSError:
                    return
                writer.close()
                await writer.wait_closed()
    finally:
        then.set()


@pytest.mark.parametrize("hurry", [True, False])
async def test_who_stays_too_long_is_cut_off(hurry: bool) -> None:
    hall = Hall()
    async with AsyncExitStack() as connections:
        async with behind(hall.routes(), shutdown_seconds=20.0 if hurry else 0.05) as door:
            reader, _ = await connections.enter_async_context(door.connected(GET))
            await hall.entered.wait()
            if hurry:
                door.hurried.set()
        assert await reader.read() == b""


async def test_an_idle_connection_does_not_hold_the_door() -> None:
    hall = Hall()
    hall.go.set()
    async with AsyncExitStack() as connections:
        async with behind(hall.routes()) as door:
            reader, _ = await connections.enter_async_context(door.connected(GET))
            assert (await reader.readuntil(b"an answer")).startswith(b"HTTP/1.1 200 ")
        assert await reader.read() == b""


async def test_while_draining_connections_end_with_their_answer() -> None:
    hall = Hall()
    hall.go.set()
    async with behind(hall.routes()) as door:
        async with door.http.get(door.url) as response:
            assert "Connection" not in response.headers
        door.draining.set()
        async with door.http.get(door.url) as response:
            assert response.headers["Connection"] == "close"


async def test_while_draining_a_streamed_answer_ends_its_connection_too() -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"piece")
        return response

    async with behind([web.get("/stream", stream)]) as door:
        door.draining.set()
        async with door.connected(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n") as (reader, _):
            answer = await reader.read()
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"5\r\npiece\r\n0\r\n\r\n")


async def test_expect_100_continue_is_answered_before_the_body_is_sent() -> None:
    hall = Hall()
    async with behind(hall.routes()) as door:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        async with door.connected(head) as (reader, writer):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert not hall.entered.is_set()
            writer.write(b"hello")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(1) == b"5"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Content-Length: 2001\r\nExpect: 100-continue\r\n", 413),
        (b"Content-Length: 1025\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n", 413),
        (b"Content-Length: 5\r\nExpect: 100-continue\r\nContent-Encoding: gzip\r\n", 415),
        (b"Content-Length: 5\r\nExpect: miracles\r\n", 417),
    ],
)
async def test_what_is_announced_and_not_welcome_is_refused_unread(lines: bytes, status: int) -> None:
    async with behind(Hall().routes()) as door:
        async with door.connected(b"POST / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n") as (reader, _):
            answer = await reader.readuntil(b"}")
            figures = door.metrics.expose().decode()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"application/problem+json" in answer
        assert b"100 Continue" not in answer
        assert b"\r\nConnection: close\r\n" in answer
        (request_id,) = re.findall(rb"X-Request-Id: (\w{16})\r\n", answer)
        assert b'"request_id":"%s"' % request_id in answer
        assert f'method="POST",route="/",status="{status}"' in figures


async def test_an_expectation_of_an_unknown_address_is_no_reason_to_ask_for_the_body() -> None:
    async with behind(Hall().routes()) as door:
        head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: miracles\r\n\r\n"
        async with door.connected(head) as (reader, _):
            answer = await reader.readuntil(b"}")
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert b"application/problem+json" in answer
    assert b"Server: pastebin" in answer


async def test_bodies_stay_as_they_were_sent() -> None:
    hall = Hall()
    headers = {"Content-Encoding": "gzip"}
    async with (
        behind(hall.routes()) as door,
        door.http.post(door.url, data=b"\x1f\x8b\x08", headers=headers) as response,
    ):
        assert response.status == 200
    assert hall.seen == b"\x1f\x8b\x08"
