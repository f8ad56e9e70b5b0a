"""What an edge passes on: everything that is no cache matter, whole, and nothing that is between two neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.cdn.clauses import Client
from tests.cdn.edges import edge_before
from tests.cdn.origins import Origin, answer, scripted

FRESH = {"Cache-Control": "max-age=600", "ETag": '"a"'}
LARGE = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(scope="module")
async def origin() -> AsyncIterator[Origin]:
    async with scripted() as served:
        yield served


@pytest.fixture(scope="module")
async def client(origin: Origin) -> AsyncIterator[Client]:
    async with edge_before(origin.url) as asking:
        yield asking


@asynccontextmanager
async def connected(client: Client, data: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which this was sent, byte by byte as it is."""
    parts = urlsplit(client.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(data)
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()


async def said(client: Client, data: bytes) -> tuple[int, bytes]:
    """The status and all that comes back on a connection that ends then."""
    async with connected(client, data) as (reader, _):
        async with asyncio.timeout(60):
            told = await reader.read()
    return int(told.split(b" ", 2)[1]), told


async def test_behind_a_proxy_that_is_trusted_its_client_is_told(origin: Origin) -> None:
    """For what is fetched and for what is passed."""
    origin.script("/behind", answer(200, {}, b"x"))
    async with edge_before(origin.url, doors__trusted_proxies=["127.0.0.1"]) as client:
        for method in ("GET", "POST"):
            await client.ask("/behind", [("X-Forwarded-For", "6.6.6.6, 198.51.100.7")], method=method)
            assert origin.asked("/behind")[-1].headers.getall("X-Forwarded-For") == ["198.51.100.7"]


async def test_who_asks_is_told_to_the_origin_once(client: Client, origin: Origin) -> None:
    """And what a client says about itself is not repeated as if it were known."""
    origin.script("/who", answer(200, {}, b"x"))
    lies = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=6.6.6.6;host=evil.example"),
        ("X-Real-IP", "6.6.6.6"),
    ]
    for method in ("GET", "POST"):
        await client.ask("/who", [("Host", "p.example"), ("Via", "1.0 elsewhere"), *lies], method=method)
        sent = origin.asked("/who")[-1].headers
        assert sent.getall("X-Forwarded-For") == ["127.0.0.1"]
        assert sent.getall("X-Forwarded-Proto") == ["http"]
        assert sent.getall("X-Forwarded-Host") == ["p.example"]
        assert sent.getall("Host") == ["p.example"]
        assert sent.getall("Via") == ["1.0 elsewhere, 1.1 pastebin"]
        assert not sent.keys() & {"Forwarded", "X-Real-IP"}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_between_neighbours_stays_there(client: Client, origin: Origin, method: str) -> None:
    target = f"/hops-{method}"
    hops = [
        ("Connection", "X-Hop, close, Keep-Alive"),
        ("Keep-Alive", "timeout=5"),
        ("X-Hop", "1"),
        ("Proxy-Authenticate", "Basic"),
        ("Upgrade", "h2c"),
        ("X-Stays", "1"),
    ]
    origin.script(target, answer(200, [*hops, *FRESH.items()], b"x"))
    mine = [("Connection", "X-Mine"), ("X-Mine", "1"), ("TE", "trailers"), ("Proxy-Authorization", "Basic eDp5")]
    seen = await client.ask(target, [*mine, ("X-Too", "1")], method=method)
    assert seen.headers["X-Stays"] == "1"
    assert not seen.headers.keys() & {"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Upgrade"}
    sent = origin.asked(target)[0].headers
    assert sent["X-Too"] == "1"
    assert not sent.keys() & {"X-Mine", "TE", "Proxy-Authorization", "Connection"}


async def test_bodies_go_both_ways(client: Client, origin: Origin) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 100_000):
            yield LARGE[start : start + 100_000]

    origin.script("/echo", answer(201, {"Location": "/x"}, LARGE))
    for data in (LARGE, chunks()):
        async with client.http.put(f"{client.url}/echo", data=data) as response:
            assert (response.status, response.headers["Location"]) == (201, "/x")
            assert response.headers["Cache-Status"] == "pastebin; fwd=method"
            assert await response.read() == LARGE
        assert origin.asked("/echo")[-1].body == LARGE
    assert origin.asked("/echo")[-1].headers["Transfer-Encoding"] == "chunked"


