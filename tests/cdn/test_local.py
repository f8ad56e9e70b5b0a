"""The connection in memory between an edge and the node's own application."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from multidict import CIMultiDict

from pastebin.cdn.local import LocalOrigin, join
from pastebin.cdn.origins import Origins
from pastebin.errors import UpstreamUnavailable
from pastebin.http import app
from pastebin.http.door import Traffic
from pastebin.http.exchanges import Ask, Reply
from pastebin.metrics import Metrics
from pastebin.sections import DoorsSection, EdgeSection
from tests.http.doors import LIMITS, page

LARGE = bytes(range(256)) * 8192


class Rooms:
    """What stands behind the connection."""

    def __init__(self) -> None:
        self.written = 0
        self.connections: set[int] = set()

    async def small(self, request: web.Request) -> web.Response:
        self.connections.add(id(request.protocol))
        return web.Response(text=request.raw_path)

    async def large(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(LARGE), 16384):
            await response.write(LARGE[start : start + 16384])
            self.written += 16384
        return response

    async def echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.content.read())

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/large", self.large), web.post("/echo", self.echo), web.get("/{path:.*}", self.small)]


@asynccontextmanager
async def served(rooms: Rooms) -> AsyncIterator[Origins]:
    application = app.build("local", rooms.routes(), Traffic(), Metrics(), page, lambda: False, LIMITS)
    local = LocalOrigin()
    origins = Origins([local], EdgeSection(response_timeout_seconds=60), is_limited=False)
    async with local.serving(application, DoorsSection(), 5):
        yield origins
        origins.close()


async def body_of(reply: Reply) -> bytes:
    pieces = []
    while piece := await reply.read():
        pieces.append(piece)
    return b"".join(pieces)


def ask(target: str, method: str = "GET", **headers: str) -> Ask:
    return Ask(method, target, CIMultiDict({"Host": "x", **headers}))


async def test_one_connection_serves_one_request_after_the_other() -> None:
    rooms = Rooms()
    async with served(rooms) as origins:
        for target in ("/a", "/b%2F..", "/c?d=%20&e"):
            reply = await origins.fetch(ask(target))
            assert (await reply.headed()).status == 200
            assert await body_of(reply) == target.encode()
    assert len(rooms.connections) == 1


def test_who_asks_and_is_gone_in_the_same_breath_leaves_no_trace() -> None:
    """In a loop of its own: what others have left behind complains to theirs."""

    class Hasty(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

    complaints: list[object] = []

    async def ask_and_go() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        application = app.build("local", Rooms().routes(), Traffic(), Metrics(), page, lambda: False, LIMITS)
        local = LocalOrigin()
        async with local.serving(application, DoorsSection(), 5):
            hasty = Hasty()
            await local.connect(lambda: hasty)
            await asyncio.sleep(0)  # the other side waits for a request now
            hasty.transport.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            hasty.transport.close()
            for _ in range(5):
                await asyncio.sleep(0)
        gc.collect()

    asyncio.run(ask_and_go())
    assert not complaints


async def test_what_is_asked_at_the_same_time_is_answered_at_the_same_time() -> None:
    rooms = Rooms()
    async with served(rooms) as origins:
        replies = await asyncio.gather(*(origins.fetch(ask(f"/{number}")) for number in range(20)))
        assert [await body_of(reply) for reply in replies] == [f"/{number}".encode() for number in range(20)]
    assert len(rooms.connections) == 20


async def test_who_reads_slowly_makes_the_writer_wait() -> None:
    rooms = Rooms()
    async with served(rooms) as origins:
        reply = await origins.fetch(ask("/large"))
        for _ in range(200):
            await asyncio.sleep(0)
        assert rooms.written < 1_000_000
        assert await body_of(reply) == LARGE


async def test_giving_up_ends_the_connection_and_nothing_else() -> None:
    rooms = Rooms()
    async with served(rooms) as origins:
        reply = await origins.fetch(ask("/large"))
        await reply.read()
        reply.close()
        with pytest.raises(UpstreamUnavailable):
            await body_of(reply)
        assert await body_of(await origins.fetch(ask("/small"))) == b"/small"


async def test_a_body_goes_in_pieces() -> None:
    async with served(Rooms()) as origins:
        exchange, reply = await origins.begin(ask("/echo", "POST", **{"Content-Length": str(len(LARGE))}))
        for start in range(0, len(LARGE), 65536):
            assert await exchange.send(LARGE[start : start + 65536], 60)
        assert await body_of(reply) == LARGE


async def test_nothing_is_connected_to_before_it_is_served() -> None:
    origins = Origins([LocalOrigin()], EdgeSection(), is_limited=False)
    with pytest.raises(UpstreamUnavailable):
        await origins.fetch(ask("/"))


class Ear(asyncio.Protocol):
    """One end of a pair; notes what happens to it."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.append(data.decode())

    def eof_received(self) -> bool:
        self.heard.append("end")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append("lost" if exc is None else "reset")
        self.lost.set()

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")


def pair() -> tuple[Ear, Ear, asyncio.Transport, asyncio.Transport]:
    one, other = Ear(), Ear()
    join(one, other)
    assert one.transport and other.transport
    return one, other, one.transport, other.transport


async def test_closing_delivers_what_was_written() -> None:
    one, other, near, far = pair()
    near.write(b"a")
    near.writelines([b"b", bytearray(b"c")])
    near.close()
    near.write(b"too late")
    await asyncio.gather(one.lost.wait(), other.lost.wait())
    assert (one.heard, other.heard) == (["lost"], ["a", "bc", "end", "lost"])
    assert near.is_closing() and far.is_closing()
    far.write(b"nobody hears it")
    assert far.get_write_buffer_size() == 0


async def test_aborting_drops_what_was_written() -> None:
    one, other, near, _ = pair()
    near.write(b"a")
    near.abort()
    await asyncio.gather(one.lost.wait(), other.lost.wait())
    assert (one.heard, other.heard) == (["lost"], ["reset"])


async def test_a_paused_reader_keeps_what_comes_until_it_goes_on() -> None:
    one, other, near, far = pair()
    far.pause_reading()
    near.write(b"x" * 300_000)
    assert one.heard == ["pause"]
    near.close()
    await one.lost.wait()
    assert other.heard == []
    assert not far.is_closing()
    far.resume_reading()
    await other.lost.wait()
    assert [len(word) for word in other.heard] == [300_000, 3, 4]


async def test_a_writer_goes_on_when_there_is_room() -> None:
    one, other, near, far = pair()
    far.pause_reading()
    for _ in range(3):
        near.write(b"x" * 100_000)
    far.resume_reading()
    await asyncio.sleep(0)
    assert one.heard == ["pause", "resume"]
    assert len(other.heard) == 3
    near.abort()
    await other.lost.wait()
