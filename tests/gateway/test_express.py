"""The fast road of the gateway: the same answers as on the full one, whatever is asked and whatever nodes answer."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pastebin.gateway import grammar
from pastebin.gateway.express import Passage
from tests.gateway.gateways import Gateway, gateway_before, node_at, region

LAST = b"GET /last HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nwell"


@dataclass
class Node:
    """Sends prepared bytes in pieces for `/x`, and is well otherwise."""

    answer: list[bytes] = field(default_factory=lambda: [PLAIN])
    head_bytes: int = len(PLAIN) - 4
    ends: bool = False
    asked: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    hold: asyncio.Event | None = None
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b" /x" not in head:
                    writer.write(PLAIN)
                    continue
                self.asked.append(head)
                if self.hold is not None:
                    await self.hold.wait()
                left = self.head_bytes if head.startswith(b"HEAD") else sum(map(len, self.answer))
                for piece in self.answer:
                    writer.write(piece[:left])
                    left -= len(piece[:left])
                    await asyncio.sleep(0)
                if self.ends:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Node]:
    node = Node()
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    node.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield node


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with listening() as node:
        yield node


@pytest.fixture
async def gateway(node: Node, tmp_path: Path) -> AsyncIterator[Gateway]:
    regions = {"us": region(node_at(node.url))}
    async with gateway_before(tmp_path, regions, doors__trusted_proxies=["127.0.0.0/8"]) as running:
        yield running


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many requests were answered on the fast road, and how many were handed over."""
    counts: Counter[str] = Counter()
    answer, hand_over = Passage._answer, Passage._hand_over

    def answered(self: Passage, heading: grammar.Heading, data: bytes) -> None:
        counts["answered"] += 1
        answer(self, heading, data)

    def handed(self: Passage, data: bytes) -> bool:
        counts["handed"] += 1
        return hand_over(self, data)

    monkeypatch.setattr(Passage, "_answer", answered)
    monkeypatch.setattr(Passage, "_hand_over", handed)
    return counts


FIELDS = [
    b"Accept: text/html, */*",
    b"accept-encoding: gzip",
    b'If-None-Match: "a", W/"b"',
    b"Range: bytes=0-3",
    b"Cookie: a=b; c=d",
    b"Authorization: Bearer x",
    b"X-Forwarded-For: 6.6.6.6, 192.0.2.7",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: evil",
    b"Forwarded: for=6.6.6.6",
    b"X-Real-IP: 6.6.6.6",
    b"Pastebin-Counted: 1",
    b"Pastebin-Min-LSN: x",
    b"Pastebin-Timeout: 9999",
    b"X-Request-Id: one_given-by.the_client",
    b"X-Request-Id: no id",
    b"Connection: keep-alive",
    b"Connection: X-Odd",
    b"Keep-Alive: timeout=5",
    b"Via: 1.1 somebody",
    b"TE: trailers",
    b"Max-Forwards: 3",
    b"x-odd:no space",
    b"X-Odd:   padded  ",
    b"X-Empty:",
    b"X-Tab: a\tb",
    b"X-Far: \xc3\xa4",
    b"Proxy-Authorization: Basic x",
    b"Content-Length: 0",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
]
REQUESTS = st.tuples(
    st.sampled_from([b"GET", b"HEAD"]),
    st.sampled_from([b"/x", b"/x?y=%2F&z", b"/x/raw", b"//x", b"/x/manage", b"/x#y", b"http://p/x"]),
    st.lists(st.sampled_from(FIELDS), max_size=8),
)
TOLD = [
    b"Content-Type: text/html",
    b'ETag: "a"',
    b"Server: nginx",
    b"server: other",
    b"Date: Mon, 22 Jan 2001 23:44:54 GMT",
    b"X-Request-Id: of-the-node",
    b"Set-Cookie: a=b",
    b"Set-Cookie: c=d",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: X-Own",
    b"X-Own: 1",
    b"Keep-Alive: timeout=5",
    b"Pastebin-Behind: 1",
    b"Proxy-Authenticate: Basic",
    b"Trailer: X-Sum",
    b"X-Wide:   v  ",
    b"X-None:",
    b"X-Far: \xe4",
]


