"""The short cut on its connection: never out of turn, never past what the client reads, within the deadlines."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pastebin.cdn.prepared import Head
from pastebin.http import protocol
from tests.cdn.caches import opened
from tests.cdn.shortcuts import Client, Shortcut, before, head

LARGE = bytes(range(256)) * 800


@pytest.fixture
async def shortcut(tmp_path: Path) -> AsyncIterator[Shortcut]:
    async with opened(tmp_path / "edge", memory_object_bytes=1024**2) as shelf, before(shelf) as served:
        await served.kept("/kept")
        await served.kept("/large", LARGE)
        yield served


async def bodies(client: Client, *methods: str) -> list[bytes]:
    return [body for _, _, body in await client.answers(list(methods))]


async def test_what_is_stored_is_answered_before_the_application(shortcut: Shortcut) -> None:
    client, served = await shortcut.connected()
    for _ in range(3):
        served.data_received(head("/kept"))
        assert await bodies(client, "GET") == [b"kept"]
    served.data_received(head("/kept", method="HEAD") + head("/large"))
    assert await bodies(client, "HEAD", "GET") == [b"", LARGE]
    assert (shortcut.given, shortcut.asked) == (5, [])
    assert shortcut.prepared.figures() == {"whole": 4, "head": 1, "not-modified": 0}


async def test_ids_of_answers_differ(shortcut: Shortcut) -> None:
    client, served = await shortcut.connected()
    served.data_received(head("/kept") * 600)
    answers = await client.answers(["GET"] * 600)
    assert len({fields[b"X-Request-Id"] for _, fields, _ in answers}) == 600
    assert all(len(fields[b"X-Request-Id"]) == 16 for _, fields, _ in answers)


async def test_everything_else_takes_the_full_road(shortcut: Shortcut) -> None:
    client, served = await shortcut.connected()
    for line in ("Range: bytes=0-1", "Cookie: a=b", "Cache-Control: no-cache", "X-Request-Id: 12345678", "A: b"):
        served.data_received(head("/kept", line))
        assert await bodies(client, "GET") == [b"GET /kept 0"]
    served.data_received(head("/other"))
    assert await bodies(client, "GET") == [b"GET /other 0"]
    assert shortcut.given == 0


async def test_a_change_is_seen_at_once(shortcut: Shortcut) -> None:
    client, served = await shortcut.connected()
    served.data_received(head("/kept"))
    await shortcut.kept("/kept", b"newer", tags=["p-a"])
    served.data_received(head("/kept"))
    shortcut.shelf.purge("p-a")
    served.data_received(head("/kept"))
    assert await bodies(client, "GET", "GET", "GET") == [b"kept", b"newer", b"GET /kept 0"]
    await shortcut.kept("/kept", b"again", tags=["p-a"])
    served.data_received(head("/kept"))
    shortcut.shelf.purge("p-a", soft=True)
    served.data_received(head("/kept"))
    assert await bodies(client, "GET", "GET") == [b"again", b"GET /kept 0"]
    await shortcut.kept("/kept", b"last")
    served.data_received(head("/kept"))
    shortcut.shelf.cache.flush()
    served.data_received(head("/kept"))
    assert await bodies(client, "GET", "GET") == [b"last", b"GET /kept 0"]


async def test_without_the_lease_nothing_is_served(shortcut: Shortcut) -> None:
    client, served = await shortcut.connected()
    shortcut.lease.until = asyncio.get_running_loop().time() - 1.0
    for _ in range(3):
        served.data_received(head("/kept"))
        assert await bodies(client, "GET") == [b"GET /kept 0"]
    shortcut.lease.until = asyncio.get_running_loop().time() + 60.0
    served.data_received(head("/kept"))
    assert await bodies(client, "GET") == [b"kept"]


async def test_a_node_that_drains_closes_its_connections_on_the_full_road(shortcut: Shortcut) -> None:
    client, served = await shortcut.connected()
    shortcut.prepared.is_draining = lambda: True
    for _ in range(3):
        served.data_received(head("/kept"))
        assert await bodies(client, "GET") == [b"GET /kept 0"]


async def test_visits_are_told(shortcut: Shortcut) -> None:
    visits: list[tuple[bytes, int]] = []

    def note(asked: Head, status: int, _wire: asyncio.Transport) -> None:
        visits.append((asked[0], status))

    shortcut.prepared.on_visit = note
    client, served = await shortcut.connected()
    served.data_received(head("/kept", "User-Agent: x") + head("/kept", method="HEAD") + head("/large"))
    await client.answers(["GET", "HEAD", "GET"])
    assert visits == [(head("/kept", "User-Agent: x"), 200), (head("/large"), 200)]


# Requests as the parts in which they may arrive, and their answers. A trap looks like a request where it is none.
_TRAP = head("/kept")
_REQUESTS = st.sampled_from(
    [
        ("GET", [head("/kept")], b"kept|GET /kept 0"),
        ("GET", [head("/kept", "User-Agent: x", "Accept: */*")], b"kept|GET /kept 0"),
        ("GET", [b"GET /ke", b"pt HTTP/1.1\r\n", b"Host: p.example\r\n\r", b"\n"], b"kept|GET /kept 0"),
        ("HEAD", [head("/kept", method="HEAD")], b""),
        ("GET", [head("/other")], b"GET /other 0"),
        ("GET", [head("/kept", "Cookie: a=b")], b"GET /kept 0"),
        ("GET", [b"GET /other HTTP/1.1\r\nX: ", _TRAP], b"GET /other 0"),
        ("POST", [head("/p", f"Content-Length: {len(_TRAP)}", method="POST"), _TRAP], b"POST /p 39"),
        ("POST", [head("/unread", f"Content-Length: {len(_TRAP)}", method="POST"), _TRAP], b"POST /unread"),
        (
            "POST",
            [head("/p", "Transfer-Encoding: chunked", method="POST"), b"27\r\n", _TRAP, b"\r\n0\r\n", b"\r\n"],
            b"POST /p 39",
        ),
        ("POST", [head("/p", "Content-Length: 8", method="POST"), b"\r\n\r\n", b"\r\n\r\n"], b"POST /p 8"),
    ]
)
_ARRIVALS = ["with the next", "before", "long before"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_REQUESTS, max_size=8), st.data())
async def test_answers_come_in_order_however_the_bytes_arrive(
    shortcut: Shortcut, requests: list[tuple[str, list[bytes], bytes]], data: st.DataObject
) -> None:
    parts = [part for _, parts, _ in requests for part in parts]
    arrivals = data.draw(st.lists(st.sampled_from(_ARRIVALS), min_size=len(parts), max_size=len(parts)))
    client, served = await shortcut.connected()
    held = b""
    for part, arrival in zip(parts, arrivals, strict=True):
        held += part
        if arrival != "with the next":
            served.data_received(held)
            held = b""
        if arrival == "long before":
            for _ in range(10):
                await asyncio.sleep(0)
    if held:
        served.data_received(held)
    answers = await bodies(client, *(method for method, _, _ in requests))
    expected = [answer for _, _, answer in requests]
    assert all(re.fullmatch(*pair) for pair in zip(expected, answers, strict=True)), answers
    assert client.received == b""
    client.transport.close()


async def test_a_head_in_two_pieces_does_not_end_the_short_cut(shortcut: Shortcut) -> None:
    client, served = await shortcut.connected()
    served.data_received(head("/kept")[:10])
    served.data_received(head("/kept")[10:])
    assert await bodies(client, "GET") == [b"GET /kept 0"]
    served.data_received(head("/kept"))
    assert await bodies(client, "GET") == [b"kept"]


async def test_more_heads_than_aiohttp_takes_at_once_keep_their_order(shortcut: Shortcut) -> None:
    client, served = await shortcut.connected()
    served.data_received(head("/other") * 70)
    served.data_received(head("/kept"))
    assert await bodies(client, *["GET"] * 71) == [*[b"GET /other 0"] * 70, b"GET /kept 0"]
    served.data_received(head("/kept"))
    assert await bodies(client, "GET") == [b"GET /kept 0"], (
        "aiohttp had to hold some back, and does not say that it is done"
    )
    served.data_received(head("/kept"))
    assert await bodies(client, "GET") == [b"kept"]


async def test_who_does_not_read_is_not_written_for(shortcut: Shortcut) -> None:
    client, served = await shortcut.connected()
    client.transport.pause_reading()
    for _ in range(1000):
        served.data_received(head("/large"))
    given = shortcut.given
    assert given * len(LARGE) < 1024**2, "a thousand answers would be 200 MB"
    client.transport.resume_reading()
    assert (await bodies(client, *["GET"] * given)) == [LARGE] * given
    rest = await bodies(client, *["GET"] * (1000 - given))
    assert len(rest) == 1000 - given


async def test_who_never_reads_is_cut_off(tmp_path: Path) -> None:
    async with (
        opened(tmp_path / "edge", memory_object_bytes=1024**2) as shelf,
        before(shelf, write_seconds=0.1) as some,
    ):
        await some.kept("/large", LARGE)
        client, served = await some.connected()
        client.transport.pause_reading()
        served.data_received(head("/large"))
        async with asyncio.timeout(10):
            await client.is_lost.wait()


async def test_who_asks_for_nothing_more_is_closed(tmp_path: Path) -> None:
    async with opened(tmp_path / "edge") as shelf, before(shelf, idle_seconds=0.3) as some:
        await some.kept("/kept")
        client, served = await some.connected()
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 0.6:
            served.data_received(head("/kept"))
            await asyncio.sleep(0.01)
        assert not client.is_lost.is_set()
        async with asyncio.timeout(10):
            await client.is_lost.wait()
        assert some.asked == []


async def test_the_deadline_for_heads_holds_between_hits(shortcut: Shortcut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    client, served = await shortcut.connected()
    served.data_received(head("/kept"))
    await asyncio.sleep(0.2)
    served.data_received(head("/kept"))
    assert await bodies(client, "GET", "GET") == [b"kept", b"kept"]
    served.data_received(head("/kept")[:10])
    [(status, fields, _)] = await client.answers(["GET"])
    assert (status, fields[b"Connection"]) == (408, b"close")
