"""The fast road of the gateway and the full one say the same, whatever is asked and whatever nodes answer."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pastebin.gateway import grammar
from tests.gateway.gateways import Gateway
from tests.gateway.roads import LAST, Node, exchanged, heard, said

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


@dataclass(frozen=True, repr=False)
class Scripted:
    pieces: list[bytes]
    head_bytes: int
    ends: bool

    def __repr__(self) -> str:
        return f"{[piece[:500] for piece in self.pieces]}, {self.head_bytes}, {self.ends}"


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
    if framing == "long":
        body = body[:5000]  # so that it comes as one piece: what comes after an answer may be noticed too late
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


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
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
