"""Live pastes: written by one request, followed by many, an ordinary paste at their end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from tests.nodes import Node, directory, started
from tests.origin.answers import HTML, ask

EVENTS = {"Accept": "text/event-stream"}


class Writer:
    """A live paste, and what its writer has been answered."""

    def __init__(self, response: aiohttp.ClientResponse, waiting: asyncio.Queue[bytes | None]) -> None:
        self.response = response
        self.token = response.headers["Pastebin-Token"]
        self.slug = response.headers["Location"].rsplit("/", 1)[-1]
        self._waiting = waiting

    async def write(self, text: str | bytes) -> None:
        await self._waiting.put(text.encode() if isinstance(text, str) else text)

    async def end(self) -> bytes:
        """The rest of the answer."""
        await self._waiting.put(None)
        return await self.response.content.read()


@asynccontextmanager
async def writing(node: Node, path: str = "/live", **options: Any) -> AsyncIterator[Writer]:
    waiting: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def body() -> AsyncIterator[bytes]:
        yield b""  # the head of the request does not wait for more
        while (chunk := await waiting.get()) is not None:
            yield chunk

    async with node.http.put(node.url + path, data=body(), **options) as response:
        assert response.status == 201, await response.text()
        writer = Writer(response, waiting)
        line = await response.content.readline()
        assert line.strip().decode() == response.headers["Location"] or "json" in response.content_type
        try:
            yield writer
        finally:
            await waiting.put(None)


async def read_until(response: aiohttp.ClientResponse, end: bytes) -> bytes:
    got = b""
    async with asyncio.timeout(60):
        while end not in got:
            assert not response.content.at_eof(), got
            got += await response.content.readany()
    return got


async def is_written(node: Node, slug: str) -> bool:
    """Whether anything is still kept of how it was written."""
    kept = "select from lives full join live_pieces using (paste_id) join pastes on id = paste_id where slug = $1"
    return await node.sql(kept, slug) != []


async def test_what_is_written_is_read_at_once_and_becomes_an_ordinary_paste(node: Node) -> None:
    async with writing(node, params={"title": "a build", "name": "build.log"}) as writer:
        async with node.http.get(f"{node.url}/{writer.slug}/tail") as tail:
            assert tail.status == 200
            await writer.write("one\n")
            assert await read_until(tail, b"one\n") == b"one\n"
            await writer.write("two\n")
            assert await read_until(tail, b"two\n") == b"two\n"
            raw = await ask(node, f"/{writer.slug}/raw")
            assert (raw.body, raw.is_secret) == (b"one\ntwo\n", True)
            assert (await ask(node, f"/{writer.slug}")).body == b"one\ntwo\n"
            assert await writer.end() == b""
            assert await tail.content.read() == b""
    ended = await ask(node, f"/{writer.slug}/raw")
    assert ended.body == b"one\ntwo\n"
    assert ended.shared
    shown = json.loads((await ask(node, f"/api/v1/pastes/{writer.slug}")).body)
    assert (shown["title"], shown["size"], shown["revision"]) == ("a build", 8, 1)
    assert shown["files"][0]["name"] == "build.log"
    assert not await is_written(node, writer.slug)


async def test_events_are_resumed_where_they_were_left(node: Node) -> None:
    async with writing(node) as writer:
        await writer.write("grün\n".encode()[:3])
        async with node.http.get(f"{node.url}/{writer.slug}/tail", headers=EVENTS) as tail:
            assert tail.headers["Content-Type"] == "text/event-stream"
            got = await read_until(tail, b'data: "gr"\n\n')
            assert b"id: 2\n" in got  # half a character is waited for
        await writer.write("grün\n".encode()[3:])
        async with node.http.get(f"{node.url}/{writer.slug}/tail", headers={**EVENTS, "Last-Event-ID": "2"}) as tail:
            assert 'id: 6\ndata: "ün\\n"'.encode() in await read_until(tail, b'\\n"\n\n')
            await writer.end()
            assert (await tail.content.read()).endswith(b"event: over\ndata: {}\n\n")
    answer = await ask(node, f"/{writer.slug}/tail", headers=EVENTS)
    assert answer.body.endswith('data: "grün\\n"\n\nevent: over\ndata: {}\n\n'.encode())


async def test_the_page_shows_the_end_and_says_where_it_goes_on(node: Node) -> None:
    async with writing(node) as writer:
        await writer.write("\x1b[31mred\x1b[0m <script>alert(1)</script>\n")
        async with node.http.get(f"{node.url}/{writer.slug}/tail") as tail:
            await read_until(tail, b"</script>\n")
        page = await ask(node, f"/{writer.slug}", headers=HTML)
        assert page.is_secret
        assert b"red &lt;script&gt;alert(1)&lt;/script&gt;" in page.body
        assert f'data-tail="/{writer.slug}/tail?from='.encode() in page.body
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        await writer.end()
    page = await ask(node, f"/{writer.slug}", headers=HTML)
    assert b"data-tail" not in page.body
    assert page.shared


async def test_a_writer_that_breaks_off_leaves_what_had_arrived(node: Node) -> None:
    async with writing(node) as writer:
        await writer.write("half a li")
        async with node.http.get(f"{node.url}/{writer.slug}/tail") as tail:
            await read_until(tail, b"li")
            writer.response.close()
            assert await tail.content.read() == b""
    assert (await ask(node, f"/{writer.slug}/raw")).shared


async def test_a_paste_that_is_deleted_meanwhile_is_gone_for_everybody(node: Node) -> None:
    async with writing(node) as writer:
        await writer.write("secret\n")
        async with node.http.get(f"{node.url}/{writer.slug}/tail") as tail:
            await read_until(tail, b"secret\n")
            assert await is_written(node, writer.slug)
            owner = {"Authorization": f"Bearer {writer.token}"}
            assert (await ask(node, f"/api/v1/pastes/{writer.slug}", "DELETE", headers=owner)).status == 204
            await writer.write("more\n")
            with pytest.raises(aiohttp.ClientPayloadError):
                await tail.content.read()
        said = b""
        with suppress(aiohttp.ClientPayloadError):
            async for chunk in writer.response.content.iter_any():
                said += chunk
        assert said == b"The paste is gone.\n"
    assert not await is_written(node, writer.slug)


async def test_what_does_not_fit_is_refused(node: Node) -> None:
    for query in ("max_reads=1", "password=x", "reject_secrets", "slug=a%20b", "title=" + "x" * 300, "nonsense=1"):
        answer = await ask(node, f"/live?{query}", "PUT", data=b"text")
        assert answer.status == 422, query
    async with writing(node, params={"slug": "my-build"}) as writer:
        assert writer.slug == "my-build"
        assert (await ask(node, "/live?slug=my-build", "PUT", data=b"text")).status == 409
        owner = {"Authorization": f"Bearer {writer.token}"}
        for change in ({"content": "other"}, {"burn": True}, {"password": "x"}, {"visibility": "private"}):
            path = f"/api/v1/pastes/{writer.slug}"
            assert (await ask(node, path, "PATCH", json=change, headers=owner)).status == 422
        assert (await ask(node, path, "PATCH", json={"title": "mine"}, headers=owner)).status == 200
        assert (await ask(node, f"/{writer.slug}/tail?from=x")).status == 422
        await writer.end()


async def test_a_private_paste_is_followed_by_its_owner_only(node: Node) -> None:
    async with writing(node, params={"visibility": "private"}) as writer:
        assert (await ask(node, f"/{writer.slug}/tail")).status == 404
        owner = {"Authorization": f"Bearer {writer.token}"}
        async with node.http.get(f"{node.url}/{writer.slug}/tail", headers=owner) as tail:
            await writer.write("mine\n")
            await read_until(tail, b"mine\n")
            await writer.end()
            assert await tail.content.read() == b""


async def test_the_writer_may_have_json_and_a_name_in_the_path(node: Node) -> None:
    async with writing(node, "/live/main.py", headers={"Accept": "application/json"}) as writer:
        await writer.write(b"print()\n")
        await writer.end()
    shown = json.loads((await ask(node, f"/api/v1/pastes/{writer.slug}")).body)
    assert (shown["files"][0]["name"], shown["files"][0]["syntax"]) == ("main.py", "python")


async def test_a_large_one_ends_in_the_blob_store(node: Node) -> None:
    block = bytes(range(256)) * 1024
    async with writing(node) as writer:
        for _ in range(8):
            await writer.write(block)
        await writer.end()
    assert (await ask(node, f"/{writer.slug}/raw")).body == block * 8
    rows = await node.sql(
        "select f.body, f.blob_key from files f join pastes p on p.id = paste_id where slug = $1", writer.slug
    )
    assert rows[0]["body"] is None
    assert rows[0]["blob_key"]


async def test_limits(database_dsn: str) -> None:
    limits = {"live__max_bytes": 1000, "live__lease_seconds": 1.0}
    async with directory() as path, started(database_dsn, path, **limits) as node:
        async with writing(node) as writer:
            await writer.write(b"x" * 1500)
            with pytest.raises(aiohttp.ClientPayloadError):
                await writer.response.content.read()
            raw = await ask(node, f"/{writer.slug}/raw")
            assert raw.body == b"x" * 1000
            assert raw.shared
    limits["live__idle_seconds"] = 3.0
    async with directory() as path, started(database_dsn, path, **limits) as node:
        async with writing(node) as writer:
            await writer.write(b"then nothing\n")
            with pytest.raises(aiohttp.ClientPayloadError):
                await writer.response.content.read()
            assert (await ask(node, f"/{writer.slug}/raw")).body == b"then nothing\n"


async def test_a_node_that_stops_ends_what_is_written_there(database_dsn: str) -> None:
    async with directory() as path, started(database_dsn, path) as node:
        async with writing(node) as writer, node.http.get(f"{node.url}/{writer.slug}/tail", headers=EVENTS) as tail:
            await writer.write("last words\n")
            await read_until(tail, b'words\\n"\n\n')
            node.stopping.ask()
            said = b""
            with suppress(aiohttp.ClientPayloadError):
                async for chunk in writer.response.content.iter_any():
                    said += chunk
            assert said == b"The server is about to stop.\n"
            with suppress(aiohttp.ClientPayloadError):
                await tail.content.read()
        rows = await node.sql("select f.body, p.is_growing from files f join pastes p on p.id = f.paste_id")
        assert [tuple(row) for row in rows] == [(b"last words\n", False)]


async def test_one_address_writes_so_many_at_a_time(database_dsn: str) -> None:
    async with directory() as path, started(database_dsn, path) as node, AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(writing(node)) for _ in range(64)]
        answer = await ask(node, "/live", "PUT", data=b"one more")
        assert (answer.status, "Retry-After" in answer.headers) == (429, True)
        for writer in writers:
            await writer.end()
        assert (await ask(node, "/live", "PUT", data=b"one more")).status == 201
