"""The short cut on its connection: never out of turn, never past what the client reads, within the deadlines."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pastebin.cdn.prepared import Written
from pastebin.http import protocol
from tests.cdn.caches import opened
from tests.cdn.shortcuts import Client, Served, before, head

LARGE = bytes(range(256)) * 800


@pytest.fixture
async def some(tmp_path: Path) -> AsyncIterator[Served]:
    async with opened(tmp_path / "edge", memory_object_bytes=1024**2) as shelf, before(shelf) as some:
        await some.kept("/kept")
        await some.kept("/large", LARGE)
        yield some


async def bodies(client: Client, *methods: str) -> list[bytes]:
    return [body for _, _, body in await client.answers(list(methods))]


async def test_what_is_stored_is_answered_before_the_application(some: Served) -> None:
    client, served = await some.connected()
    for _ in range(3):
        served.data_received(head("/kept"))
        assert await bodies(client, "GET") == [b"kept"]
    served.data_received(head("/kept", method="HEAD") + head("/large"))
    assert await bodies(client, "HEAD", "GET") == [b"", LARGE]
    assert (some.given, some.asked) == (5, [])
    assert some.shortcut.prepared.figures() == {"whole": 4, "head": 1, "not-modified": 0}


async def test_ids_of_answers_differ(some: Served) -> None:
    client, served = await some.connected()
    served.data_received(head("/kept") * 600)
    answers = await client.answers(["GET"] * 600)
    assert len({fields[b"X-Request-Id"] for _, fields, _ in answers}) == 600
    assert all(len(fields[b"X-Request-Id"]) == 16 for _, fields, _ in answers)


async def test_everything_else_takes_the_full_road(some: Served) -> None:
    client, served = await some.connected()
    for line in ("Range: bytes=0-1", "Cookie: a=b", "Cache-Control: no-cache", "X-Request-Id: 12345678", "A: b"):
        served.data_received(head("/kept", line))
        assert await bodies(client, "GET") == [b"GET /kept 0"]
    served.data_received(head("/other"))
    assert await bodies(client, "GET") == [b"GET /other 0"]
    assert some.given == 0


async def test_a_change_is_seen_at_once(some: Served) -> None:
    client, served = await some.connected()
    served.data_received(head("/kept"))
    await some.kept("/kept", b"newer", tags=["p-a"])
    served.data_received(head("/kept"))
    some.shelf.purge("p-a")
    served.data_received(head("/kept"))
    assert await bodies(client, "GET", "GET", "GET") == [b"kept", b"newer", b"GET /kept 0"]
    await some.kept("/kept", b"again", tags=["p-a"])
    served.data_received(head("/kept"))
    some.shelf.purge("p-a", soft=True)
    served.data_received(head("/kept"))
    assert await bodies(client, "GET", "GET") == [b"again", b"GET /kept 0"]
    await some.kept("/kept", b"last")
    served.data_received(head("/kept"))
    some.shelf.cache.flush()
    served.data_received(head("/kept"))
    assert await bodies(client, "GET", "GET") == [b"last", b"GET /kept 0"]


async def test_without_the_lease_nothing_is_served(some: Served) -> None:
    client, served = await some.connected()
    some.lease.until = asyncio.get_running_loop().time() - 1.0
    for _ in range(3):
        served.data_received(head("/kept"))
        assert await bodies(client, "GET") == [b"GET /kept 0"]
    some.lease.until = asyncio.get_running_loop().time() + 60.0
    served.data_received(head("/kept"))
    assert await bodies(client, "GET") == [b"kept"]


async def test_a_node_that_drains_closes_its_connections_on_the_full_road(some: Served) -> None:
    client, served = await some.connected()
    some.shortcut.prepared.is_draining = lambda: True
    for _ in range(3):
        served.data_received(head("/kept"))
        assert await bodies(client, "GET") == [b"GET /kept 0"]


async def test_visits_are_told(some: Served) -> None:
    visits: list[bytes] = []

    def note(asked: bytes, _answer: Written, _since: float, _wire: asyncio.Transport) -> None:
        visits.append(asked)

    some.shortcut.on_visit = note
    client, served = await some.connected()
    served.data_received(head("/kept", "User-Agent: x") + head("/kept", method="HEAD") + head("/large"))
    await client.answers(["GET", "HEAD", "GET"])
    assert visits == [head("/kept", "User-Agent: x"), head("/large")]


# Requests as the parts in which they may arrive, and their answers. A trap looks like a request where it is none.
_TRAP = head("/kept")
_REQUESTS = st.sampled_from(
    [
        ("GET", [head("/kept")], b"kept|GET /kept 0"),
        ("GET", [head("/kept", "User-Agent: x", "Accept: */*")], b"kept|GET /kept 0"),
        ("GET", [b"GET /ke", b"pt HTTP/1.1\r\n", b"Host: p.example\r\n\r", b"\n"], b"kept|GET /kept 0"),
        ("GET", [head("/kept")[:-2], b"\r\n"], b"kept|GET /kept 0"),
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(st.lists(_REQUESTS, max_size=8), st.data())
async def test_answers_come_in_order_however_the_bytes_arrive(
    some: Served, requests: list[tuple[str, list[bytes], bytes]], data: st.DataObject
) -> None:
    parts = [part for _, parts, _ in requests for part in parts]
    arrivals = data.draw(st.lists(st.sampled_from(_ARRIVALS), min_size=len(parts), max_size=len(parts)))
    client, served = await some.connected()
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


@pytest.mark.parametrize("is_the_clients", [True, False])
async def test_what_is_answered_is_written_before_the_end(some: Served, is_the_clients: bool) -> None:
    client, served = await some.connected()
    served.data_received(head("/kept") * 3)
    if not is_the_clients:
        served.force_close()
    elif not served.eof_received():
        assert served.transport is not None
        served.transport.close()
    assert await bodies(client, "GET", "GET", "GET") == [b"kept"] * 3


async def test_two_lines_are_no_head(some: Served) -> None:
    client, served = await some.connected()
    served.data_received(head("/kept")[:-2])
    served.data_received(b"Cookie: a=b\r\n\r\n")
    assert await bodies(client, "GET") == [b"GET /kept 0"]


async def test_what_was_said_once_counts_again(some: Served) -> None:
    await some.kept("/tagged", headers={"ETag": '"x"'})
    client, served = await some.connected()
    condition = 'If-None-Match: "x"'
    for lines, expected in (
        ([], 200),
        ([condition], 304),
        ([condition], 304),
        ([], 200),
        ([], 200),
        ([condition], 304),
    ):
        served.data_received(head("/tagged", *lines))
        [(status, _, _)] = await client.answers(["GET"])
        assert status == expected
    assert some.given == 6


async def test_an_answer_to_nobody_is_dropped(some: Served) -> None:
    client, served = await some.connected()
    other, beside = await some.connected()
    served.data_received(head("/kept"))
    beside.data_received(head("/kept"))
    served.connection_lost(None)
    assert await bodies(other, "GET") == [b"kept"]
    assert client.received == b""


async def test_a_long_head_takes_the_full_road_whatever_was_said_before(some: Served) -> None:
    client, served = await some.connected()
    for length, expected in ((1000, 200), (8200, 400)):
        target = f"/{'x' * length}"
        await some.kept(target)
        served.data_received(head(target, "User-Agent: x"))
        assert [status for status, _, _ in await client.answers(["GET"])] == [expected]


async def test_a_head_in_two_pieces_does_not_end_the_short_cut(some: Served) -> None:
    client, served = await some.connected()
    served.data_received(head("/kept")[:10])
    served.data_received(head("/kept")[10:])
    assert await bodies(client, "GET") == [b"GET /kept 0"]
    served.data_received(head("/kept"))
    assert await bodies(client, "GET") == [b"kept"]


async def test_who_asks_again_at_once_is_not_kept_on_the_full_road(some: Served) -> None:
    client, served = await some.connected()
    real = client.data_received
    asked = 0

    def ask_again(data: bytes) -> None:
        nonlocal asked
        real(data)
        if asked < 20:
            asked += 1
            served.data_received(head("/kept"))

    client.data_received = ask_again  # type: ignore[method-assign]
    served.data_received(head("/other"))
    assert await bodies(client, *["GET"] * 21) == [b"GET /other 0", *[b"kept"] * 20]
    assert some.given == 20


async def test_nobody_is_answered_after_the_last_answer(some: Served) -> None:
    client, served = await some.connected()
    real = client.data_received

    def ask_again(data: bytes) -> None:
        real(data)
        served.data_received(head("/kept"))

    client.data_received = ask_again  # type: ignore[method-assign]
    served.data_received(head("/other", "Connection: close"))
    assert await bodies(client, "GET") == [b"GET /other 0"]
    async with asyncio.timeout(60):
        await client.is_lost.wait()
    assert (client.received, some.given) == (b"", 0)


async def test_more_heads_than_aiohttp_takes_at_once_keep_their_order(some: Served) -> None:
    client, served = await some.connected()
    served.data_received(head("/other") * 70)
    served.data_received(head("/kept"))
    assert await bodies(client, *["GET"] * 71) == [*[b"GET /other 0"] * 70, b"GET /kept 0"]
    served.data_received(head("/kept"))
    assert await bodies(client, "GET") == [b"GET /kept 0"], (
        "aiohttp had to hold some back, and does not say that it is done"
    )
    served.data_received(head("/kept"))
    assert await bodies(client, "GET") == [b"kept"]


async def test_who_does_not_read_is_not_written_for(some: Served) -> None:
    client, served = await some.connected()
    client.transport.pause_reading()
    for _ in range(1000):
        served.data_received(head("/large"))
    given = some.given
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
        async with asyncio.timeout(60):
            await client.is_lost.wait()


async def test_who_asks_for_nothing_more_is_closed(tmp_path: Path) -> None:
    async with opened(tmp_path / "edge") as shelf, before(shelf, idle_seconds=0.3) as some:
        await some.kept("/kept")
        client, served = await some.connected()
        now = asyncio.get_running_loop().time
        began = asked_at = now()
        while now() < began + 0.6 and not client.is_lost.is_set():  # a machine that stands still asks for nothing
            served.data_received(head("/kept"))
            asked_at = now()
            await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            await client.is_lost.wait()
        assert client.lost_at >= asked_at + 0.29
        assert some.asked == []


async def test_the_deadline_for_heads_holds_between_hits(some: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.1)
    client, served = await some.connected()
    served.data_received(head("/kept"))
    await asyncio.sleep(0.2)
    served.data_received(head("/kept"))
    assert await bodies(client, "GET", "GET") == [b"kept", b"kept"]
    served.data_received(head("/kept")[:10])
    [(status, fields, _)] = await client.answers(["GET"])
    assert (status, fields[b"Connection"]) == (408, b"close")
