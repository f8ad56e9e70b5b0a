"""Origins that lie, hang or go away: nothing wrong is passed on as right, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.cdn.clauses import Client
from tests.cdn.edges import edge_before
from tests.cdn.origins import NOTHING, Origin, answer, chunked, raw, scripted
from tests.cluster import until
from tests.ports import free_port

FRESH = {"Cache-Control": "max-age=600", "ETag": '"a"'}
HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n"
LARGE = bytes(range(256)) * 2048
OF_ANOTHER = f"sha-256=:{base64.b64encode(hashlib.sha256(b'another').digest()).decode()}:"

# What is refused before a byte of it is passed on.
LIES = {
    "garbage": raw(b"\x16\x03\x01 what is this\r\n\r\n"),
    "another protocol": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "HTTP/2": raw(b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "a status that is none": raw(b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n"),
    "bare line feeds": raw(HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n"),
    "a bare carriage return": raw(HEAD + b"X: a\rb\r\nContent-Length: 0\r\n\r\n"),
    "a NUL": raw(HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"),
    "a folded line": raw(HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    "a space before the colon": raw(HEAD + b"Content-Length : 0\r\n\r\n"),
    "a line without a colon": raw(HEAD + b"Content-Length 0\r\n\r\n"),
    "two lengths": raw(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
    "one length twice": raw(HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "a list of lengths": raw(HEAD + b"Content-Length: 3, 3\r\n\r\nabc"),
    "a signed length": raw(HEAD + b"Content-Length: +3\r\n\r\nabc"),
    "a length and chunks": raw(HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    "an unknown coding": raw(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunks in HTTP/1.0": raw(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "100 KB of head": raw(HEAD + b"X: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    "100 KB of small fields": raw(HEAD + b"X-Y: z\r\n" * 12_500 + b"Content-Length: 0\r\n\r\n"),
    "a head that never ends": raw(HEAD + b"X: " + b"a" * 50_000, asyncio.Event()),
    "too little": raw(HEAD + b"Content-Length: 30\r\n\r\nabc"),
    "nothing of a body": raw(HEAD + b"Content-Length: 30\r\n\r\n"),
    "half a head": raw(HEAD),
    "a chunk longer than it says": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n"),
    "a part nobody asked for": answer(206, {**FRESH, "Content-Range": "bytes 0-2/9"}, b"abc"),
    "a 304 nobody asked for": answer(304, FRESH),
    "another protocol's switch": raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    "more than its length": raw(HEAD + b"Content-Length: 3\r\n\r\nabcdef", asyncio.Event()),
    "a second answer": raw((HEAD + b"Content-Length: 3\r\n\r\nabc") * 2, asyncio.Event()),
    "a second answer after an empty one": raw((HEAD + b"Content-Length: 0\r\n\r\n") * 2, asyncio.Event()),
    "more than the last chunk": raw(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nx", asyncio.Event()
    ),
    "a body that must be empty": raw(b"HTTP/1.1 204 No Content\r\nCache-Control: max-age=600\r\n\r\nabc"),
    "a chunk without a size": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n0\r\n\r\n"),
    "nothing but interim answers": raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
}
# What nobody can know before some of it is on its way.
LATE_LIES = {
    "chunks that break off": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\nabc"),
    "no last chunk": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    "more than a large body": raw(
        HEAD + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:100_000], LARGE[100_000:] + b"x", asyncio.Event()
    ),
}


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[Origin]:
    async with scripted() as served:
        yield served


@pytest.fixture(scope="module")
async def client(origin: Origin) -> AsyncIterator[Client]:
    async with edge_before(origin.url) as asking:
        yield asking


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_is_a_502_and_is_not_kept(client: Client, origin: Origin, lie: str) -> None:
    target = f"/{lie.replace(' ', '-')}"
    origin.script(target, LIES[lie], LIES[lie], answer(200, FRESH, b"better"))
    for _ in range(2):
        seen = await client.ask(target)
        assert (seen.status, seen.headers["Cache-Control"]) == (502, "no-store")
        assert b"/problems/bad-upstream" in seen.body
    before = origin.connections
    assert (await client.ask(target)).body == b"better"
    assert origin.connections == before + 1 or "nobody asked for" in lie


@pytest.mark.parametrize("lie", LATE_LIES)
async def test_a_lie_that_comes_late_is_no_short_answer(client: Client, origin: Origin, lie: str) -> None:
    target = f"/{lie.replace(' ', '-')}"
    origin.script(target, LATE_LIES[lie], answer(200, FRESH, b"better"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.ask(target)
    assert (await client.ask(target)).body == b"better"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=1-1"}])
async def test_another_body_than_its_digest_is_a_502(client: Client, origin: Origin, headers: dict[str, str]) -> None:
    lie = answer(200, {**FRESH, "Content-Digest": OF_ANOTHER}, b"abc")
    target = f"/digest/{len(headers)}"
    origin.script(target, lie, answer(200, FRESH, b"abc"))
    assert (await client.ask(target, headers)).status == 502
    assert (await client.ask(target)).body == b"abc"


async def test_a_connection_that_sends_too_much_is_not_used_again(client: Client, origin: Origin) -> None:
    origin.script("/longer", raw(HEAD + b"Content-Length: 3\r\n\r\nabcdef", closes=False))
    origin.script("/another", answer(200, {}, b"x"))
    assert (await client.ask("/longer")).status == 502
    before = origin.connections
    assert (await client.ask("/another")).body == b"x"
    assert origin.connections == before + 1


async def test_a_body_that_breaks_off_is_no_short_answer(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    origin.script("/short", raw(HEAD + b"Content-Length: 1000000\r\n\r\n" + LARGE, go))
    async with client.http.get(f"{client.url}/short") as response:
        assert response.status == 200
        assert len(await response.content.readexactly(1000)) == 1000
        go.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    origin.script("/short", answer(200, FRESH, b"whole"))
    assert (await client.ask("/short")).body == b"whole"


async def test_what_breaks_off_while_it_is_passed_is_no_short_answer(client: Client, origin: Origin) -> None:
    go = asyncio.Event()
    origin.script("/private", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + LARGE, go))
    async with client.http.get(f"{client.url}/private") as response:
        await response.content.readexactly(1000)
        go.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_body_that_ends_with_its_connection_is_passed_and_not_kept(client: Client, origin: Origin) -> None:
    origin.script("/open", answer(200, FRESH, LARGE, has_length=False), answer(200, FRESH, b"second"))
    assert (await client.ask("/open")).body == LARGE
    assert (await client.ask("/open")).body == b"second"
    assert (await client.ask("/open")).headers["Cache-Status"].startswith("pastebin; hit")


async def test_chunks_are_kept_and_trailers_are_not(client: Client, origin: Origin) -> None:
    origin.script("/chunks", chunked(FRESH, b"one ", b"two ", LARGE, trailer=b"X-Trailer: 1\r\n"))
    first = await client.ask("/chunks")
    second = await client.ask("/chunks")
    assert first.body == second.body == b"one two " + LARGE
    assert "X-Trailer" not in first.headers and "X-Trailer" not in second.headers
    assert second.headers["Content-Length"] == str(len(second.body))
    assert len(origin.asked("/chunks")) == 1


@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
@pytest.mark.parametrize(("said", "asked"), [(b"whole", 1), (b"other", 2)])
async def test_a_body_that_is_not_what_its_digest_says_is_not_kept(
    client: Client, origin: Origin, name: str, said: bytes, asked: int
) -> None:
    target = f"/{name}-{asked}"
    digest = base64.b64encode(hashlib.sha256(said).digest()).decode()
    origin.script(target, answer(200, {**FRESH, name: f"sha-256=:{digest}:"}, b"whole"))
    for _ in range(2):
        assert (await client.ask(target)).status == (200 if said == b"whole" else 502)
    assert len(origin.asked(target)) == asked


async def test_interim_answers_are_swallowed(client: Client, origin: Origin) -> None:
    origin.script(
        "/early", raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HEAD + b"Content-Length: 1\r\n\r\na")
    )
    seen = await client.ask("/early")
    assert (seen.status, seen.body) == (200, b"a")
    assert "Link" not in seen.headers


async def test_silence_is_a_504(origin: Origin) -> None:
    never = asyncio.Event()
    async with edge_before(origin.url, edge__response_timeout_seconds=0.5) as client:
        origin.script("/silent", answer(200, FRESH, b"x", before=[never]))
        seen = await client.ask("/silent")
        assert seen.status == 504
        assert b"/problems/upstream-timeout" in seen.body
        assert "Retry-After" in seen.headers
        origin.script("/halting", answer(200, FRESH, b"x" * 10, after_head=[never]))
        assert (await client.ask("/halting")).status == 504
    never.set()


async def test_what_follows_an_answer_is_no_answer_to_the_next_request(client: Client, origin: Origin) -> None:
    """Response splitting: the second answer on the connection belongs to nobody."""
    smuggled = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nevil"
    origin.script("/split", raw(HEAD + b"Content-Length: 4\r\n\r\ngood" + smuggled, closes=False))
    origin.script("/next", answer(200, FRESH, b"mine"))
    assert (await client.ask("/split")).status == 502
    assert (await client.ask("/next")).body == b"mine"


async def test_a_connection_closed_meanwhile_is_no_failure(client: Client, origin: Origin) -> None:
    origin.script("/idle", answer(200, {}, b"x"))
    assert (await client.ask("/idle")).body == b"x"
    origin.hang_up()
    assert (await client.ask("/idle")).body == b"x"
    assert (await client.ask("/idle", method="POST", data=b"y")).body == b"x"


async def test_a_failing_upstream_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pastebin.cdn.origins._EJECTED_SECONDS", 30.0)
    async with scripted() as one, scripted() as other, edge_before(one.url, other.url) as client:
        for upstream, body in ((one, b"one"), (other, b"other")):
            for number in range(8):
                upstream.script(f"/{number}", answer(200, {}, body))
        seen = [(await client.ask(f"/{number}")).body for number in range(4)]
        assert sorted(seen) == [b"one", b"one", b"other", b"other"]
        for number in range(4, 8):
            one.script(f"/{number}", NOTHING)
        assert [(await client.ask(f"/{number}")).body for number in range(4, 8)] == [b"other"] * 4
        assert len([request for request in one.requests if request.target in ("/4", "/5", "/6", "/7")]) <= 2


async def test_nobody_to_ask_is_a_502() -> None:
    async with edge_before(f"http://127.0.0.1:{free_port()}") as client:
        seen = await client.ask("/")
        assert (seen.status, "Retry-After" in seen.headers) == (502, True)
        assert b"/problems/upstream-unavailable" in seen.body
        assert (await client.ask("/", method="POST", data=b"x")).status == 502


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_errors_of_the_origin_are_passed_on_and_not_kept(client: Client, origin: Origin, status: int) -> None:
    origin.script(f"/error{status}", answer(status, {}, b"down"), answer(200, FRESH, b"up"))
    assert (await client.ask(f"/error{status}")).body == b"down"
    assert (await client.ask(f"/error{status}")).body == b"up"


async def test_an_origin_that_does_not_answer_is_asked_no_more_for_a_moment() -> None:
    """Then a request fails at once, and one at a time tries whether it is back."""
    async with scripted() as origin, edge_before(origin.url) as client:
        for number in range(12):
            origin.script(f"/{number}", NOTHING)
        statuses = [(await client.ask(f"/{number}")).status for number in range(12)]
        assert set(statuses) == {502}
        assert len(origin.requests) < 12
        origin.script("/back", answer(200, {}, b"back"))

        async def is_back() -> bool:
            return (await client.ask("/back")).status == 200

        await until(is_back)


async def test_bytes_and_the_api_are_asked_of_readers_where_there_are_some() -> None:
    targets = {"/abc": "pages", "/": "pages", "/abc/raw": "readers", "/raw/abc": "readers", "/api/v1/limits": "readers"}
    async with scripted() as pages, scripted() as readers:
        for target in targets:
            pages.script(target, answer(200, FRESH, b"pages"))
            readers.script(target, answer(200, FRESH, b"readers"))
        async with edge_before(pages.url, edge__read_origin=[readers.url]) as client:
            for target, whose in targets.items():
                seen = await client.ask(target)
                assert seen.body == whose.encode(), target
