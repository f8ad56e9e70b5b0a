"""A provider's API as far as a test plays it: remembers every request, answers what it is told to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy

from pastebin.cdn.targets import Batch, Equipment
from pastebin.loops import Loops
from pastebin.positions import Position
from pastebin.sections import Secret, TargetKind, TargetSection

TOKEN = "the-token-of-the-tests"
SECRET = b"a secret of thirty-two characters, or more"
POSITION = Position(system_id=7, timeline=1, lsn=4711)


@dataclass(frozen=True)
class Asked:
    """One request, as it came over the wire."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Reply:
    """One answer; with `silent` the head never comes, with `endless` the body never ends.

    `head` and `rest` are waited for before the head and before the second half of the body.
    """

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    endless: bool = False
    head: asyncio.Event | None = None
    rest: asyncio.Event | None = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


class Provider:
    """Listens on a port of its own; `replies` are given in turn, then `usual`."""

    def __init__(self, usual: Reply) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.replies: deque[Reply] = deque()
        self.usual = usual
        self._heard = asyncio.Condition()
        self._runner: web.ServerRunner | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls, usual: Reply | None = None) -> AsyncIterator[Provider]:
        provider = cls(usual or Reply())
        runner = provider._runner = web.ServerRunner(web.Server(provider._answer), shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            provider.url = f"http://{host}:{port}"
            yield provider
        finally:
            await runner.cleanup()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def close(self) -> None:
        """From now on connections are refused."""
        if self._runner:
            await self._runner.cleanup()

    def reset(self, usual: Reply) -> None:
        """As if nothing had been asked yet."""
        self.asked.clear()
        self.replies.clear()
        self.usual = usual

    async def heard(self, count: int) -> None:
        """Wait until there have been so many requests."""
        async with asyncio.timeout(60), self._heard:
            await self._heard.wait_for(lambda: len(self.asked) >= count)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(Asked(request.method, request.raw_path, request.headers, await request.read()))
        async with self._heard:
            self._heard.notify_all()
        reply = self.replies.popleft() if self.replies else self.usual
        if reply.silent:
            await asyncio.Event().wait()
        if reply.head:
            await reply.head.wait()
        if not reply.endless and not reply.rest:
            return web.Response(status=reply.status, body=reply.content, headers=reply.headers)
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        await response.prepare(request)
        while reply.endless:
            await response.write(b"x" * 65536)
        await response.write(reply.content[: len(reply.content) // 2])
        if reply.rest:
            await reply.rest.wait()
        await response.write(reply.content[len(reply.content) // 2 :])
        return response


@asynccontextmanager
async def talking(said: bytes) -> AsyncIterator[str]:
    """The address of something that answers every connection with these bytes and closes it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"


@pytest.fixture
async def equipment() -> AsyncIterator[Equipment]:
    """What a node would give to its targets."""
    async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        yield Equipment(client, Loops(tasks), 60.0, "tests", "https://p.example", SECRET)


def section(kind: TargetKind, url: str, **options: Any) -> TargetSection:
    given = {"name": "somewhere", "id": "some-id", "token": Secret(TOKEN), **options}
    return TargetSection(kind=kind, url=url, **given)


def batch(*keys: str, **options: Any) -> Batch:
    return Batch(epoch="e", previous=1, sequence=9, keys=keys, position=POSITION, **options)
