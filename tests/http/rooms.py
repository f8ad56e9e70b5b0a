"""What stands at the end of both roads, and what is said to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from pastebin.http.short import Said, Short, Tell


class Rooms:
    """Handlers that say which road led to them."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.failure: Exception | None = None

    async def full(self, request: web.Request) -> web.Response:
        return web.Response(text=f"full {len(await request.content.read())}.")

    def short(self, request: Short, tell: Tell) -> Callable[[], None] | None:
        if request.body == b"decline":
            return None

        async def work() -> None:
            self.entered.set()
            await self.go.wait()
            body = f"short {len(request.body)}.".encode()
            tell(self.failure or Said(200, {"Content-Type": "text/plain; charset=utf-8"}, body))

        working = asyncio.get_running_loop().create_task(work())

        def stop() -> None:
            working.cancel()

        return stop

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self.full), web.post("/", self.full, short=self.short), web.post("/full", self.full)]


def post(body: bytes, path: str = "/", *headers: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def heard() -> None:
    """Let the server, which is in this loop, hear what has been sent.

    One pause would not do: while it lasts the loop may not turn at all, if the machine is busy.
    """
    for _ in range(20):
        await asyncio.sleep(0.001)


async def said(reader: asyncio.StreamReader) -> str:
    """The body of the next answer: which road, how many bytes."""
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
        return (await reader.readexactly(length)).decode()
