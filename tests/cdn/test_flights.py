"""Requests for one thing at the same time: one fetch for all, and nobody suffers from the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.cdn.clauses import Client, Seen
from tests.cdn.edges import edge_before
from tests.cdn.origins import NOTHING, Fields, Origin, answer, chunked, raw, scripted

FRESH = {"Cache-Control": "max-age=600", "ETag": '"a"'}
LARGE = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[Origin]:
    async with scripted() as served:
        yield served


@pytest.fixture(scope="module")
async def client(origin: Origin) -> AsyncIterator[Client]:
    async with (
        edge_before(origin.url, edge__collapse_seconds=60, edge__connections=1000) as asking,
        crowd(asking) as many,
    ):
        yield many


@asynccontextmanager
async def crowd(client: Client) -> AsyncIterator[Client]:
    """A client that may have any number of connections."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=60), auto_decompress=False
    ) as http:
        yield Client(http, client.url)


async def gathered(client: Client, origin: Origin, target: str, count: int, go: asyncio.Event) -> list[Seen]:
    """So many requests, all of them inside before the origin goes on with the first one."""
    tasks = [asyncio.create_task(client.ask(target)) for _ in range(count)]
    await origin.when_asked(target)
    await inside(client, count)
    go.set()
    return await asyncio.gather(*tasks)


