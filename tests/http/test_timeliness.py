"""Requests that have to be answered by a certain moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from pastebin import deadlines
from pastebin.http.timeliness import Timeliness
from tests.http.doors import Door, behind

MOST_SECONDS = 30.0


@dataclass
class Handlers:
    """What answers, and what was left of the time when it began."""

    left: list[float | None] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def at_once(self, _request: web.Request) -> web.Response:
        self.left.append(deadlines.left())
        return web.Response(text="here")

    async def never(self, _request: web.Request) -> web.Response:
        self.left.append(deadlines.left())
        await self.stop.wait()
        return web.Response(text="late")

    async def slowly(self, request: web.Request) -> web.StreamResponse:
        """Begins in time and takes longer than that."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        self.left.append(deadlines.left())
        await self.stop.wait()
        await response.write(b" and ended")
        return response


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture(params=[True, False], ids=["trusted", "a stranger"])
def trusts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def door(handlers: Handlers, trusts: bool) -> AsyncIterator[Door]:
    routes = [
        web.get("/at-once", handlers.at_once),
        web.post("/at-once", handlers.at_once),
        web.get("/never", handlers.never),
        web.get("/slowly", handlers.slowly),
    ]
    async with behind(routes, timeliness=Timeliness(lambda _peer: trusts, MOST_SECONDS)) as opened:
        yield opened


async def get(door: Door, path: str, seconds: str, method: str = "GET") -> tuple[int, bytes]:
    async with door.http.request(method, door.url + path, headers={"Pastebin-Timeout": seconds}) as response:
        if response.status == 503:
            assert "Retry-After" in response.headers
            assert (await response.json())["type"] == "/problems/deadline-passed"
        return response.status, await response.read()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_late_is_not_begun(door: Door, handlers: Handlers, trusts: bool, method: str) -> None:
    assert (await get(door, "/at-once", "0.000", method))[0] == (503 if trusts else 200)
    assert handlers.left == ([] if trusts else [None])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_handlers_know_how_long_they_have(door: Door, handlers: Handlers, trusts: bool, method: str) -> None:
    for told in ("20.0", "3600", "soon"):
        assert await get(door, "/at-once", told, method) == (200, b"here")
    async with door.http.request(method, f"{door.url}/at-once") as response:
        assert response.status == 200
    if not trusts:
        assert handlers.left == [None] * 4
        return
    twenty, most, unread, untold = handlers.left
    assert twenty is not None
    assert most is not None
    assert 10 < twenty < 20 < most < MOST_SECONDS
    assert unread is untold is None


@pytest.mark.parametrize("trusts", [True], indirect=True)
async def test_an_answer_that_does_not_come_is_a_refusal(door: Door) -> None:
    assert (await get(door, "/never", "0.2"))[0] == 503


@pytest.mark.parametrize("trusts", [True], indirect=True)
async def test_an_answer_that_has_begun_takes_its_time(door: Door, handlers: Handlers) -> None:
    async with door.http.get(f"{door.url}/slowly", headers={"Pastebin-Timeout": "1.0"}) as response:
        assert await response.content.readexactly(5) == b"begun"
        await asyncio.sleep(1.2)  # the deadline has to pass
        handlers.stop.set()
        assert await response.read() == b" and ended"
    assert handlers.left == [None]
