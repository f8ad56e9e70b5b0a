"""Answers that are streamed: what they are made of is closed when they end, however they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from pastebin.http import streaming
from tests.http.doors import behind


async def test_what_is_streamed_is_closed_before_the_request_ends() -> None:
    is_closed = False
    ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal is_closed
        try:
            while True:
                yield b"x" * 65536
        finally:
            is_closed = True

    async def endless(request: web.Request) -> web.StreamResponse:
        source = chunks()  # held here, so that nothing but an explicit end ends it
        try:
            return await streaming.send(request, web.StreamResponse(), source, 20.0)
        finally:
            ended.set_result(is_closed)

    async with behind([web.get("/", endless)]) as door:
        async with door.connected(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as (reader, writer):
            await reader.readexactly(65536)
            writer.transport.abort()
        async with asyncio.timeout(60):
            assert await ended