async def inside(client: Client, count: int) -> None:
    """Until so many requests have come in: a request that is answered at once overtakes none of them."""
    for _ in range(3 + count // 50):
        await client.ask("/hurry")


async def hit(client: Client, target: str, headers: Fields = ()) -> None:
    """Until it has its name on the disk: the last byte goes out before that."""
    while not (await client.ask(target, headers)).headers["Cache-Status"].startswith("pastebin; hit"):
        pass


async def test_500_cold_reads_are_one_fetch(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    origin.script("/cold", answer(200, FRESH, b"x" * 1000, before=[go]))
    seen = await gathered(client, origin, "/cold", 500, go)
    assert {(one.status, one.body) for one in seen} == {(200, b"x" * 1000)}
    assert len(origin.asked("/cold")) == 1
    assert sum("collapsed" in one.headers["Cache-Status"] for one in seen) == 499


async def test_large_bodies_go_out_while_they_come_in(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: %d\r\n\r\n" % len(LARGE)
    origin.script("/large", raw(head, LARGE[:500_000], go, LARGE[500_000:], closes=False))
    async with client.http.get(f"{client.url}/large") as first, client.http.get(f"{client.url}/large") as second:
        for response in (first, second):
            assert await response.content.readexactly(400_000) == LARGE[:400_000]
        async with client.http.get(f"{client.url}/large", headers={"Range": "bytes=100000-199999"}) as part:
            assert (part.status, await part.read()) == (206, LARGE[100_000:200_000])
        async with client.http.head(f"{client.url}/large") as described:
            assert (described.status, described.headers["Content-Length"]) == (200, str(len(LARGE)))
        go.set()
        for response in (first, second):
            assert await response.content.read() == LARGE[400_000:]
    assert len(origin.asked("/large")) == 1
    await hit(client, "/large")


async def test_who_reads_slowly_slows_nobody(client: Client, origin: Origin) -> None:
    body = LARGE * 32
    origin.script("/slow", answer(200, FRESH, body))
    reader, writer = await asyncio.open_connection(*client.url.removeprefix("http://").split(":"), limit=2**10)
    writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await origin.when_asked("/slow")
    hosted = [("Host", "x")]
    assert (await client.ask("/slow", hosted)).body == body
    await hit(client, "/slow", hosted)
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(len(body)) == body
    writer.close()
    assert len(origin.asked("/slow")) == 1


async def test_a_failure_is_not_everybodys(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    origin.script("/failing", raw(go, b"nonsense\r\n\r\n"), answer(200, FRESH, b"x"))
    seen = await gathered(client, origin, "/failing", 20, go)
    assert sorted(one.status for one in seen) == [200] * 19 + [502]
    assert len(origin.asked("/failing")) == 2


async def test_an_origin_that_keeps_failing_is_not_asked_by_everybody(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    origin.script("/down", raw(go, b"nonsense\r\n\r\n"))
    seen = await gathered(client, origin, "/down", 30, go)
    assert {one.status for one in seen} == {502}
    assert len(origin.asked("/down")) <= 6


async def test_what_is_for_nobody_else_makes_nobody_wait(client: Client, origin: Origin) -> None:
    go, never = asyncio.Event(), asyncio.Event()
    origin.script("/own", answer(200, {"Cache-Control": "no-store"}, b"x", before=[go]),
                  answer(200, {"Cache-Control": "no-store"}, b"x", before=[never]))  # fmt: skip
    tasks = [asyncio.create_task(client.ask("/own")) for _ in range(10)]
    await origin.when_asked("/own")
    await inside(client, 10)
    go.set()
    await origin.when_asked("/own", 10)  # all the others at once, while none of them is answered
    tasks.append(asyncio.create_task(client.ask("/own")))
    await origin.when_asked("/own", 11)
    never.set()
    assert {one.body for one in await asyncio.gather(*tasks)} == {b"x"}


async def test_what_can_be_kept_after_all_is_shared_again(client: Client, origin: Origin) -> None:
    origin.script("/changed", answer(200, {"Cache-Control": "no-store"}, b"x"), answer(200, FRESH, b"y"))
    assert [(await client.ask("/changed")).body for _ in range(3)] == [b"x", b"y", b"y"]
    assert len(origin.asked("/changed")) == 2


async def test_variants_have_their_own_fetches(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    vary = {**FRESH, "Vary": "Accept-Language"}
    origin.script("/variants", answer(200, vary, b"x", before=[go]))
    languages = [[("Accept-Language", language)] for language in ("de", "en", "fr") for _ in range(10)]
    tasks = [asyncio.create_task(client.ask("/variants", headers)) for headers in languages]
    await origin.when_asked("/variants")
    await inside(client, 30)
    go.set()
    await asyncio.gather(*tasks)
    assert sorted(request.headers["Accept-Language"] for request in origin.asked("/variants")) == ["de", "en", "fr"]


async def test_a_fetch_outlives_the_client_that_led_it(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    origin.script("/led", chunked(FRESH, LARGE, go, LARGE))
    leader = asyncio.create_task(client.ask("/led"))
    await origin.when_asked("/led")
    async with client.http.get(f"{client.url}/led") as waiting:
        assert await waiting.content.readexactly(1000) == LARGE[:1000]
        leader.cancel()
        go.set()
        assert await waiting.content.read() == (LARGE + LARGE)[1000:]
    await hit(client, "/led")
    assert len(origin.asked("/led")) == 1


async def test_what_nobody_waits_for_is_given_up(client: Client, origin: Origin) -> None:
    """And what is nearly there is finished."""
    go, gone = asyncio.Event(), asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: %d\r\n\r\n"
    origin.script("/much", raw(head % (100 * len(LARGE)), LARGE, go, *[LARGE] * 99, gone), answer(200, FRESH, b"new"))
    origin.script("/little", raw(head % (2 * len(LARGE)), LARGE * 2, closes=False))
    async with client.http.get(f"{client.url}/much") as response:
        await response.content.readexactly(1000)
    async with client.http.get(f"{client.url}/little") as response:
        await response.content.readexactly(len(LARGE) + 1)
    go.set()
    assert (await client.ask("/little")).body == LARGE * 2
    assert len(origin.asked("/little")) == 1
    assert (await client.ask("/much")).body == b"new"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_change_overtakes_a_fetch_under_way(client: Client, origin: Origin, method: str) -> None:
    """Who asked before it may get what was true then; nobody else does, and it is not kept."""
    target = f"/changing-{method}"
    go = asyncio.Event()
    origin.script(target, answer(200, FRESH, b"old", before=[go]), answer(204), answer(200, FRESH, b"new"))
    before = asyncio.create_task(client.ask(target))
    await origin.when_asked(target)
    assert (await client.ask(target, method=method)).status == 204
    assert (await client.ask(target)).body == b"new"
    go.set()
    assert (await before).body == b"old"
    seen = await client.ask(target)
    assert (seen.body, seen.headers["Cache-Status"].split(";")[1]) == (b"new", " hit")


async def test_a_change_overtakes_a_body_under_way(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    origin.script("/body", chunked(FRESH, LARGE, go, b"old"), answer(204), answer(200, FRESH, b"new"))
    async with client.http.get(f"{client.url}/body") as before:
        await before.content.readexactly(1000)
        assert (await client.ask("/body", method="DELETE")).status == 204
        assert (await client.ask("/body")).body == b"new"
        go.set()
        assert (await before.content.read()).endswith(b"old")
    assert (await client.ask("/body")).body == b"new"


async def test_a_change_overtakes_a_revalidation(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    stale = {"Cache-Control": "max-age=0", "ETag": '"a"'}
    origin.script("/asking", answer(200, stale, b"old"), answer(304, FRESH, before=[go]), answer(204),
                  answer(200, FRESH, b"new"))  # fmt: skip
    assert (await client.ask("/asking")).body == b"old"
    before = asyncio.create_task(client.ask("/asking"))
    await origin.when_asked("/asking", 2)
    assert (await client.ask("/asking", method="DELETE")).status == 204
    assert (await client.ask("/asking")).body == b"new"
    go.set()
    assert (await before).body == b"old"
    assert (await client.ask("/asking")).body == b"new"


async def test_waiting_ends_after_a_while(origin: Origin) -> None:
    """Who has waited long enough asks by himself, but not all of them at once."""
    async with edge_before(origin.url, edge__collapse_seconds=0.05) as asking, crowd(asking) as client:
        never = asyncio.Event()
        origin.script("/stuck", answer(200, FRESH, b"stuck", before=[never]), answer(200, FRESH, b"x"))
        leader = asyncio.create_task(client.ask("/stuck"))
        await origin.when_asked("/stuck")
        assert (await client.ask("/stuck")).body == b"x"
        never.set()
        assert (await leader).body == b"stuck"


async def test_only_some_of_the_tired_ask_at_once(origin: Origin) -> None:
    async with edge_before(origin.url, edge__collapse_seconds=0.05) as asking, crowd(asking) as client:
        never = asyncio.Event()
        origin.script("/tired", answer(200, FRESH, b"x", before=[never]))
        tasks = [asyncio.create_task(client.ask("/tired")) for _ in range(40)]
        await origin.when_asked("/tired", 9)
        await inside(client, 100)
        assert len(origin.asked("/tired")) == 9
        never.set()
        assert {one.body for one in await asyncio.gather(*tasks)} == {b"x"}


async def test_a_late_part_of_something_large_is_asked_of_the_origin(client: Client, origin: Origin) -> None:
    never = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: %d\r\n\r\n" % (100 * len(LARGE))
    part = {"Content-Range": f"bytes 90000000-90000003/{100 * len(LARGE)}"}
    origin.script("/deep", raw(head + LARGE, never), answer(206, part, b"part"))
    asked = [("Range", "bytes=90000000-90000003")]
    for _ in range(2):
        seen = await client.ask("/deep", asked)
        assert (seen.status, seen.body, seen.headers["Content-Range"]) == (206, b"part", part["Content-Range"])
    assert [request.headers.get("Range") for request in origin.asked("/deep")] == [None, asked[0][1], asked[0][1]]
    never.set()


async def test_a_part_of_something_small_fetches_the_whole(client: Client, origin: Origin) -> None:
    origin.script("/part", answer(200, FRESH, LARGE))
    seen = await client.ask("/part", [("Range", "bytes=-5")])
    assert (seen.status, seen.body) == (206, LARGE[-5:])
    assert (await client.ask("/part")).body == LARGE
    assert [request.headers.get("Range") for request in origin.asked("/part")] == [None]


async def test_stale_answers_are_revalidated_once(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    stale = {"Cache-Control": "max-age=0, stale-while-revalidate=600", "ETag": '"a"'}
    origin.script("/behind", answer(200, stale, b"old"), answer(200, FRESH, b"new", before=[go]))
    seen = [await client.ask("/behind") for _ in range(10)]
    assert {one.body for one in seen} == {b"old"}
    assert all(one.headers["Cache-Status"].startswith("pastebin; hit; ttl=-1") for one in seen[1:])
    go.set()
    while (await client.ask("/behind")).body == b"old":
        pass
    assert len(origin.asked("/behind")) == 2


async def test_an_origin_that_goes_away_for_a_moment(client: Client, origin: Origin) -> None:
    """What ends without an answer on a connection that was idle is asked once more, on a new one."""
    origin.script("/before", answer(200, {}, b"x"))
    await client.ask("/before")
    origin.script("/moment", NOTHING, NOTHING, answer(200, FRESH, b"x"))
    assert (await client.ask("/moment")).status == 502
    assert (await client.ask("/moment")).body == b"x"


async def test_what_outgrows_the_cache_still_goes_out(origin: Origin) -> None:
    """Nobody has said how much is to come; who asked first gets all of it, and nobody else waits for that again."""
    async with edge_before(origin.url, edge__disk_bytes=0) as client:
        origin.script("/outgrown", chunked(FRESH, *[LARGE] * 20))
        for times in (1, 2):
            assert (await client.ask("/outgrown")).body == LARGE * 20
            assert len(origin.asked("/outgrown")) == times
        seen = await asyncio.gather(*(client.ask("/outgrown") for _ in range(5)))
        assert {len(one.body) for one in seen} == {20 * len(LARGE)}


async def test_a_change_overtakes_what_is_revalidated_behind(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    stale = {"Cache-Control": "max-age=0, stale-while-revalidate=600", "ETag": '"a"'}
    origin.script(
        "/swr",
        answer(200, stale, b"old"),
        answer(304, FRESH, before=[go]),
        answer(204),
        answer(200, FRESH, b"new"),
    )
    assert [(await client.ask("/swr")).body for _ in range(2)] == [b"old"] * 2
    await origin.when_asked("/swr", 2)
    assert (await client.ask("/swr", method="DELETE")).status == 204
    assert (await client.ask("/swr")).body == b"new"
    go.set()
    assert {(await client.ask("/swr")).body for _ in range(10)} == {b"new"}


async def test_a_failed_revalidation_is_not_repeated_for_every_request(
    client: Client, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pastebin.cdn.obtaining._RESTING_SECONDS", 600.0)
    stale = {"Cache-Control": "max-age=0, stale-while-revalidate=600", "ETag": '"a"'}
    origin.script("/resting", answer(200, stale, b"old"), answer(503, {}, b"down"))
    for _ in range(20):
        assert (await client.ask("/resting")).body == b"old"
    assert len(origin.asked("/resting")) == 2
