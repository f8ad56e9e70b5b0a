"""A door that is full, and bodies that come too slowly to be worth a place in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.capacity import Capacity
from tests.http.doors import Door, behind

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ADDRESSES = ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "local"]
SOURCES = ["a", "b", "a", "c", "c", "d", "e"]


class Rooms:
    """Counts what arrives of a body, and can take its time before it looks."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.entered = asyncio.Event()

    async def read(self, request: web.Request) -> web.Response:
        self.entered.set()
        await self.go.wait()
        size = 0
        while chunk := await request.content.readany():
            size += len(chunk)
        return web.Response(text=f"{size} read")

    async def form(self, request: web.Request) -> web.Response:
        async for _ in await request.multipart():
            pass
        return web.Response(text="read")

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self.read), web.post("/", self.read), web.post("/form", self.form)]


async def answer_of(door: Door, sent: bytes = GET) -> bytes:
    """What comes on a connection of its own, until the server ends it or a request is answered."""
    async with asyncio.timeout(60), door.connected(sent) as (reader, _):
        return await reader.readuntil(b"\r\n\r\n")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, len(ADDRESSES) - 1)), max_size=60), st.integers(0, 6))
def test_nobody_is_let_in_past_a_limit_nor_kept_out_below_it(moves: list[tuple[bool, int]], most: int) -> None:
    capacity = Capacity(most, 2)
    inside: Counter[int] = Counter()
    for comes, who in moves:
        by_source: Counter[str] = Counter()
        for one, count in inside.items():
            by_source[SOURCES[one]] += count
        if comes:
            fits = (not most or inside.total() < most) and by_source[SOURCES[who]] < 2
            assert capacity.admit(ADDRESSES[who]) == fits
            inside[who] += fits
        elif inside[who]:
            capacity.release(ADDRESSES[who])
            inside[who] -= 1
        assert len(capacity) == inside.total()


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_address"])
async def test_a_full_door_says_so_and_opens_again(limit: str) -> None:
    async with behind(Rooms().routes(), **{limit: 2}) as door:
        async with contextlib.AsyncExitStack() as inside:
            for _ in range(2):
                reader, _ = await inside.enter_async_context(door.connected(GET))
                await reader.readuntil(b"0 read")
            head = await answer_of(door)
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: " in head
            assert b"\r\nConnection: close\r\n" in head
            assert 'status="503"' in door.metrics.expose().decode()
        async with asyncio.timeout(60):
            while (head := await answer_of(door)).startswith(b"HTTP/1.1 503 "):
                pass
        assert head.startswith(b"HTTP/1.1 200 ")


async def test_no_limit_is_no_limit() -> None:
    async with behind(Rooms().routes(), max_connections=0, max_connections_per_address=0) as door:
        async with contextlib.AsyncExitStack() as inside:
            for _ in range(20):
                reader, _ = await inside.enter_async_context(door.connected(GET))
                await reader.readuntil(b"0 read")


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n",
        b"POST /form HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n"
        b'\r\n--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n',
    ],
)
async def test_a_body_that_drips_is_given_up(head: bytes) -> None:
    async with behind(Rooms().routes(), body_idle_seconds=0.2, min_body_bytes_per_second=100_000) as door:
        async with asyncio.timeout(60), door.connected(head) as (reader, writer):

            async def drip() -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(b"x")
                        await writer.drain()
                        await asyncio.sleep(0.01)

            dripping = asyncio.ensure_future(drip())
            answer = await reader.readuntil(b"}")  # its end can be lost to the bytes that still come
            dripping.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/upload-too-slow" in answer


async def test_a_body_that_is_fast_enough_may_take_long() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n"
    async with behind(Rooms().routes(), body_idle_seconds=2.0, min_body_bytes_per_second=10) as door:
        async with asyncio.timeout(60), door.connected(head) as (reader, writer):
            for _ in range(30):
                writer.write(b"x" * 100)
                await writer.drain()
                await asyncio.sleep(0.08)  # more than two seconds for all
            assert (await reader.readuntil(b"3000 read")).startswith(b"HTTP/1.1 200 ")


async def test_who_is_made_to_wait_is_not_slow() -> None:
    rooms = Rooms()
    rooms.go.clear()
    body = b"x" * 500_000
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with behind(rooms.routes(), body_idle_seconds=1.5, min_body_bytes_per_second=100_000_000) as door:
        async with asyncio.timeout(60), door.connected(head) as (reader, writer):
            writer.write(body)
            await rooms.entered.wait()
            asyncio.get_running_loop().call_later(2.0, rooms.go.set)
            assert (await reader.readuntil(b" read")).endswith(b"500000 read")
