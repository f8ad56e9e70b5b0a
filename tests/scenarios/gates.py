"""A proxy before an origin that stops answers where it is told: before their head, behind it, or in mid-body."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Stop = Literal["before head", "after head", "mid-body"]

STOPS: tuple[Stop, ...] = ("before head", "after head", "mid-body")

_CHUNK_BYTES = 65536
_SECONDS = 60.0
_TARGET = re.compile(rb"(?:GET|HEAD) (\S+) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class Gate:
    """Forwards to an HTTP server. Answers to the targets in `stops` wait until they are let go."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.url = ""
        self.stops: dict[str, Stop] = {}
        self.asked: list[str] = []
        self._upstream = upstream
        self._held: list[tuple[str, asyncio.Event]] = []
        self._news = asyncio.Condition()
        self._connections: set[asyncio.Task[object]] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncIterator[Gate]:
        host, _, port = url.removeprefix("http://").rpartition(":")
        gate = cls((host, int(port)))
        server = await asyncio.start_server(gate._serve, "127.0.0.1", 0)
        gate.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield gate
        finally:
            server.close()
            for task in list(gate._connections):
                task.cancel()
            await asyncio.gather(*gate._connections, return_exceptions=True)

    async def when_held(self, target: str, times: int) -> None:
        """Return when so many answers to `target` wait here."""
        try:
            async with asyncio.timeout(_SECONDS), self._news:
                await self._news.wait_for(lambda: self._count(target) >= times)
        except TimeoutError:
            asked = self.asked.count(target)
            raise AssertionError(f"{self._count(target)} answers of {target} wait, asked {asked} times") from None

    def _count(self, target: str) -> int:
        return sum(held == target for held, _ in self._held)

    def let_go(self) -> None:
        """Everything that waits goes on; whoever comes is not stopped."""
        self.stops.clear()
        for _, event in self._held:
            event.set()
        self._held.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        upstream: asyncio.StreamWriter | None = None
        targets: asyncio.Queue[str] = asyncio.Queue()
        try:
            from_upstream, upstream = await asyncio.open_connection(*self._upstream)
            async with asyncio.TaskGroup() as tasks:
                back = tasks.create_task(self._answers(from_upstream, writer, targets))
                await self._questions(reader, upstream, targets)
                back.cancel()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()

    async def _questions(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, targets: asyncio.Queue[str]
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            for found in _TARGET.finditer(data):
                self.asked.append(found[1].decode())
                targets.put_nowait(self.asked[-1])
            upstream.write(data)
            await upstream.drain()

    async def _answers(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, targets: asyncio.Queue[str]
    ) -> None:
        """One request at a time is on a connection, so what comes after a target is the answer to it."""
        seen = b""
        while data := await upstream.read(_CHUNK_BYTES):
            if not targets.empty():
                target = targets.get_nowait()
                if stop := self.stops.get(target):
                    seen = await self._until(upstream, data, stop)
                    cut = _cut(seen, stop)
                    writer.write(seen[:cut])
                    await self._hold(target)
                    data = seen[cut:]
            writer.write(data)
            await writer.drain()

    async def _until(self, upstream: asyncio.StreamReader, data: bytes, stop: Stop) -> bytes:
        """Read on until the answer has come as far as it is to go, and a little further."""
        while b"\r\n\r\n" not in data:
            data += await upstream.read(_CHUNK_BYTES)
        length = _LENGTH.search(data)
        size = int(length[1]) if length else 0
        body_at = data.index(b"\r\n\r\n") + 4
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):  # an answer to HEAD, or a 304, may name the size of what does not come
                while stop != "before head" and len(data) < body_at + size // 2 + 1 and size:
                    data += await upstream.read(_CHUNK_BYTES)
        return data

    async def _hold(self, target: str) -> None:
        event = asyncio.Event()
        async with self._news:
            self._held.append((target, event))
            self._news.notify_all()
        await event.wait()


def _cut(data: bytes, stop: Stop) -> int:
    """How much goes out at once. An answer without a body waits before its head."""
    body_at = data.index(b"\r\n\r\n") + 4
    if stop == "before head" or len(data) == body_at:
        return 0
    return body_at if stop == "after head" else body_at + (len(data) - body_at) // 2