async def test_an_upload_is_not_gathered() -> None:
    """What an origin does not read yet is not read from the client either: a gigabyte takes no memory."""
    go = asyncio.Event()
    size = 32 * len(LARGE)

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        for _ in range(32):
            assert await reader.readexactly(len(LARGE)) == LARGE
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(origin, "127.0.0.1", 0, limit=1024)
    async with server, edge_before(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as own:
        head = b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
        async with connected(own, head) as (reader, writer):
            sending = asyncio.create_task(sent(writer, 32))
            await asyncio.wait({sending}, timeout=0.3)
            assert not sending.done()
            go.set()
            await sending
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def sent(writer: asyncio.StreamWriter, count: int) -> None:
    for _ in range(count):
        writer.write(LARGE)
        await writer.drain()


async def test_who_waits_for_leave_to_send_gets_it_from_the_origin() -> None:
    """RFC 9110, 10.1.1: 100-continue is the origin's to say."""
    got = bytearray()

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nExpect: 100-continue\r\n" in head
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        got.extend(await reader.readexactly(3))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(origin, "127.0.0.1", 0)
    async with server, edge_before(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as own:
        head = b"POST /leave HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        async with connected(own, head) as (reader, writer):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert not got
            writer.write(b"abc")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert got == b"abc"


async def test_a_refusal_comes_before_the_body(client: Client) -> None:
    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(origin, "127.0.0.1", 0)
    async with server, edge_before(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as own:
        head = b"POST /no HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3000\r\n\r\n"
        async with connected(own, head) as (reader, _):
            assert (await reader.readline()).startswith(b"HTTP/1.1 403")


async def test_requests_about_the_server_end_here(client: Client, origin: Origin) -> None:
    before = len(origin.requests)
    status, told = await said(client, b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (status, b"\r\nAllow: GET, HEAD, POST" in told) == (204, True)
    zero = b"OPTIONS /x HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n"
    assert (await said(client, zero))[0] == 204
    for method in (b"TRACE", b"CONNECT"):
        target = b"x:80" if method == b"CONNECT" else b"/"
        status, told = await said(client, method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert status in (400, 405)
    assert len(origin.requests) == before


async def test_an_options_request_has_so_many_hops_left(client: Client, origin: Origin) -> None:
    origin.script("/options", answer(204, {"Allow": "GET"}))
    seen = await client.ask("/options", [("Max-Forwards", "5")], method="OPTIONS")
    assert (seen.status, seen.headers["Allow"]) == (204, "GET")
    assert origin.asked("/options")[0].headers["Max-Forwards"] == "4"


async def test_a_protocol_is_not_switched_through_a_cache(client: Client, origin: Origin) -> None:
    origin.script("/socket", answer(200, FRESH, b"plain"))
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    assert (await client.ask("/socket", upgrade)).body == b"plain"
    assert not origin.asked("/socket")[0].headers.keys() & {"Upgrade", "Connection"}


async def test_a_request_that_goes_round_in_circles_is_stopped(client: Client, origin: Origin) -> None:
    seen = await client.ask("/round", [("Via", ", ".join(["1.1 pastebin"] * 8))], method="POST")
    assert seen.status == 400
    seen = await client.ask("/round", [("Via", ", ".join(["1.1 pastebin"] * 8))])
    assert seen.status == 400
    assert origin.asked("/round") == []


async def test_an_upload_that_breaks_off_is_not_completed(client: Client, origin: Origin) -> None:
    async with connected(client, b"POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"):
        pass
    async with connected(client, b"POST /half HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"):
        pass
    await client.ask("/after", method="POST", data=b"x")
    assert origin.asked("/half") == []


async def test_an_origin_that_never_answers_an_upload_is_a_504(origin: Origin) -> None:
    never = asyncio.Event()
    origin.script("/deaf", answer(200, {}, b"", before=[never]))
    async with edge_before(origin.url, edge__response_timeout_seconds=0.2) as client:
        assert (await client.ask("/deaf", method="POST", data=b"abc")).status == 504
    never.set()


async def test_an_old_client_gets_a_body_that_ends_with_its_connection(client: Client, origin: Origin) -> None:
    origin.script("/old", answer(200, {}, b"x" * 10, has_length=False))
    status, told = await said(client, b"GET /old HTTP/1.0\r\nHost: x\r\n\r\n")
    assert (status, told.endswith(b"\r\n\r\n" + b"x" * 10)) == (200, True)
    assert b"chunked" not in told


async def test_a_head_of_http_1_1_needs_one_host(client: Client, origin: Origin) -> None:
    assert (await said(client, b"GET /hosts HTTP/1.1\r\nConnection: close\r\n\r\n"))[0] == 400
    two = b"GET /hosts HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n"
    assert (await said(client, two))[0] == 400
    assert origin.asked("/hosts") == []


async def test_an_absolute_address_is_the_same_request(client: Client, origin: Origin) -> None:
    origin.script("/abs?q", answer(200, FRESH, b"x"))
    assert (await client.ask("/abs?q", [("Host", "p.example")])).body == b"x"
    line = b"GET http://p.example/abs?q HTTP/1.1\r\nHost: p.example\r\nConnection: close\r\n\r\n"
    status, told = await said(client, line)
    assert (status, b"Cache-Status: pastebin; hit" in told) == (200, True)
    assert (await said(client, line.replace(b"Host: p", b"Host: evil")))[0] == 400
    assert len(origin.asked("/abs?q")) == 1


async def test_answers_without_a_type_do_not_get_one(client: Client, origin: Origin) -> None:
    origin.script("/untyped", answer(200, FRESH, b"x"))
    origin.script("/untyped-too", answer(200, {}, b"x"))
    for target in ("/untyped", "/untyped", "/untyped-too"):
        assert "Content-Type" not in (await client.ask(target)).headers


async def test_a_session_of_aiohttp_can_use_it(client: Client, origin: Origin) -> None:
    """Nothing about the answers keeps an ordinary client from using one connection for all of them."""
    origin.script("/keep", answer(200, FRESH, b"x"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for _ in range(3):
            async with session.get(f"{client.url}/keep") as response:
                assert await response.read() == b"x"
                assert response.headers.get("Connection") is None


async def test_a_fill_is_asked_for_by_its_address_alone(client: Client, origin: Origin) -> None:
    """What some origins take for another request is not said where everybody will get the answer."""
    origin.script("/fill", answer(200, FRESH, b"x"))
    said = [
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X-Host", "evil.example"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Forwarded-Port", "6666"),
        ("Pastebin-Min-LSN", "forged"),
        ("Range", "bytes=0-0"),
        ("If-None-Match", '"b"'),
        ("If-Range", '"a"'),
        ("Cookie", "a=1; b=2"),
        ("User-Agent", "kept/1.0"),
    ]
    await client.ask("/fill", said)
    sent = origin.asked("/fill")[0].headers
    assert not sent.keys() & {name for name, _ in said} - {"Cookie", "User-Agent"}
    assert (sent["Cookie"], sent["User-Agent"]) == ("a=1; b=2", "kept/1.0")


async def test_a_host_cannot_be_nominated_away(client: Client, origin: Origin) -> None:
    origin.script("/nominated", answer(200, FRESH, b"x"))
    await client.ask("/nominated", [("Host", "p.example"), ("Connection", "Host, X-Forwarded-For")])
    sent = origin.asked("/nominated")[0].headers
    assert (sent["Host"], sent["X-Forwarded-For"]) == ("p.example", "127.0.0.1")


async def test_a_body_has_no_say_in_what_is_stored(client: Client, origin: Origin) -> None:
    origin.script("/fat", answer(200, FRESH, b"fat"), answer(200, FRESH, b"thin"))
    seen = await client.ask("/fat", data=b"a body")
    assert (seen.body, seen.headers["Cache-Status"]) == (b"fat", "pastebin; fwd=bypass; detail=body")
    assert origin.asked("/fat")[0].body == b"a body"
    assert [(await client.ask("/fat")).body for _ in range(2)] == [b"thin"] * 2


async def test_origins_are_told_what_is_left_of_the_time(origin: Origin) -> None:
    """For what is fetched and for what is passed, by whom it may be said."""
    origin.script("/hurried", answer(200, {}, b"x"))
    async with edge_before(origin.url, doors__trusted_proxies=["127.0.0.1"], doors__max_timeout_seconds=100) as client:
        for method in ("GET", "POST"):
            for told, most in (("50.000", 50.0), ("500", 100.0)):
                await client.ask("/hurried", [("Pastebin-Timeout", told)], method=method)
                assert most - 40 < float(origin.asked("/hurried")[-1].headers["Pastebin-Timeout"]) < most
            await client.ask("/hurried", method=method)
            assert "Pastebin-Timeout" not in origin.asked("/hurried")[-1].headers


async def test_a_stranger_does_not_say_how_long_an_origin_has(client: Client, origin: Origin) -> None:
    origin.script("/unhurried", answer(200, {}, b"x"))
    for method in ("GET", "POST"):
        await client.ask("/unhurried", [("Pastebin-Timeout", "5.000")], method=method)
        assert "Pastebin-Timeout" not in origin.asked("/unhurried")[-1].headers
