"""A door that is asked too much refuses some at once, so that the others are answered in time."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.overload import KINDS, Kind, Limit, Load, kind_of
from tests.cluster import until
from tests.http.doors import Door, behind
from tests.http.rooms import heard

LATE = 0.25
counts = st.fixed_dictionaries({kind: st.integers(0, 1000) for kind in KINDS})


def after(limit: Limit, delays: list[float], inside: int = 200, step: float = 0.1, began: float = 0.0) -> float:
    """The time after these delays have been seen, one in each window."""
    now = began
    for delay in delays:
        now += step
        limit.observe(delay, inside, now)
    return now


def test_one_slow_turn_is_no_overload() -> None:
    limit = Limit(LATE)
    after(limit, [0.3, 0.01, 0.3, 0.01] * 10)
    assert limit.value == math.inf


def test_what_stays_late_is_limited_and_forgotten_afterwards() -> None:
    limit = Limit(LATE)
    now = after(limit, [0.3] * 10)
    assert limit.value < 200
    now = after(limit, [0.3] * 100, inside=100, began=now)
    assert limit.value == 64
    after(limit, [0.01] * 100, inside=64, began=now)
    assert limit.value == math.inf


def test_answers_that_come_late_are_overload_though_the_loop_is_not_late() -> None:
    limit = Limit(LATE)
    now = 0.0
    for slow, is_limited in ((4, False), (6, True)):
        for _ in range(20):
            for number in range(10):
                limit.answered(1.0 if number < slow else 0.01)
            now += 0.1
            limit.observe(0.01, 200, now)
        assert (limit.value < 200) is is_limited


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 10_000), st.floats(0.001, 1)), max_size=300))
def test_a_few_are_always_let_in(looks: list[tuple[float, int, float]]) -> None:
    limit, now = Limit(LATE), 0.0
    for delay, inside, seconds in looks:
        now += seconds
        limit.observe(delay, inside, now)
        assert limit.value >= 64
        assert limit.admits("read", dict.fromkeys(KINDS, 0))


@given(st.floats(64, 5000), counts)
def test_readers_come_before_writers_and_these_before_administrators(value: float, inside: dict[Kind, int]) -> None:
    limit = Limit(LATE, value)
    read, write, admin = (limit.admits(kind, inside) for kind in KINDS)
    assert read >= write >= admin
    # writers, however many, keep no reader out
    assert read == limit.admits("read", {**inside, "write": 10_000, "admin": 10_000})


def test_goodput_of_a_simulated_server() -> None:
    """Three times as many come as can be served; a refusal costs a thirtieth of an answer."""
    answer, refusal, patience = 0.00025, 0.000008, 1.0
    rate = 3 / answer
    limit, now, good, arrived = Limit(LATE), 0.0, 0, 0.0
    inside: dict[Kind, int] = dict.fromkeys(KINDS, 0)
    began = None
    while now < 20.0:
        coming, arrived = int((now - arrived) * rate) + 1, now  # since the last turn
        admitted = 0
        for _ in range(coming):
            inside["read"] = admitted
            admitted += limit.admits("read", inside)
        seconds = admitted * answer + (coming - admitted) * refusal
        now += seconds
        limit.observe(seconds, admitted, now)
        if now > 5.0:
            began = began or now
            good += admitted if 2 * seconds < patience else 0
    assert began is not None
    assert good * answer / (now - began) > 0.8


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("GET", "/raw/abc", "read"),
        ("HEAD", "/", "read"),
        ("POST", "/api/v1/pastes", "write"),
        ("DELETE", "/api/v1/pastes/abc", "write"),
        ("GET", "/admin/topology", "admin"),
        ("GET", "/api/v1/analytics/overview", "admin"),
    ],
)
def test_kinds(method: str, target: str, kind: Kind) -> None:
    assert kind_of(method, target) == kind


class Still(Limit):
    """A limit that stays as it is."""

    def observe(self, delay: float, inside: int, now: float) -> None:
        del delay, inside, now


@dataclass
class Place:
    """A door that lets in as many as it is told to, and how many it has refused."""

    door: Door
    load: Load
    shed: Counter[str] = field(default_factory=Counter)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def said(self, data: bytes) -> bytes:
        """All that comes back on a connection that is closed when nothing more comes."""
        async with self.door.connected(data) as (reader, writer):
            writer.write_eof()
            async with asyncio.timeout(60):
                return await reader.read()


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    shed: Counter[str] = Counter()
    go_on = asyncio.Event()
    load = Load(Still(LATE, 0.0), lambda kind: shed.update([kind]))

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=(await request.text()) or "here")

    async def slowly(_request: web.Request) -> web.Response:
        await go_on.wait()
        return web.Response(text="late")

    async def streamed(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await go_on.wait()
        return response

    routes = [web.get("/", answer), web.post("/", answer), web.get("/slowly", slowly), web.get("/stream", streamed)]
    async with behind(routes, load=load) as door:
        yield Place(door, load, shed, go_on)


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        (GET, True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", False),
        (b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", False),
    ],
)
async def test_what_is_too_much_is_told_so(place: Place, data: bytes, stays: bool) -> None:
    async with place.door.connected(b"") as (reader, writer):
        await heard()  # the connection has to be known
        writer.write(data)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        assert head.startswith(("HTTP/1.1 503 ", "HTTP/1.0 503 "))
        assert "Retry-After: " in head
        assert b'"/problems/overloaded"' in body
        if stays:
            place.load.limit.value = math.inf
            writer.write(GET)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(4) == b"here"
        else:
            assert await reader.read() == b""
    assert sum(place.shed.values()) == 1


async def test_a_request_counts_until_its_answer_begins(place: Place) -> None:
    place.load.limit.value = 1.0
    async with asyncio.TaskGroup() as tasks, place.door.http.get(f"{place.door.url}/stream") as streamed:
        assert await streamed.content.readexactly(5) == b"begun"
        slow = tasks.create_task(place.said(b"GET /slowly HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
        await until(lambda: place.load.inside["read"] == 1)
        async with place.door.http.get(place.door.url) as refused:
            assert refused.status == 503
        place.go_on.set()
        assert b" 200 " in await slow
        async with place.door.http.get(place.door.url) as response:
            assert response.status == 200
    assert place.load.inside == dict.fromkeys(KINDS, 0)


async def test_clients_that_leave_count_no_more(place: Place) -> None:
    place.load.limit.value = math.inf
    for _ in range(5):
        async with place.door.connected(b"GET /slowly HTTP/1.1\r\nHost: a\r\n\r\n") as (_, writer):
            await until(lambda: place.load.inside["read"] == 1)
            wire = writer.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not just closed
        await until(lambda: place.load.inside["read"] == 0)
    place.go_on.set()
