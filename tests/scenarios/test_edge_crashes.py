"""An edge that is killed while it stores, and whose disk is harmed or full: no answer is wrong, and none is cut."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.nodes import SECRET, directory
from tests.scenarios.processes import NodeProcess

pytestmark = pytest.mark.scenario

_COUNT = 12
_PIECE = 65_536
_BODIES = [random.Random(number).randbytes(1_500_000) for number in range(_COUNT)]  # noqa: S311  (no secret)


@dataclass
class Source:
    """An origin that sends large bodies in pieces, and counts them. Those under `/chunked` do not say their size."""

    url: str = ""
    pieces: int = 0
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def when_sent(self, pieces: int) -> None:
        """Return when it has sent so many pieces since it began."""
        async with asyncio.timeout(90), self.moved:
            await self.moved.wait_for(lambda: self.pieces >= pieces)

    async def send(self, request: web.Request) -> web.StreamResponse:
        body = _BODIES[int(request.match_info["number"])]
        response = web.StreamResponse(headers={"Cache-Control": "max-age=3600"})
        if not request.path.startswith("/chunked"):
            response.content_length = len(body)
        try:
            await response.prepare(request)
            for start in range(0, len(body), _PIECE):
                await response.write(body[start : start + _PIECE])
                async with self.moved:
                    self.pieces += 1
                    self.moved.notify_all()
                await asyncio.sleep(0)  # the others' turn
        except ConnectionResetError:
            pass  # killed
        return response


async def _plain(request: web.Request) -> web.Response:
    return web.Response()


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    source = Source()
    application = web.Application()
    application.router.add_get("/api/v1/limits", _plain)
    application.router.add_get(r"/{kind}/{number:\d+}", source.send)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        source.url = f"http://{host}:{port}"
        yield source
    finally:
        await runner.cleanup()


class EdgeProcess(NodeProcess):
    """A node that is an edge and nothing else."""

    def __init__(self, path: Path, origin: str, **options: int) -> None:
        self.objects = path / "edge" / "objects"
        lines = {"memory_object_bytes": 65_536, "min_free_bytes": 0, **options}
        text = [
            f'node.secret = "{SECRET}"',
            "[edge]",
            f'origin = "{origin}"',
            f'disk = "{path / "edge"}"',
            "lease_seconds = 0",
            *(f"{name} = {value}" for name, value in lines.items()),
        ]
        config = path / "edge.toml"
        config.write_text("\n".join(text), encoding="utf-8")
        config.chmod(0o600)
        super().__init__(path / "data", "--role=edge", f"--config={config}")

    def files(self) -> list[Path]:
        return sorted(self.objects.iterdir()) if self.objects.exists() else []


@asynccontextmanager
async def edge(source: Source, **options: int) -> AsyncIterator[EdgeProcess]:
    async with directory() as path:
        process = EdgeProcess(path, source.url, **options)
        await process.start()
        try:
            yield process
        finally:
            await process.stop()


@asynccontextmanager
async def crowd() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=180)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        yield http


async def _read(http: aiohttp.ClientSession, process: EdgeProcess, kind: str, number: int) -> bool:
    """Whether the whole body came; nothing else than its beginning may come."""
    got = bytearray()
    is_whole = True
    try:
        async with http.get(f"{process.url}/{kind}/{number}") as response:
            assert response.status == 200
            async for piece in response.content.iter_any():
                got += piece
    except aiohttp.ClientError:
        is_whole = False
    assert _BODIES[number].startswith(got), f"wrong bytes in {kind}/{number}"
    return is_whole and len(got) == len(_BODIES[number])


async def _read_all(http: aiohttp.ClientSession, process: EdgeProcess, kind: str, readers: int = 3) -> list[bool]:
    return await asyncio.gather(
        *(_read(http, process, kind, number) for number in range(_COUNT) for _ in range(readers))
    )


@pytest.mark.parametrize("kind", ["sized", "chunked"])
async def test_killed_while_it_stores(source: Source, kind: str) -> None:
    """What an earlier life left takes room: what comes is kept or not, but nobody's answer is cut for that."""
    async with edge(source, disk_bytes=24_000_000) as process, crowd() as http:
        for life in range(3):
            reading = asyncio.ensure_future(_read_all(http, process, kind))
            # some have gone through from the second time on, the rest is under way
            if life == 0:
                await source.when_sent(_COUNT * 16)
            else:
                await asyncio.sleep(0.02 * life)  # a kill has no right moment
            await process.kill()
            await reading
            await process.start()
        for _ in range(2):
            assert all(await _read_all(http, process, kind))


async def test_files_that_are_harmed_between_two_lives(source: Source) -> None:
    chance = random.Random(4)  # noqa: S311
    async with edge(source, disk_bytes=1_000_000_000) as process, crowd() as http:
        for life in range(4):
            assert all(await _read_all(http, process, "sized", 1))
            assert all(await _read_all(http, process, "sized", 1))
            await (process.kill() if life % 2 else process.stop())
            kept = [path for path in process.files() if path.suffix == ".object"]
            assert len(kept) > _COUNT // 2
            for path in kept[::2]:
                _harm(path, chance)
            await process.start()
            # a byte that was flipped in the middle cuts an answer that has begun; the next one is from the origin
            asked = await _read_all(http, process, "sized", 1)
            assert asked.count(False) <= len(kept[::2])


def _harm(path: Path, chance: random.Random) -> None:
    size = path.stat().st_size
    place = chance.randrange(size)
    if chance.random() < 0.3:
        os.truncate(path, place)
        return
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))


async def test_a_disk_that_is_full(source: Source) -> None:
    """It finds out while many wait for what it has begun to store; they get all of it."""
    async with edge(source, min_free_bytes=2**60) as process, crowd() as http:
        for kind in ("chunked", "sized"):
            assert all(await _read_all(http, process, kind))
        assert process.files() == []
