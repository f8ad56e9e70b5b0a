"""Creates on the short road behind an edge: in line with its hits, and seen by its cache."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest
import pytest_asyncio

from pastebin.cdn.grammar import Said, place
from pastebin.cdn.prepared import Prepared
from pastebin.cdn.shortcut import EdgeConnection, Shortcut
from pastebin.http.protocol import Connection
from tests.http.doors import behind
from tests.http.rooms import GET, Rooms, post, said
from tests.nodes import Node, directory, started

HIT = b"GET /hit HTTP/1.1\r\nHost: x\r\n\r\n"


def answer(_method: bytes, address: bytes, _said: Said, _now: float) -> bytes | None:
    if place(address)[1] != "/hit":
        return None
    return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhit."


CONNECTION = partial(EdgeConnection, shortcut=Shortcut(cast(Prepared, SimpleNamespace(answer=answer))))


async def test_one_connection_takes_the_road_that_each_request_needs() -> None:
    sent = [HIT, post(b"ab"), HIT, GET, post(b"abc"), HIT, post(b"x" * 100_000), HIT, post(b"a"), post(b"a"), HIT]
    heard = ["hit.", "short 2.", "hit.", "full 0.", "short 3.", "hit.", "full 100000.", "hit."]
    heard += ["short 1.", "short 1.", "hit."]
    async with (
        behind(Rooms().routes(), connection=CONNECTION) as door,
        door.connected(b"") as (reader, writer),
        asyncio.timeout(60),
    ):
        await asyncio.sleep(0)
        for data, expected in zip(sent, heard, strict=True):
            writer.write(data)
            assert await said(reader) == expected


async def test_a_hit_waits_for_the_create_before_it() -> None:
    rooms = Rooms()
    rooms.go.clear()
    async with (
        behind(rooms.routes(), connection=CONNECTION) as door,
        door.connected(HIT + post(b"ab")) as (reader, writer),
    ):
        await rooms.entered.wait()
        for piece in (HIT, HIT[:9], HIT[9:] + post(b"abc")):
            writer.write(piece)
            await asyncio.sleep(0.01)
        assert await said(reader) == "hit."
        rooms.go.set()
        assert [await said(reader) for _ in range(4)] == ["short 2.", "hit.", "hit.", "short 3."]
        writer.write(HIT)
        assert await said(reader) == "hit."


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def node(session_database_dsn: str) -> AsyncIterator[Node]:
    """What it finds in a look for room holds for as long as the tests may take."""
    roles = ["web", "read", "write", "cdn-worker", "edge"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pastebin.store.directory._ROOM_SECONDS", 600.0)
        async with directory() as path, started(session_database_dsn, path, node__roles=roles) as running:
            yield running


async def get(node: Node, path: str) -> tuple[int, str]:
    async with node.http.get(node.url + path) as response:
        await response.read()
        return response.status, response.headers["Cache-Status"]


async def until_hit(node: Node, path: str) -> None:
    async with asyncio.timeout(60):
        while not (await get(node, path))[1].startswith("pastebin; hit"):
            pass


async def create(node: Node, path: str, body: bytes, *headers: str) -> bytes:
    """The head of the answer to a create on a connection of its own."""
    host, port = node.running.doors["origin"]
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(post(body, path, *headers).replace(b"Host: x", f"Host: {host}:{port}".encode()))
        async with asyncio.timeout(60):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


@pytest.fixture
def on_short_road(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Grows with every answer of the short road."""
    seen: list[bool] = []
    finish = Connection._finish_short

    def noted(self: Connection, answer: bytes, stays: bool) -> None:
        seen.append(stays)
        finish(self, answer, stays)

    monkeypatch.setattr(Connection, "_finish_short", noted)
    return seen


async def test_what_is_stored_of_the_address_ends(node: Node, on_short_road: list[bool]) -> None:
    """RFC 9111, section 4.4."""
    await until_hit(node, "/")
    await create(node, "/api/v1/pastes", b"hello\n")  # the road is open after a look for room
    on_short_road.clear()
    assert b"\r\nCache-Status: pastebin; fwd=method\r\n" in await create(node, "/", b"hello\n")
    assert (await get(node, "/"))[1].startswith("pastebin; fwd=uri-miss")
    assert on_short_road == [True]


async def test_a_create_that_failed_changes_nothing(node: Node, on_short_road: list[bool]) -> None:
    await until_hit(node, "/")
    assert b"\r\nCache-Status: pastebin; fwd=method\r\n" in await create(node, "/", b"")
    assert (await get(node, "/"))[1].startswith("pastebin; hit")
    assert on_short_road == []


async def test_who_chose_a_name_is_answered_when_nobody_denies_it_any_more(
    node: Node, on_short_road: list[bool]
) -> None:
    await until_hit(node, "/raw/chosen-name")
    body = json.dumps({"content": "hello\n", "slug": "chosen-name"}).encode()
    head = await create(node, "/api/v1/pastes", body, "Content-Type: application/json")
    assert head.startswith(b"HTTP/1.1 201 ")
    assert (await get(node, "/raw/chosen-name"))[0] == 200
    assert on_short_road == []
