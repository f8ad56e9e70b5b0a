"""Connections on the short road: what comes before, beside and after a request on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import DatabaseUnavailable
from pastebin.http import short
from pastebin.http.short import Short
from tests.http.doors import Door, behind


class Rooms:
    """Handlers that say which road led to them."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.failure: Exception | None = None

    async def full(self, request: web.Request) -> web.Response:
        return web.Response(text=f"full {len(await request.content.read())}.")

    def short(self, request: Short) -> Callable[[], Awaitable[web.Response]] | None:
        if request.body == b"decline":
            return None

        async def work() -> web.Response:
            self.entered.set()
            await self.go.wait()
            if self.failure:
                raise self.failure
            return web.Response(text=f"short {len(request.body)}.")

        return work

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self.full), web.post("/", self.full, short=self.short), web.post("/full", self.full)]


def post(body: bytes, path: str = "/", *headers: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def said(reader: asyncio.StreamReader) -> str:
    """The body of the next answer: which road, how many bytes."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
        return (await reader.readexactly(length)).decode()


async def figures(door: Door, status: int, route: str = "/") -> bool:
    return f'method="POST",route="{route}",status="{status}"' in door.metrics.expose().decode()


async def test_one_connection_takes_the_road_that_each_request_needs() -> None:
    sent = [post(b"ab"), GET, post(b"abc"), post(b"decline"), post(b"x" * 100_000), post(b"abcd"), GET, post(b"a")]
    heard = ["short 2.", "full 0.", "short 3.", "full 7.", "full 100000.", "short 4.", "full 0.", "short 1."]
    async with behind(Rooms().routes()) as door, door.connected(b"") as (reader, writer):
        await asyncio.sleep(0)
        for data, answer in zip(sent, heard, strict=True):
            writer.write(data)
            assert await said(reader) == answer


async def test_a_body_that_comes_later_keeps_the_count() -> None:
    async with behind(Rooms().routes()) as door, door.connected(post(b"ab")[:-1]) as (reader, writer):
        await asyncio.sleep(0.01)
        writer.write(b"b")
        assert await said(reader) == "full 2."
        writer.write(post(b"abc"))
        assert await said(reader) == "short 3."


async def test_a_connection_finds_its_way_back() -> None:
    chunked = post(b"", "/full").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\n\r\n"
    split = post(b"ab", "/full")
    async with behind(Rooms().routes()) as door, door.connected(b"") as (reader, writer):
        await asyncio.sleep(0)
        for pieces, answer, afterwards in (
            ([chunked], "full 2.", "short 3."),
            ([GET[:9], GET[9:]], "full 0.", "short 3."),
            # nobody has counted where it begins
            ([split[:9], split[9:]], "full 2.", "full 3."),
            ([GET], "full 0.", "short 3."),
        ):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.01)
            assert await said(reader) == answer
            writer.write(post(b"abc"))
            assert await said(reader) == afterwards


async def test_what_looks_like_a_request_inside_a_body_is_none() -> None:
    inner = post(b"abc")
    outer = post(b"x" * 10 + inner, "/full")
    async with behind(Rooms().routes()) as door, door.connected(outer[: -len(inner)]) as (reader, writer):
        await asyncio.sleep(0.01)
        writer.write(inner)
        assert await said(reader) == f"full {10 + len(inner)}."


async def test_answers_keep_the_order_of_their_requests() -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with behind(rooms.routes()) as door, door.connected(post(b"ab")) as (reader, writer):
        await rooms.entered.wait()
        for piece in (GET[:5], GET[5:] + post(b"abc"), post(b"abcd")):
            writer.write(piece)
            await asyncio.sleep(0.01)
        rooms.go.set()
        assert [await said(reader) for _ in range(4)] == ["short 2.", "full 0.", "full 3.", "full 4."]


async def test_who_has_said_everything_gets_the_answer() -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with behind(rooms.routes()) as door, door.connected(post(b"ab")) as (reader, writer):
        await rooms.entered.wait()
        writer.write_eof()
        await asyncio.sleep(0.01)
        rooms.go.set()
        async with asyncio.timeout(10):
            assert (await reader.read()).endswith(b"short 2.")


async def test_who_goes_away_is_counted_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with behind(rooms.routes()) as door:
        async with door.connected(post(b"ab")) as (_, writer):
            await rooms.entered.wait()
            writer.transport.abort()
        await asyncio.sleep(0.01)
        rooms.go.set()
        await door.traffic.ended()
        assert await figures(door, 201 - 1)
    assert caplog.records == []


async def test_closing_waits_for_the_answer_and_tells_the_client() -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        opened = behind(rooms.routes())
        door = await opened.__aenter__()
        reader, writer = await asyncio.open_connection(*door.address)
        writer.write(post(b"ab"))
        await rooms.entered.wait()
        door.draining.set()
        closing = tasks.create_task(opened.__aexit__(None, None, None))
        await asyncio.sleep(0.01)
        assert not closing.done()
        rooms.go.set()
        answer = await reader.read()
        writer.close()
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"short 2.")


async def test_who_hurries_cuts_it() -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with behind(rooms.routes()) as door:
        async with door.connected(post(b"ab")) as (reader, _):
            await rooms.entered.wait()
            door.traffic.cut()
            async with asyncio.timeout(10):
                assert await reader.read() == b""
        await door.traffic.ended()
        assert await figures(door, 499)


@pytest.mark.parametrize(("failure", "status"), [(DatabaseUnavailable(), 503), (KeyError("secret"), 500)])
async def test_a_failure_is_told_and_the_connection_stays(
    failure: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    rooms = Rooms()
    rooms.failure = failure
    async with behind(rooms.routes()) as door, door.connected(post(b"ab")) as (reader, writer):
        problem = await said(reader)
        assert f'"status":{status}' in problem
        assert "secret" not in problem
        assert await figures(door, status)
        assert [record.levelname for record in caplog.records] == ["WARNING" if status == 503 else "ERROR"]
        rooms.failure = None
        writer.write(post(b"abc"))
        assert await said(reader) == "short 3."


async def test_an_id_is_given_back_or_made() -> None:
    async with behind(Rooms().routes()) as door:
        for given, pattern in (("", rb"[0-9a-f]{16}"), ("X-Request-Id: from-a-proxy", rb"from-a-proxy")):
            async with door.connected(post(b"ab", "/", *([given] if given else []))) as (reader, _):
                head = await reader.readuntil(b"\r\n\r\n")
            assert re.search(rb"\r\nX-Request-Id: %s\r\n" % pattern, head)


@given(st.binary(max_size=200), st.integers(0, 80), st.binary(min_size=1, max_size=3))
def test_only_one_whole_plain_request_is_read(body: bytes, at: int, noise: bytes) -> None:
    data = post(body, "/", "Accept: */*")
    found = short.read(data)
    assert found is not None
    assert (found[0], found[1].body, found[1].host) == ("POST / HTTP/1.1", body, "x")
    assert short.read(data + noise) is None
    assert short.read(data[:-1]) is None
    spoilt = data[:at] + noise + data[at:]
    if (read := short.read(spoilt)) is not None:
        assert set(read[1].headers) <= short._HEADERS
        assert read[1].body == spoilt.partition(b"\r\n\r\n")[2]
