"""Bodies partly from files: in order, as slowly as the client reads, and nothing left when it goes."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from pastebin.http import streaming
from pastebin.http.outlets import Piece
from tests.cluster import until
from tests.http.doors import Door, behind

CONTENT = random.Random(1).randbytes(9 * 1024**2)  # noqa: S311  (no secret)
GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Slice:
    """Bytes of the file."""

    descriptor: int
    start: int
    stop: int

    def __bytes__(self) -> bytes:
        return os.pread(self.descriptor, len(self), self.start)

    def __len__(self) -> int:
        return self.stop - self.start


class Ends(asyncio.Queue[str]):
    """How each answer ended, and the sockets on which they were sent."""

    def __init__(self) -> None:
        super().__init__()
        self._sockets: set[str] = set()

    def note(self, request: web.Request) -> None:
        assert request.transport is not None
        descriptor = request.transport.get_extra_info("socket").fileno()
        self._sockets.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def descriptors(self) -> int:
        """How many this process has of them; what others open and close meanwhile is theirs."""
        held = 0
        for link in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                held += str(link.readlink()) in self._sockets
        return held


@asynccontextmanager
async def opened(path: Path, idle_seconds: float = 20.0) -> AsyncIterator[tuple[Door, Ends]]:
    """A door with CONTENT from a file (and memory), and how each answer ended."""
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDONLY)
    ends = Ends()

    async def pieces(kinds: str) -> AsyncGenerator[Piece, None]:
        step = len(CONTENT) // len(kinds)
        for number, kind in enumerate(kinds):
            part = Slice(descriptor, number * step, (number + 1) * step)
            yield part if kind == "f" else bytes(part)

    async def show(request: web.Request) -> web.StreamResponse:
        ends.note(request)
        response = web.StreamResponse()
        kinds = request.match_info["kinds"]
        if "chunked" in request.query:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(CONTENT)
        try:
            return await streaming.send(request, response, pieces(kinds), idle_seconds)
        except BaseException as error:
            ends.put_nowait(type(error).__name__)
            raise

    async def short(_request: web.Request) -> web.Response:
        return web.Response(text="short")

    try:
        async with behind([web.get("/short", short), web.get("/{kinds}", show)]) as door:
            yield door, ends
    finally:
        os.close(descriptor)


async def heard(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
    return await reader.readexactly(size)


async def every_kind(path: Path) -> None:
    async with opened(path) as (door, ends), door.connected(b"") as (reader, writer), asyncio.timeout(120):
        writer.write(GET % b"short")
        assert await heard(reader) == b"short"
        for kinds in (b"f", b"fff", b"fbf", b"bfb", b"bbbfffbbb", b"fffbbbfff"):
            writer.write(GET % kinds + GET % b"short")
            assert await heard(reader) == CONTENT
            assert await heard(reader) == b"short"
            assert ends.descriptors() == 1


async def test_pieces_arrive_in_order_and_the_connection_stays(tmp_path: Path) -> None:
    await every_kind(tmp_path / "file")


def test_the_same_on_the_loop_of_a_node(tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(every_kind(tmp_path / "file"))


async def test_pieces_with_chunked_coding(tmp_path: Path) -> None:
    async with opened(tmp_path / "file") as (door, _), door.http.get(f"{door.url}/fbf?chunked") as response:
        assert "Content-Length" not in response.headers
        assert await response.read() == CONTENT


@pytest.mark.parametrize("kinds", [b"f", b"bbbf"])
async def test_who_goes_away_leaves_nothing(tmp_path: Path, kinds: bytes) -> None:
    async with opened(tmp_path / "file") as (door, ends):
        async with door.connected(GET % kinds) as (reader, writer), asyncio.timeout(60):
            await reader.readexactly(1000)
            assert ends.descriptors()
            writer.transport.abort()
            assert "Connection" in await ends.get()
        await until(lambda: not ends.descriptors())


async def test_who_does_not_read_is_cut_off(tmp_path: Path) -> None:
    async with opened(tmp_path / "file", 0.2) as (door, ends), door.connected(GET % b"f") as (reader, _):
        async with asyncio.timeout(60):
            assert await ends.get() == "ConnectionResetError"
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await heard(reader)


async def test_a_file_that_is_too_short_ends_the_connection(tmp_path: Path) -> None:
    async with opened(tmp_path / "file") as (door, ends):
        os.truncate(tmp_path / "file", 1024**2)
        async with door.connected(GET % b"f") as (reader, _), asyncio.timeout(60):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await heard(reader)
            assert "Connection" in await ends.get()
