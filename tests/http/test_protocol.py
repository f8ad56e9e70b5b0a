"""Connections: what is no request, who is slow, who stops half-way; and that nothing of it is in the log."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import pytest
from aiohttp import web

from pastebin.http import protocol
from pastebin.http.protocol import Connection
from tests.http.doors import Door, behind, of_doors

SECRET = b"hunter2"


class Rooms:
    """A short answer, a long one, and one that takes its time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.go = asyncio.Event()
        self.entered = asyncio.Event()

    async def short(self, request: web.Request) -> web.Response:
        return web.Response(text=f"{request.method} {len(await request.content.read())}.")

    async def long(self, request: web.Request) -> web.Response:
        self.transport = request.transport
        return web.Response(body=b"x" * 20_000_000)

    async def slow(self, _request: web.Request) -> web.Response:
        self.entered.set()
        await self.go.wait()
        return web.Response(text="at last.")

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.short),
            web.post("/", self.short),
            web.get("/long", self.long),
            web.get("/slow", self.slow),
        ]


def parsed(answer: bytes) -> tuple[int, dict[bytes, bytes], dict[str, object]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    return int(lines[0].split()[1]), dict(line.split(b": ", 1) for line in lines[1:]), json.loads(body)


async def all_of(door: Door, sent: bytes, *, half_close: bool = False) -> bytes:
    """Everything that comes back until the server closes the connection."""
    async with asyncio.timeout(60), door.connected(sent) as (reader, writer):
        if half_close:
            writer.write_eof()
        return await reader.read()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x16\x03\x01\x02\x00" + SECRET, id="TLS"),
        pytest.param(b"B@D / HTTP/1.1\r\nHost: x\r\nA: " + SECRET + b"\r\n\r\n", id="method"),
        pytest.param(b"GET / HTTP/1.1\r\nAuthorization: Bearer " + SECRET + b"\r\n\r\n", id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nBroken " + SECRET + b"\r\n\r\n", id="header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + SECRET * 5000 + b"\r\n\r\n", id="long header"),
        pytest.param(b"GET /" + SECRET * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="long target"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\n" + SECRET, id="two lengths"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n" + SECRET,
            id="chunked with a length",
        ),
    ],
)
async def test_what_is_no_request_is_refused_in_our_own_words(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with behind(Rooms().routes()) as door:
        status, headers, problem = parsed(await all_of(door, sent))
        figures = door.metrics.expose().decode()
    assert (status, problem["type"], problem["status"]) == (400, "/problems/unreadable-request", 400)
    assert headers[b"Content-Type"] == b"application/problem+json"
    assert (headers[b"Server"], headers[b"Connection"]) == (b"pastebin", b"close")
    assert headers[b"X-Request-Id"].decode() == problem["request_id"]
    assert 'door="origin",method="other",route="unreadable",status="400"' in figures
    assert "hunter2" not in f"{caplog.text}{problem}"
    assert "127.0.0.1" not in caplog.text
    assert [record for record in of_doors(caplog) if record.exc_info or record.levelno > logging.INFO] == []


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n",
        b"POST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n",
    ],
)
async def test_a_broken_body_is_not_logged_either(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with behind(Rooms().routes()) as door:
        await all_of(door, sent)
    lines = [line for record in caplog.records for line in [record.getMessage()] if record.name != __name__]
    assert [line for line in lines if "hunter2" in line] == []


async def test_a_client_that_goes_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"
    async with behind(Rooms().routes()) as door:
        assert await all_of(door, sent, half_close=True) == b""
        await door.traffic.ended()
        assert 'method="POST",route="/",status="499"' in door.metrics.expose().decode()
    assert [record for record in of_doors(caplog) if record.levelno > logging.INFO] == []


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip,chunked", b"identity, chunked"])
async def test_a_transfer_coding_that_is_not_taken_off_is_refused(coding: bytes) -> None:
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
    async with behind(Rooms().routes()) as door:
        status, _, problem = parsed(await all_of(door, sent, half_close=True))
    assert (status, problem["type"]) == (400, "/problems/unreadable-request")


async def test_two_names_for_the_server_are_refused() -> None:
    async with behind(Rooms().routes()) as door:
        for target, status in ((b"http://a/", 200), (b"HTTP://A/", 200), (b"http://b/", 400), (b"http://a@b/", 400)):
            answer = await all_of(door, b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target, half_close=True)
            assert answer.startswith(b"HTTP/1.1 %d " % status), target


async def test_a_head_has_to_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1.0)
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with behind(Rooms().routes()) as door:
        assert await all_of(door, b"") == b""
        status, _, problem = parsed(await all_of(door, b"GET / HT"))
        assert (status, problem["type"]) == (408, "/problems/upload-too-slow")
        async with asyncio.timeout(60), door.connected(whole) as (reader, writer):
            await reader.readuntil(b"GET 0.")
            writer.write(whole[:10])
            assert b" 408 " in await reader.readline()


