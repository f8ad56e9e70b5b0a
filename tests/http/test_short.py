"""Connections on the short road: what comes before, beside and after a request on it."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import DatabaseUnavailable
from pastebin.http import short
from tests.http.doors import Door, behind, of_doors
from tests.http.rooms import GET, Rooms, heard, post, said


async def figures(door: Door, status: int, route: str = "/") -> bool:
    return f'method="POST",route="{route}",status="{status}"' in door.metrics.expose().decode()


async def test_one_connection_takes_the_road_that_each_request_needs() -> None:
    sent = [post(b"ab"), GET, post(b"abc"), post(b"decline"), post(b"x" * 100_000), post(b"abcd"), GET, post(b"a")]
    answers = ["short 2.", "full 0.", "short 3.", "full 7.", "full 100000.", "short 4.", "full 0.", "short 1."]
    async with behind(Rooms().routes()) as door, door.connected(b"") as (reader, writer):
        await asyncio.sleep(0)
        for data, answer in zip(sent, answers, strict=True):
            writer.write(data)
            assert await said(reader) == answer


async def test_a_body_that_comes_later_keeps_the_count() -> None:
    async with behind(Rooms().routes()) as door, door.connected(post(b"ab")[:-1]) as (reader, writer):
        await heard()
        writer.write(b"b")
        assert await said(reader) == "full 2."
        writer.write(post(b"abc"))
        assert await said(reader) == "short 3."


@pytest.mark.parametrize(
    "odd",
    [
        post(b"", "/full").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\n\r\n",
        GET + GET[:9],
    ],
    ids=["chunked", "half a head"],
)
async def test_where_nobody_knows_what_begins_the_full_road_is_kept(odd: bytes) -> None:
    async with behind(Rooms().routes()) as door, door.connected(odd) as (reader, writer):
        assert (await said(reader)).startswith("full")
        if odd.startswith(GET):
            writer.write(GET[9:])
            assert await said(reader) == "full 0."
        writer.write(post(b"abc"))
        assert await said(reader) == "full 3."


async def test_what_looks_like_a_request_inside_a_body_is_none() -> None:
    inner = post(b"abc")
    outer = post(b"x" * 10 + inner, "/full")
    async with behind(Rooms().routes()) as door, door.connected(outer[: -len(inner)]) as (reader, writer):
        await heard()
        writer.write(inner)
        assert await said(reader) == f"full {10 + len(inner)}."


async def test_answers_keep_the_order_of_their_requests() -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with behind(rooms.routes()) as door, door.connected(post(b"ab")) as (reader, writer):
        await rooms.entered.wait()
        for piece in (GET[:5], GET[5:] + post(b"abc"), post(b"abcd")):
            writer.write(piece)
            await heard()
        rooms.go.set()
        assert [await said(reader) for _ in range(4)] == ["short 2.", "full 0.", "full 3.", "full 4."]


async def test_who_has_said_everything_gets_the_answer() -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with behind(rooms.routes()) as door, door.connected(post(b"ab")) as (reader, writer):
        await rooms.entered.wait()
        writer.write_eof()
        await heard()
        rooms.go.set()
        async with asyncio.timeout(60):
            assert (await reader.read()).endswith(b"short 2.")


async def test_who_goes_away_is_counted_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with behind(rooms.routes()) as door:
        async with door.connected(post(b"ab")) as (_, writer):
            await rooms.entered.wait()
            writer.transport.abort()
        await heard()
        rooms.go.set()
        await door.traffic.ended()
        assert await figures(door, 201 - 1)
    assert of_doors(caplog) == []


async def test_closing_waits_for_the_answer_and_tells_the_client() -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        opened = behind(rooms.routes())
        door = await opened.__aenter__()
        reader, writer = await asyncio.open_connection(*door.address)
        writer.write(post(b"ab"))
        await rooms.entered.wait()
        door.draining.set()
        closing = tasks.create_task(opened.__aexit__(None, None, None))
        await heard()
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
            async with asyncio.timeout(60):
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
        assert [record.levelname for record in of_doors(caplog)] == ["WARNING" if status == 503 else "ERROR"]
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
    assert (found.path, found.body, found.host, found.accept) == ("/", body, "x", "*/*")
    assert short.read(data + noise) is None
    assert short.read(data[:-1]) is None
    spoilt = data[:at] + noise + data[at:]
    if (read := short.read(spoilt)) is not None:
        assert read.body == spoilt.partition(b"\r\n\r\n")[2]


async def test_both_roads_say_the_same_while_the_door_drains() -> None:
    heads = []
    for path in ("/", "/full"):
        async with behind(Rooms().routes()) as door:
            door.draining.set()
            async with door.connected(post(b"ab", path)) as (reader, _), asyncio.timeout(60):
                head, _, _ = (await reader.read()).partition(b"\r\n\r\n")
        heads.append([line.partition(b":")[0] for line in head.split(b"\r\n")])
    assert heads[0] == heads[1]
    assert heads[0][-1] == b"Connection"


async def test_the_first_request_of_a_connection_takes_it_though_nobody_waits_for_it_yet() -> None:
    loop = asyncio.get_running_loop()
    async with behind(Rooms().routes()) as door:
        for _ in range(20):
            with socket.create_connection(door.address) as client:  # before the server has heard of it
                client.sendall(post(b"ab"))
                client.setblocking(False)
                async with asyncio.timeout(60):
                    assert (await loop.sock_recv(client, 65536)).endswith(b"short 2.")
