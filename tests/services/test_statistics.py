from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pastebin.errors import Unavailable
from pastebin.http.signing import Signer, Verifier
from pastebin.sections import VisitsSection
from pastebin.services import statistics
from pastebin.services.statistics import Answer, Statistics
from tests.ports import free_port

SECRET = b"s" * 32
SIGNER = Signer(SECRET)


@asynccontextmanager
async def serving(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], seconds: float = 5.0
) -> AsyncIterator[Statistics]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        section = VisitsSection(url=str(server.make_url("/")), request_timeout_seconds=seconds)
        async with Statistics.opened(section, SIGNER, lambda: None) as client:
            yield client


async def test_requests_to_another_node_are_signed() -> None:
    verifier = Verifier(SECRET)

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        refusal = verifier.refusal(request.method, request.raw_path, request.headers, body)
        return web.json_response({"refusal": refusal, "batch": request.headers.get("Pastebin-Batch")})

    async with serving(answer) as client:
        posted = await client.send("/internal/a?b=%20", b"\x00\x01", headers={"Pastebin-Batch": "x:1"})
        assert (posted.status, posted.body) == (200, b'{"refusal": null, "batch": "x:1"}')
        asked = await client.send("/internal/a", method="GET")
        assert asked.body == b'{"refusal": null, "batch": null}'


async def test_whoever_wants_to_be_left_alone_says_for_how_long() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503, headers={"Retry-After": "7"})

    async with serving(answer) as client:
        assert await client.send("/a") == Answer(503, b"", 7.0)


async def test_one_that_hangs_is_given_up() -> None:
    released = asyncio.Event()

    async def answer(_request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    async with serving(answer) as client:
        with pytest.raises(Unavailable, match="within 0.05 s"):
            await client.send("/a", b"x", seconds=0.05)
        released.set()


async def test_one_that_is_away_is_told_without_its_address() -> None:
    section = VisitsSection(url=f"http://127.0.0.1:{free_port()}")
    async with Statistics.opened(section, SIGNER, lambda: None) as client:
        with pytest.raises(Unavailable) as told:
            await client.send("/a", b"x")
    assert "127.0.0.1" not in str(told.value)


async def test_what_never_ends_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "ANSWER_BYTES", 1000)

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 1001)

    async with serving(answer) as client:
        with pytest.raises(Unavailable, match="more than"):
            await client.send("/a")


class Here:
    async def carry(self, method: str, path: str, body: bytes) -> Answer:
        return Answer(200, f"{method} {path} ".encode() + body)


async def test_the_service_of_this_process_is_asked_without_a_network() -> None:
    here: list[Here] = []
    async with Statistics.opened(VisitsSection(), SIGNER, lambda: here[0] if here else None) as client:
        with pytest.raises(Unavailable, match="no analytics service"):
            await client.send("/a")
        here.append(Here())
        assert await client.send("/a", b"x") == Answer(200, b"POST /a x")
