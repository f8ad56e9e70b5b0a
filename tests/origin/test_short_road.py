"""Two roads, one answer: what the short road says of a create is what the full road says, to the byte."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pastebin.http import protocol
from tests.nodes import Node, directory, started

_ORDINARY = ("Host: p.example", "User-Agent: test", "Accept: */*")
# What is another one in every answer: moments, tokens, slugs, ids.
_VARIES = re.compile(
    rb"((?:Date|Pastebin-Token|Pastebin-Consistency|Pastebin-Expires|Set-Cookie): )[^\r]*"
    rb'|("(?:token|created_at|revised_at|expires_at)":)"[^"]*"|\b[0-9a-f]{16}\b'
)
_SLUG = re.compile(rb"(?:p\.example|Location: )/([A-Za-z0-9]{11,22})\b")


_ROLES = {"origin": ["web", "read", "write"], "edge": ["web", "read", "write", "cdn-worker", "edge"]}


@pytest_asyncio.fixture(loop_scope="session", scope="module", params=_ROLES)
async def node(session_database_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Node]:
    settings = {"limits__max_paste_bytes": 70_000, "node__roles": _ROLES[request.param]}
    async with directory() as path, started(session_database_dsn, path, **settings) as running:
        yield running


class Roads:
    """Sends the same bytes on both roads."""

    def __init__(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node = node
        self.monkeypatch = monkeypatch
        self.short = 0

    async def both(self, sent: bytes) -> tuple[bytes, bytes]:
        with self.monkeypatch.context() as patch:
            patch.setattr(protocol.Connection, "is_between", False)
            full = await self._exchange(sent)
        begun: list[bool] = []
        real = protocol.Connection._finish_short

        def counted(self: protocol.Connection, answer: bytes, stays: bool) -> None:
            begun.append(True)
            real(self, answer, stays)

        with self.monkeypatch.context() as patch:
            patch.setattr(protocol.Connection, "_finish_short", counted)
            short = await self._exchange(sent)
        self.short += len(begun)
        return _comparable(short), _comparable(full)

    async def _exchange(self, sent: bytes) -> bytes:
        host, port = self.node.running.doors["origin"]
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(sent)
            writer.write_eof()
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()


def _comparable(answer: bytes) -> bytes:
    if slug := _SLUG.search(answer):
        answer = answer.replace(slug[1], b"-" * len(slug[1]))
    return _VARIES.sub(rb"\1\2-", answer)


@pytest.fixture
def roads(node: Node, monkeypatch: pytest.MonkeyPatch) -> Roads:
    return Roads(node, monkeypatch)


def post(path: str, body: bytes, *headers: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", *_ORDINARY, *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


JSON = "Content-Type: application/json"

TAKEN = {
    "text": post("/api/v1/pastes", b"hello\n"),
    "from a terminal": post("/", b"hello\n"),
    "curl's own type": post("/", b"a=b", "Content-Type: application/x-www-form-urlencoded"),
    "JSON wanted": post("/", b"hello\n", "Accept-Language: en", "Content-Type: text/plain; charset=utf-8"),
    "JSON given": post("/api/v1/pastes", b'{"content":"x","title":"t","name":"a.py","expires_in":"1h"}', JSON),
    "id given": post("/api/v1/pastes", b"hello\n", "X-Request-Id: given-by-a-proxy"),
    "behind a proxy": post("/", b"x", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "Via: 1.1 p"),
    "kept": post("/", b"x", "Connection: Keep-Alive"),
}
NOT_TAKEN = {
    "unknown member": post("/api/v1/pastes", b'{"content":"x","burns":1}', JSON),
    "no such syntax": post("/api/v1/pastes", b'{"content":"x","syntax":"klingon"}', JSON),
    "empty": post("/api/v1/pastes", b""),
    "protected": post("/api/v1/pastes", b'{"content":"x","burn":true,"password":"secret"}', JSON),
    "query": post("/?title=t", b"hello\n"),
    "binary": post("/", b"\0\1\2"),
    "two headers of a name": post("/", b"hello\n", "Accept: text/html"),
    "for a page": post("/", b"").replace(b"*/*", b"text/html"),
    "form": post("/", b"--x--\r\n", "Content-Type: multipart/form-data; boundary=x"),
    "closing": post("/", b"x", "Connection: close"),
    "key": post("/", b"x", "Idempotency-Key: 0123456789abcdef0"),
    "no JSON": post("/api/v1/pastes", b"{", JSON),
    "two files": post("/api/v1/pastes", b'{"files":[{"content":"x"},{"content":"y"}]}', JSON),
    "too large": post("/", b"x" * 70_001),
    "encoded": post("/", b"x", "Content-Encoding: gzip"),
    "two hosts": post("/", b"x", "Host: q.example"),
    "host with a path": post("/", b"x").replace(b"p.example", b"p.example/q"),
    "incomplete": post("/", b"x")[:-1],
    "a second one": post("/", b"x")
    + b"DELETE /api/v1/pastes/x HTTP/1.1\r\nHost: p.example\r\nConnection: close\r\n\r\n",
    "chunked": post("/", b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n",
    "old": post("/", b"x").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "expecting": post("/", b"x", "Expect: 100-continue"),
    "another path": post("/api/v1/pastes/", b"x"),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_what_is_plain_takes_the_short_road(roads: Roads, name: str) -> None:
    for _ in range(5):
        short, full = await roads.both(TAKEN[name])
        assert short == full
        if roads.short:  # else the machine stood still, and what is known of the disk's room grew too old
            break
    assert roads.short == 1


@pytest.mark.parametrize("name", NOT_TAKEN)
async def test_everything_else_takes_the_full_one(roads: Roads, name: str) -> None:
    short, full = await roads.both(NOT_TAKEN[name])
    assert short == full
    assert roads.short == 0


_TEXT = st.text(max_size=30)
_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "content": _TEXT | st.none(),
        "title": _TEXT | st.integers(),
        "name": _TEXT,
        "syntax": st.sampled_from(["python", "klingon", ""]),
        "visibility": st.sampled_from(["public", "private", "secret"]),
        "expires_in": st.sampled_from([60, "1h", "never", "soon", -1]),
        "expires_at": st.sampled_from(["2001-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "today"]),
        "max_reads": st.integers(-1, 3),
        "burn": st.booleans(),
        "parent": st.sampled_from(["abc", "-", None]),
        "slug": st.sampled_from(["api", "a b"]),
        "files": st.just([{"content": "x"}]),
    },
)
_BODIES = st.one_of(
    _TEXT.map(str.encode),
    st.binary(max_size=40),
    _OPTIONS.map(json.dumps).map(str.encode),
    st.sampled_from([b"{}", b"[]", b'{"content":"a","content":"b"}', b'{"content":"\\ud800"}', b"\xef\xbb\xbf{}"]),
)
_HEADER = st.sampled_from(
    [
        *(JSON, "Content-Type: Application/JSON; charset=utf-8", "Content-Type: text/plain", "Content-Type: ;"),
        *("Content-Type: application/x-www-form-urlencoded", "Content-Type:", "Content-Type: multipart/form-data"),
        *("X-Request-Id: 12345678", "X-Request-Id: short", "X-Request-Id: not/one/at/all", "X-Request-Id:"),
        *("Accept-Encoding: gzip, br", "Accept-Language: \xe4", "Cookie: owner=x", "Sec-Fetch-Site: none"),
        *("Connection: keep-alive", "connection: KEEP-ALIVE", "Connection: close", "Connection: x-request-id"),
        *("Pastebin-Consistency: forged", "Idempotency-Key: short", "Expect: 100-continue", "Transfer-Encoding: x"),
        *("Via : 1", "Via: a\tb", " folded", "no colon", "X-Forwarded-Host: a, b", "Content-Length: 3", "TE: trailers"),
    ]
)
_PATHS = st.sampled_from(["/", "/api/v1/pastes", "/api/v1/pastes?title=t", "//", "/%2F", "/api/v1/Pastes", "/?"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    path=_PATHS,
    headers=st.lists(_HEADER, max_size=3),
    body=_BODIES,
    accept=st.sampled_from(["*/*", "", "text/html", "application/json, text/plain;q=0.5"]),
)
async def test_nothing_tells_the_roads_apart(
    roads: Roads, path: str, headers: list[str], body: bytes, accept: str
) -> None:
    sent = post(path, body, *headers).replace(b"Accept: */*", f"Accept: {accept}".encode())
    short, full = await roads.both(sent)
    assert short == full
