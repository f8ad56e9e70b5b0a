"""The gateway before scripted nodes: where requests go, what is said of them, and what is tried again."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pastebin.http.consistency import Tokens
from pastebin.positions import BEYOND
from tests.cdn.origins import NOTHING, Answer, Origin, answer, chunked, raw, scripted
from tests.cluster import until
from tests.dns_server import DnsServer
from tests.gateway.gateways import Gateway, gateway_before, node_at, region
from tests.ports import free_port


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with scripted() as served:
        yield served


@pytest.fixture
async def other() -> AsyncIterator[Origin]:
    async with scripted() as served:
        yield served


@pytest.fixture
async def gateway(origin: Origin, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway_before(tmp_path, {"us": region(node_at(origin.url))}) as running:
        yield running


async def test_a_request_and_its_answer_are_passed_on_as_they_are(gateway: Gateway, origin: Origin) -> None:
    origin.script("/a%2Fb?x=1", answer(203, {"X-Own": "1", "Set-Cookie": "a=b"}, b"here"))
    reply = await gateway.raw(b"GET /a%2Fb?x=1 HTTP/1.1\r\nHost: p.example\r\nConnection: close\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 203 ")
    assert b"X-Own: 1\r\n" in reply
    assert reply.endswith(b"\r\n\r\nhere")


async def test_who_asks_is_said_once(gateway: Gateway, origin: Origin) -> None:
    origin.script("/who", answer())
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "Pastebin-Counted": "1",
        "Pastebin-Min-LSN": "x",
        "Pastebin-Timeout": "9999",
        "Connection": "X-Secret",
        "X-Secret": "1",
    }
    await gateway.get("/who", headers=lies)
    headers = origin.asked("/who")[0].headers
    assert headers.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert headers.getall("Forwarded") == [f'for=127.0.0.1;proto=http;host="{headers["Host"]}"']
    assert headers.getall("Via") == ["1.1 pastebin"]
    assert 0 < float(headers["Pastebin-Timeout"]) <= 60
    assert not {"X-Real-IP", "Pastebin-Counted", "Pastebin-Min-LSN", "X-Secret"} & set(headers)


async def test_who_is_asked_instead_of_an_edge_asks_the_primary(origin: Origin, other: Origin, tmp_path: Path) -> None:
    """Edges are told of changes, the readers behind them are not; a replica of theirs may be behind."""
    origin.script("/slug/raw", answer(503), answer())
    other.script("/slug/raw", answer())
    behind = node_at(other.url, "behind", ("read",))
    async with gateway_before(tmp_path, {"us": region(node_at(origin.url, "edge", ("edge",)), behind)}) as gateway:
        assert (await gateway.get("/slug/raw"))[0] == 200
        tokens = Tokens(b"a secret of thirty-two characters, or more", 60)
    token = other.asked("/slug/raw")[0].headers["Pastebin-Min-LSN"]
    assert tokens.unseal(token, now=0, purpose="min-lsn") == BEYOND
    assert "Pastebin-Min-LSN" not in origin.asked("/slug/raw")[0].headers


async def test_where_there_is_no_edge_any_replica_will_do(origin: Origin, tmp_path: Path) -> None:
    origin.script("/slug/raw", answer())
    async with gateway_before(tmp_path, {"us": region(node_at(origin.url, "reader", ("read",)))}) as gateway:
        await gateway.get("/slug/raw")
    assert "Pastebin-Min-LSN" not in origin.asked("/slug/raw")[0].headers


async def test_a_proxy_that_is_trusted_says_who_asks(origin: Origin, tmp_path: Path) -> None:
    origin.script("/who", answer())
    regions = {"us": region(node_at(origin.url))}
    async with gateway_before(tmp_path, regions, doors__trusted_proxies=["127.0.0.0/8"]) as gateway:
        await gateway.get("/who", headers={"X-Forwarded-For": "6.6.6.6, 192.0.2.7", "X-Forwarded-Proto": "https"})
    headers = origin.asked("/who")[0].headers
    assert headers["X-Forwarded-For"] == "192.0.2.7"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["Forwarded"].startswith("for=192.0.2.7;proto=https;")


async def test_reads_go_to_readers_and_changes_to_writers(origin: Origin, other: Origin, tmp_path: Path) -> None:
    for target in ("/", "/abc", "/raw/abc", "/api/v1/pastes"):
        origin.script(target, answer(body=b"reader"))
        other.script(target, answer(body=b"writer"))
    nodes = [node_at(origin.url, "r", ("web", "read")), node_at(other.url, "w", ("write",))]
    async with gateway_before(tmp_path, {"us": region(*nodes)}) as gateway:
        for target in ("/", "/abc", "/raw/abc"):
            assert await gateway.get(target) == (200, b"reader")
        async with gateway.http.post(f"{gateway.url}/api/v1/pastes", json={}) as response:
            assert await response.read() == b"writer"


async def test_clients_are_served_by_their_region_and_changes_by_that_of_the_primary(
    origin: Origin, other: Origin, tmp_path: Path
) -> None:
    for served, name in ((origin, b"us"), (other, b"eu")):
        served.script("/", answer(body=name))
    regions = {
        "us": region(node_at(origin.url, "us-1"), networks=["10.1.0.0/16"]),
        "eu": region(node_at(other.url, "eu-1"), networks=["10.2.0.0/16"], addresses=["192.0.2.2"]),
    }
    settings = {"doors__trusted_proxies": ["127.0.0.0/8"], "gateway__primary": "us"}
    async with gateway_before(tmp_path, regions, **settings) as gateway:
        assert await gateway.get(headers={"X-Forwarded-For": "10.1.2.3"}) == (200, b"us")
        assert await gateway.get(headers={"X-Forwarded-For": "10.2.2.3"}) == (200, b"eu")
        async with gateway.http.post(f"{gateway.url}/", headers={"X-Forwarded-For": "10.2.2.3"}) as response:
            assert await response.read() == b"us"


async def test_what_a_replica_has_not_seen_is_asked_of_the_region_of_the_primary(
    origin: Origin, other: Origin, tmp_path: Path
) -> None:
    other.script("/abc", answer(503, {"Pastebin-Behind": "1"}, b"behind"))
    origin.script("/abc", answer(body=b"fresh"))
    regions = {
        "us": region(node_at(origin.url, "us-1"), weight=0.0),
        "eu": region(node_at(other.url, "eu-1"), addresses=["192.0.2.2"]),
    }
    async with gateway_before(tmp_path, regions, gateway__primary="us") as gateway:
        assert await gateway.get("/abc") == (200, b"fresh")
        origin.script("/abc", answer(503, {"Pastebin-Behind": "1"}, b"behind"))
        async with gateway.http.get(f"{gateway.url}/abc") as response:
            assert response.status == 503
            assert "Pastebin-Behind" not in response.headers
    assert len(origin.asked("/abc")) == 2


@pytest.mark.parametrize(
    "bad",
    [
        NOTHING,
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        answer(503),
        answer(502),
    ],
)
async def test_a_read_that_failed_is_had_from_another_node(
    origin: Origin, other: Origin, tmp_path: Path, bad: Answer
) -> None:
    origin.script("/abc", bad)
    other.script("/abc", answer(body=b"well"))
    nodes = region(node_at(origin.url, "one"), node_at(other.url, "two"))
    async with gateway_before(tmp_path, {"us": nodes}) as gateway:
        for _ in range(100):  # each by chance, and rather of the one whose connection is open
            assert await gateway.get("/abc") == (200, b"well")
    assert 0 < len(origin.asked("/abc")) < 100


async def test_a_change_is_not_sent_twice(origin: Origin, other: Origin, tmp_path: Path) -> None:
    origin.script("/", NOTHING)
    other.script("/", NOTHING)
    nodes = region(node_at(origin.url, "one"), node_at(other.url, "two"))
    async with gateway_before(tmp_path, {"us": nodes}) as gateway:
        async with gateway.http.post(f"{gateway.url}/", data=b"x") as response:
            assert response.status == 502
    assert len(origin.asked("/") + other.asked("/")) == 1


async def test_a_change_of_which_nothing_was_sent_goes_to_another_node(origin: Origin, tmp_path: Path) -> None:
    origin.script("/", answer(201))
    nodes = region(node_at(f"http://127.0.0.1:{free_port()}", "one"), node_at(origin.url, "two"))
    async with gateway_before(tmp_path, {"us": nodes}) as gateway:
        for _ in range(10):
            async with gateway.http.post(f"{gateway.url}/", data=b"x") as response:
                assert response.status == 201
    assert len(origin.asked("/")) == 10


async def test_what_fails_everywhere_is_told_and_no_more_is_sent_than_the_budget_allows(
    origin: Origin, other: Origin, tmp_path: Path
) -> None:
    for served in (origin, other):
        served.script("/abc", answer(503, {"Retry-After": "7"}, b"no"))
    nodes = region(node_at(origin.url, "one"), node_at(other.url, "two"))
    async with gateway_before(tmp_path, {"us": nodes}, gateway__retry_share=0.0) as gateway:
        for _ in range(10):
            async with gateway.http.get(f"{gateway.url}/abc") as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "7")
    assert len(origin.asked("/abc") + other.asked("/abc")) == 10


async def test_a_slow_read_is_hedged(origin: Origin, tmp_path: Path) -> None:
    never = asyncio.Event()
    origin.script("/abc", answer(body=b"fast"))
    origin.script("/slow", answer(body=b"slow", before=[never]), answer(body=b"fast"))
    nodes = region(node_at(origin.url, "one"), node_at(origin.url, "two"))
    async with gateway_before(tmp_path, {"us": nodes}, gateway__try_timeout_seconds=60) as gateway:
        for _ in range(60):
            await gateway.get("/abc")
        assert await gateway.get("/slow") == (200, b"fast")
        assert await gateway.figure('pastebin_gateway_hedges_total{won="second"}') >= 1
        never.set()


async def test_all_requests_of_an_upload_go_to_one_node(origin: Origin, other: Origin, tmp_path: Path) -> None:
    nodes = region(node_at(origin.url, "one"), node_at(other.url, "two"))
    async with gateway_before(tmp_path, {"us": nodes}) as gateway:
        for number in range(8):
            target = f"/uploads/id{number}"
            for served in (origin, other):
                served.script(target, answer(204))
            for method in ("PATCH", "HEAD", "PATCH", "DELETE"):
                async with gateway.http.request(method, gateway.url + target) as response:
                    assert response.status == 204
            assert {len(origin.asked(target)), len(other.asked(target))} == {0, 4}
    assert origin.requests
    assert other.requests


async def test_an_event_stream_is_passed_on_as_it_comes(gateway: Gateway, origin: Origin) -> None:
    more = asyncio.Event()
    origin.script("/live", chunked({"Content-Type": "text/event-stream"}, b"data: 1\n\n", more, b"data: 2\n\n"))
    async with gateway.http.get(f"{gateway.url}/live") as response:
        assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"
        more.set()
        assert await response.content.read() == b"data: 2\n\n"


async def test_a_download_that_breaks_is_no_whole_one(gateway: Gateway, origin: Origin) -> None:
    origin.script("/abc", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000))
    reply = await gateway.raw(b"GET /abc HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 200000" in reply
    assert len(reply) < 200_000


async def test_a_gateway_without_nodes_that_answer_says_so(tmp_path: Path) -> None:
    async with gateway_before(tmp_path, {"us": region(node_at("http://127.0.0.1:1"))}) as gateway:
        assert (await gateway.get("/"))[0] == 502


PROXY = b"\r\n\r\n\x00\r\nQUIT\n"


async def test_the_proxy_protocol_says_who_asks(origin: Origin, tmp_path: Path) -> None:
    origin.script("/who", answer())
    request = b"GET /who HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"
    four = PROXY + struct.pack(">BBH4s4sHH", 0x21, 0x11, 12, bytes([192, 0, 2, 9]), bytes(4), 1, 2)
    local = PROXY + struct.pack(">BBH", 0x20, 0, 0)
    regions = {"us": region(node_at(origin.url))}
    async with gateway_before(tmp_path, regions, gateway__proxy_protocol=True) as gateway:
        assert (await gateway.raw(four + request)).startswith(b"HTTP/1.1 200 ")
        assert (await gateway.raw(local + request)).startswith(b"HTTP/1.1 200 ")
        assert await gateway.raw(request) == b""
    assert [asked.headers["X-Forwarded-For"] for asked in origin.asked("/who")] == ["192.0.2.9", "127.0.0.1"]


async def test_every_address_of_a_host_name_is_a_node(origin: Origin, tmp_path: Path) -> None:
    origin.script("/", answer(body=b"well"))
    port = origin.url.rpartition(":")[2]
    async with DnsServer.opened() as dns:
        dns.records["nodes.test", "A"] = (1, ["127.0.0.1"])
        dns.records["nodes.test", "AAAA"] = (1, [])
        regions = {"us": region(node_at(f"http://nodes.test:{port}", "pool"))}
        settings = {"gateway__nameserver": dns.address, "gateway__resolve_seconds": 0.5}
        async with gateway_before(tmp_path, regions, gateway__probe_interval_seconds=0.1, **settings) as gateway:
            await until(lambda: is_known(gateway, "pool@127.0.0.1"))
            assert await gateway.get("/") == (200, b"well")
            async with gateway.http.get(f"{gateway.url}/") as response:
                assert response.status == 200
        assert ("nodes.test", "A") in dns.asked


async def is_known(gateway: Gateway, name: str) -> bool:
    return await gateway.figure(f'pastebin_gateway_node_state{{node="{name}"') > 0


async def test_operators_are_told_who_goes_down_and_comes_back(
    origin: Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="pastebin.gateway.fleet")
    regions = {"us": region(node_at(origin.url, "us-1", internal=origin.url))}

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "pastebin.gateway.fleet"]

    async with gateway_before(tmp_path, regions, gateway__probe_interval_seconds=0.1):
        for status, line in ((503, "node us/us-1 is down, was up"), (200, "node us/us-1 is up, was down")):
            origin.script("/readyz", answer(status))
            await until(lambda: told()[-1:] == [line])  # noqa: B023  (awaited here)
    assert len(told()) == 2


async def test_a_region_with_too_much_to_do_passes_clients_on(origin: Origin, other: Origin, tmp_path: Path) -> None:
    """What the nodes say on their internal doors counts, and for clients of one network it is always the same."""
    origin.script("/readyz", answer(200, body=b'{"requests_per_second": 1000}'))
    other.script("/readyz", answer(200, body=b'{"requests_per_second": 1000}'))
    for each in (origin, other):
        for path in range(30):
            each.script(f"/{path}", answer(body=each.url.encode()))
    regions = {
        "us": region(node_at(origin.url, "us", internal=origin.url), networks=["10.0.0.0/8"], capacity=100),
        "eu": region(node_at(other.url, "eu", internal=other.url)),
    }
    settings = {"doors__trusted_proxies": ["127.0.0.0/8"], "gateway__probe_interval_seconds": 0.1}
    async with gateway_before(tmp_path, regions, **settings) as running:
        await origin.when_asked("/readyz", 2)  # then the first round is over
        bodies = [
            [(await running.get(f"/{n}", headers={"X-Forwarded-For": f"10.{n}.0.{last}"}))[1] for n in range(30)]
            for last in (1, 2)
        ]
    assert bodies[0] == bodies[1]
    assert bodies[0].count(other.url.encode()) > 20
    assert bodies[0].count(origin.url.encode()) < 10
