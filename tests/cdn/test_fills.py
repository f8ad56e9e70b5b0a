"""Bodies that turn out, half-way, to be too much for the cache: whoever reads one already gets all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from pastebin.cdn.hot import CHUNK_BYTES
from tests.cdn.caches import opened
from tests.cdn.clauses import Client
from tests.cdn.edges import edge_before
from tests.cdn.origins import Origin, answer, chunked, raw, scripted

FRESH = {"Cache-Control": "max-age=600", "ETag": '"a"'}
LARGE = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[Origin]:
    async with scripted() as served:
        yield served


async def read(client: Client, target: str, **headers: str) -> bytes:
    async with client.http.get(f"{client.url}{target}", headers=headers) as response:
        return await response.content.read()


async def test_everybody_gets_what_cannot_be_kept_after_all(origin: Origin) -> None:
    """Its size was not known; those who came in time share one fetch."""
    go = asyncio.Event()
    origin.script("/outgrown", chunked(FRESH, b"0123456789", go, *[LARGE] * 20))
    async with edge_before(origin.url, edge__disk_bytes=0) as client:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(read(client, "/outgrown")) for _ in range(8)]
            async with client.http.get(f"{client.url}/outgrown") as response:
                assert await response.content.readexactly(10) == b"0123456789"
                for _ in range(3):
                    await client.ask("/others")
                go.set()
                assert await response.content.read() == LARGE * 20
        assert {task.result() == b"0123456789" + LARGE * 20 for task in asking} == {True}
    assert len(origin.asked("/outgrown")) == 1


async def test_parts_of_what_cannot_be_kept(origin: Origin) -> None:
    """Also those that begin beyond what was kept, and those that end before."""
    go = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: %d\r\n\r\n" % (2 * len(LARGE))
    origin.script("/parts", raw(head + LARGE[:100_000], go, LARGE[100_000:] + LARGE, closes=False))
    async with edge_before(origin.url, edge__min_free_bytes=2**60, edge__memory_object_bytes=1000) as client:
        ranges = [(0, 99), (50_000, 1_999_999), (999_999, 1_100_000), (700_000, 700_000), (0, 2 * len(LARGE) - 1)]
        async with client.http.get(f"{client.url}/parts") as whole:
            assert await whole.content.readexactly(10) == LARGE[:10]
            async with asyncio.TaskGroup() as tasks:
                asking = [tasks.create_task(read(client, "/parts", Range=f"bytes={one}-{end}")) for one, end in ranges]
                for _ in range(3):
                    await client.ask("/others")
                go.set()
                assert await whole.content.read() == (LARGE + LARGE)[10:]
        assert [task.result() for task in asking] == [(LARGE + LARGE)[one : end + 1] for one, end in ranges]
    assert len(origin.asked("/parts")) == 1


async def test_who_is_too_slow_is_left_behind_at_last(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pastebin.cdn.fills._PATIENCE_SECONDS", 0.1)
    go = asyncio.Event()
    origin.script("/slow", chunked(FRESH, b"0123456789", go, *[LARGE] * 40))
    async with edge_before(origin.url, edge__disk_bytes=0) as client:
        reader, writer = await asyncio.open_connection(*client.url.removeprefix("http://").split(":"), limit=2**10)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"0123456789")).startswith(b"HTTP/1.1 200")
        async with client.http.get(f"{client.url}/slow", headers={"Host": "x"}) as response:
            go.set()
            assert await response.content.read() == b"0123456789" + LARGE * 40
        received = 0
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            while True:
                received += len(await reader.readexactly(65_536))
        assert received < 40 * len(LARGE)
        writer.close()
    assert len(origin.asked("/slow")) == 1


async def test_an_origin_that_fails_behind_what_was_kept_fails_everybody(origin: Origin) -> None:
    go = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"%x\r\n%b\r\n" % (len(LARGE), LARGE)
    origin.script("/broken", raw(head + b"a\r\n0123456789\r\n", go, *[piece] * 3))
    async with edge_before(origin.url, edge__disk_bytes=0) as client:
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(client.http.get(f"{client.url}/broken")) for _ in range(3)]
        go.set()
        for task in asking:
            with pytest.raises(aiohttp.ClientPayloadError):
                await task.result().read()


async def test_what_there_is_no_room_for_is_known_before_anybody_waits(origin: Origin) -> None:
    """Fills of known size that come at once: some are kept, and every answer is whole."""
    async with edge_before(origin.url, edge__disk_bytes=4 * len(LARGE), edge__memory_object_bytes=1000) as client:
        go = asyncio.Event()
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: %d\r\n\r\n" % len(LARGE)
        for number in range(8):
            origin.script(f"/{number}", raw(head + LARGE[:500_000], go, LARGE[500_000:], closes=False))
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(read(client, f"/{number}")) for number in range(8) for _ in range(3)]
            for number in range(8):
                await origin.when_asked(f"/{number}")
            for _ in range(3):
                await client.ask("/others")
            go.set()
        assert {task.result() == LARGE for task in asking} == {True}
        # that there was no room then says nothing about now
        origin.script("/7", answer(200, FRESH, LARGE))
        async with asyncio.timeout(25):  # less than it would be remembered for
            while "; hit" not in (await client.ask("/7")).headers["Cache-Status"]:
                pass  # what came before may still be on its way out
        times = len(origin.asked("/7"))
        await client.ask("/7")
        assert len(origin.asked("/7")) == times


async def test_a_file_that_goes_while_it_is_read_from_memory(tmp_path: Path) -> None:
    """Its beginning is read so often that it is in memory; the rest is still read when the file has gone."""
    body = LARGE[1:] + b"x"
    async with opened(tmp_path) as shelf:
        stored = await shelf.kept("k", body, tags=["p-1"])
        for _ in range(3):
            await shelf.body(stored, 0, 2 * CHUNK_BYTES)
        assert shelf.cache._tiers.hot.holds(stored.body, 0)  # type: ignore[arg-type]
        chunks = shelf.cache.read(stored)
        got = await anext(chunks)
        assert len(got) == CHUNK_BYTES
        shelf.purge("p-1")
        await shelf.settled()
        assert shelf.files() == []
        assert bytes(got) + b"".join([bytes(chunk) async for chunk in chunks]) == body