async def test_a_request_may_take_longer_than_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = Rooms()
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1.0)
    async with behind(rooms.routes()) as door:
        async with asyncio.timeout(60), door.connected(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") as (reader, _):
            await rooms.entered.wait()
            asyncio.get_running_loop().call_later(1.3, rooms.go.set)
            assert (await reader.readuntil(b"at last.")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", [b"GET 0."]),
        (b"GET / HTTP/1.0\r\n\r\n", [b"GET 0."]),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", [b"POST 2."]),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab",
            [b"GET 0.", b"POST 2."],
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", []),
        (b"GET / HT", []),
        (b"", []),
    ],
)
async def test_who_has_said_everything_gets_the_answer(sent: bytes, answers: list[bytes]) -> None:
    async with behind(Rooms().routes()) as door:
        assert re.findall(rb"(?:GET|POST) \d\.", await all_of(door, sent, half_close=True)) == answers


async def test_an_answer_that_takes_time_reaches_who_has_said_everything() -> None:
    rooms = Rooms()
    async with behind(rooms.routes()) as door:
        async with asyncio.timeout(60), door.connected(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") as (reader, writer):
            await rooms.entered.wait()
            writer.write_eof()
            asyncio.get_running_loop().call_soon(rooms.go.set)
            assert (await reader.read()).endswith(b"at last.")


class Heard(Connection):
    """Its client leaves as soon as it has the answer: before aiohttp has taken another turn."""

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finished = await super().finish_response(request, resp, start_time)
        self._loop.call_soon(self.eof_received)
        return finished


async def test_who_leaves_with_the_answer_is_let_go() -> None:
    """Else the connection would be kept until it has been idle for too long."""
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    async with behind(Rooms().routes(), connection=Heard) as door, door.connected(request) as (reader, _):
        async with asyncio.timeout(60):
            assert b"GET 0." in await reader.read()


async def test_who_does_not_read_the_answer_is_cut_off() -> None:
    rooms = Rooms()
    async with behind(rooms.routes(), body_idle_seconds=0.1) as door:
        async with asyncio.timeout(60), door.connected(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n") as (reader, _):
            await reader.readline()
            while rooms.transport is None or not rooms.transport.is_closing():  # noqa: ASYNC110  (aiohttp tells nobody)
                await asyncio.sleep(0.01)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(20_000_000)


async def test_who_reads_slowly_is_not() -> None:
    rooms = Rooms()
    async with behind(rooms.routes(), body_idle_seconds=2.0) as door:
        async with asyncio.timeout(60), door.connected(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n") as (reader, _):
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(20):
                await reader.readexactly(1_000_000)
                await asyncio.sleep(0.12)  # more than two seconds for all


@pytest.mark.parametrize("wanted", ["h2c", "other"])
async def test_what_comes_behind_a_wish_for_another_protocol(wanted: str) -> None:
    """The wish is ignored; what cannot be told from the bytes of that protocol ends the connection, unanswered."""
    wish = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {wanted}\r\n\r\n".encode()
    plain = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with behind(Rooms().routes()) as door:
        answer = await all_of(door, wish + plain)
        assert answer.count(b"HTTP/1.1 ") == answer.count(b"HTTP/1.1 200 ") == 1
        assert b"\r\nConnection: close\r\n" in answer
        async with asyncio.timeout(60), door.connected(wish) as (reader, writer):
            for _ in range(2):
                assert b"Connection: close" not in await reader.readuntil(b"GET 0.")
                writer.write(plain)
        for half in (wish[:20], wish[:-2]):
            async with asyncio.timeout(60), door.connected(half) as (reader, writer):
                await asyncio.sleep(0)
                writer.write(wish[len(half) :] + plain)
                assert (await reader.read()).count(b"HTTP/1.1 200 ") >= 1


async def test_a_body_behind_a_wish_for_another_protocol() -> None:
    wish = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\n"
    async with behind(Rooms().routes()) as door:
        answer = await all_of(door, wish + b"body" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.count(b"HTTP/1.1 200 ") == 1