@dataclass(frozen=True)
class Scripted:
    pieces: list[bytes]
    head_bytes: int
    ends: bool


@st.composite
def answers(draw: st.DrawFn) -> Scripted:
    status = draw(
        st.sampled_from(
            [b"200 OK"] * 5
            + [
                b"204 No Content",
                b"206 Partial Content",
                b"301 Moved",
                b"304 Not Modified",
                b"404 Not Found",
                b"200 ",
                b"500 Oh",
                b"503 Busy",
                b"205 Reset",
            ]
        )
    )
    body = b"z" * draw(st.sampled_from([0, 7, 5000, 70_000]))
    framing = draw(st.sampled_from(["length"] * 6 + ["chunked", "close", "short", "long", "twice", "bare", "none"]))
    lines = [b"HTTP/1.1 " + status, *draw(st.lists(st.sampled_from(TOLD), max_size=6))]
    if framing in ("length", "short", "long", "twice"):
        lines.append(b"Content-Length: %d" % len(body))
    if framing == "twice":
        lines.append(b"content-length: %d" % (len(body) + 1))
    if framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    if status[:3] in (b"204", b"304"):
        body = b""
    sent = {"short": body[: len(body) // 2], "long": body + b"more", "none": b""}.get(framing, body)
    head = (b"\n" if framing == "bare" else b"\r\n").join(lines) + b"\r\n\r\n"
    if draw(st.integers(0, 9)) == 0:
        head = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + head
    data = head + sent
    cuts = sorted(draw(st.lists(st.integers(0, min(len(data), 400)), max_size=3)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    is_whole = framing in ("length", "chunked")
    return Scripted([piece for piece in pieces if piece] if framing != "long" else [data], len(head), not is_whole)


def said(data: bytes, methods: list[bytes]) -> list[object]:
    """The answers in these bytes, without what differs from one time to the next."""
    found: list[object] = []
    for method in methods:
        while data.startswith(b"HTTP/1.1 1"):
            data = data.partition(b"\r\n\r\n")[2]
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            break
        first, *lines = head.split(b"\r\n")
        fields = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in lines}
        status, size = first[9:12], len(rest)
        if method == b"HEAD" or status in (b"204", b"304"):
            size = 0
        elif fields.get(b"transfer-encoding") == b"chunked":
            size = rest.index(b"0\r\n\r\n") + 5 if b"0\r\n\r\n" in rest else len(rest)
        elif b"content-length" in fields:
            size = int(fields[b"content-length"])
        body, data = rest[:size], rest[size:]
        if size > len(body) or (fields.get(b"transfer-encoding") == b"chunked" and not body.endswith(b"0\r\n\r\n")):
            found.append(("cut", first))
            break
        if b"transfer-encoding" in fields:
            body = b"".join(re.findall(rb"z+", body))
        told = Counter(
            (line.partition(b":")[0].lower(), line.partition(b":")[2].strip())
            for line in lines
            if not line.lower().startswith((b"x-request-id:", b"date:")) or b"given" in line or b"2001" in line
        )
        known = {b"x-request-id", b"date", b"server"} - fields.keys()
        body = re.sub(rb'"request_id":"[^"]*"', b"", body)
        if b'"request_id"' in rest[:size] or b"problem" in fields.get(b"content-type", b""):
            told = Counter({name: count for name, count in told.items() if name[0] != b"content-length"})
        found.append((first, told, known, body))
    return found


def heard(heads: list[bytes]) -> list[object]:
    """What the node was asked, without what differs."""
    told: list[object] = []
    for head in heads:
        first, *lines = head[:-4].split(b"\r\n")
        pairs = [(line.partition(b":")[0].lower(), line.partition(b":")[2].strip()) for line in lines]
        told.append(
            (
                first,
                Counter(pair for pair in pairs if pair[0] != b"pastebin-timeout" and (pair[0] != b"x-request-id"))
                + Counter([pair for pair in pairs if pair[0] == b"x-request-id" and pair[1].startswith(b"one_given")]),
                Counter(name for name, _ in pairs),
            )
        )
    return told


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(REQUESTS, min_size=1, max_size=3), answers(), st.booleans(), st.booleans())
async def test_both_roads_say_the_same(
    gateway: Gateway,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    requests: list[tuple[bytes, bytes, list[bytes]]],
    script: Scripted,
    is_pipelined: bool,
    is_split: bool,
) -> None:
    node.answer, node.head_bytes, node.ends = script.pieces, script.head_bytes, script.ends
    data = [
        b"%b %b HTTP/1.1\r\nHost: p\r\n%b\r\n" % (method, target, b"".join(line + b"\r\n" for line in lines))
        for method, target, lines in requests
    ]
    methods = [method for method, _, _ in requests] + [b"GET"]
    outcomes = []
    for is_fast in (True, False):
        node.asked.clear()
        with monkeypatch.context() as patch:
            if not is_fast:
                patch.setattr(grammar, "start_at", lambda _data: None)
            await gateway.get("/warm")
            pieces = [b"".join([*data, LAST])] if is_pipelined else [*data, LAST]
            if is_split:
                pieces[0] = pieces[0][:20]
                pieces.insert(1, b"".join([*data, LAST])[20:] if is_pipelined else data[0][20:])
            got = await exchanged(gateway, pieces)
        outcomes.append((said(got, methods), heard(node.asked)))
    assert outcomes[0] == outcomes[1]


async def exchanged(gateway: Gateway, pieces: list[bytes]) -> bytes:
    """Everything that comes back for these pieces, sent one after the other, until the connection ends."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    got = b""
    try:
        async with asyncio.timeout(30):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            try:
                while more := await reader.read(65536):
                    got += more
            except ConnectionError:
                pass  # aborted
    finally:
        writer.close()
    return got


async def came(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Return when it is so."""
    async with asyncio.timeout(10):
        while not await is_so():  # noqa: ASYNC110  (of which nobody tells)
            await asyncio.sleep(0.01)


async def answered(gateway: Gateway, data: bytes) -> bytes:
    return await exchanged(gateway, [data])


X = b"GET /x HTTP/1.1\r\nHost: p\r\n\r\n"


async def test_small_answers_take_the_fast_road(gateway: Gateway, node: Node, taken: Counter[str]) -> None:
    await gateway.get("/warm")
    before = await gateway.figure('pastebin_http_request_duration_seconds_count{door="gateway"')
    reply = await answered(gateway, X * 3 + X.replace(b"GET", b"HEAD") + LAST)
    assert reply.count(b"well") == 4
    assert taken == {"answered": 4}
    assert await gateway.figure('pastebin_http_request_duration_seconds_count{door="gateway"') == before + 5
    assert await gateway.figure("pastebin_gateway_answers_total") == 6
    assert await gateway.figure('pastebin_http_requests_in_flight{door="gateway"}') == 0


async def test_an_answer_of_any_other_kind_is_taken_over(gateway: Gateway, node: Node, taken: Counter[str]) -> None:
    await gateway.get("/warm")
    node.answer = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwell\r\n", b"0\r\n\r\n"]
    assert (await answered(gateway, X + LAST)).count(b"well") == 2
    node.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", b"x" * 200_000]
    assert len(await answered(gateway, X + LAST)) > 200_000
    node.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", b"x" * 100_000]
    node.ends = True
    assert b"well" not in await answered(gateway, X + LAST)
    assert taken["handed"] == 3
    assert len(node.asked) == 3


async def test_a_slow_answer_is_waited_for_on_the_full_road(gateway: Gateway, node: Node, taken: Counter[str]) -> None:
    await gateway.get("/warm")
    node.hold = asyncio.Event()
    _, writer = await asyncio.open_connection(*gateway.address)
    reading = asyncio.ensure_future(answered(gateway, X + LAST))

    async def is_late() -> bool:
        return taken["handed"] > 0

    await came(is_late)
    node.hold.set()
    assert (await reading).count(b"well") == 2
    assert len(node.asked) == 1
    writer.close()


async def test_an_idle_connection_that_is_dead_is_not_noticed(node: Node, tmp_path: Path) -> None:
    async with listening() as node, gateway_before(tmp_path, {"us": region(node_at(node.url))}) as gateway:
        node.ends = True  # after every answer to this, which promises to stay
        for _ in range(10):
            assert await gateway.get("/x") == (200, b"well")


async def test_who_goes_away_is_not_waited_for(gateway: Gateway, node: Node, taken: Counter[str]) -> None:
    await gateway.get("/warm")
    node.hold = asyncio.Event()

    async def is_asked() -> bool:
        return bool(node.asked)

    async def is_empty() -> bool:
        return await gateway.figure('pastebin_http_requests_in_flight{door="gateway"}') == 0

    _, writer = await asyncio.open_connection(*gateway.address)
    writer.write(X)
    await came(is_asked)
    # a reset: who only ends his side may still want the answer
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await came(is_empty)
    node.hold.set()
    name = 'pastebin_http_request_duration_seconds_count{door="gateway",method="GET",route="/{path}",status="499"}'
    assert await gateway.figure(name) == 1
    assert (await gateway.get("/x"))[0] == 200


async def test_a_second_node_is_asked_while_the_first_keeps_silent(tmp_path: Path) -> None:
    async with listening() as one, listening() as two:
        nodes = region(node_at(one.url, "one"), node_at(two.url, "two"))
        async with gateway_before(tmp_path, {"us": nodes}, gateway__try_timeout_seconds=60) as gateway:
            for _ in range(120):
                await gateway.get("/x")
            for silent in (one, two):  # whichever is asked first
                silent.hold = asyncio.Event()
                for _ in range(8):
                    assert await gateway.get("/x") == (200, b"well")
                silent.hold.set()
            assert await gateway.figure('pastebin_gateway_hedges_total{won="second"}') >= 1


async def test_who_asks_is_announced_on_both_roads(node: Node, tmp_path: Path, taken: Counter[str]) -> None:
    addresses = bytes([192, 0, 2, 9]) + bytes(4)
    announced = b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack(">BBH8sHH", 0x21, 0x11, 12, addresses, 1, 2)
    async with gateway_before(tmp_path, {"us": region(node_at(node.url))}, gateway__proxy_protocol=True) as gateway:
        for _ in range(2):
            assert (await answered(gateway, announced + X + LAST)).count(b"well") == 2
    assert taken["answered"] >= 1
    assert all(b"X-Forwarded-For: 192.0.2.9\r\n" in head for head in node.asked)


async def test_at_the_end_streams_end_and_downloads_are_finished(node: Node, tmp_path: Path) -> None:
    regions = {"us": region(node_at(node.url))}
    async with gateway_before(tmp_path, regions, node__drain_seconds=0.1) as gateway:
        await end_of(gateway, node)


async def end_of(gateway: Gateway, node: Node) -> None:
    node.answer = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n9\r\ndata: 1\n\n\r\n"
    ]
    stream, closes = await asyncio.open_connection(*gateway.address)
    closes.write(X)
    await stream.readuntil(b"data: 1\n\n\r\n")
    node.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000]
    download, more = await asyncio.open_connection(*gateway.address)
    more.write(X)
    await download.readuntil(b"x" * 1000)
    gateway.stopping.ask()
    async with asyncio.timeout(20):
        assert await stream.read() == b"0\r\n\r\n"
        for served in node.writers:
            served.write(b"x" * 100_000)
        assert len((await download.read()).strip(b"x")) == 0
    closes.close()
    more.close()
