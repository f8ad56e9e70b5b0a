"""Two roads, one answer: what the short cut says is what the full road says to the same request."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pastebin.cdn.grammar import Said
from pastebin.cdn.prepared import Prepared, Written
from tests.cdn import origins
from tests.cdn.edges import edge_before
from tests.cdn.origins import Answer, Origin, scripted

# Nobody knows this field, so it changes nothing; but it is not in the grammar of the short cut.
DETOUR = "X-Detour: 1"
TAG = '"tag"'
_BEFORE = origins.now(-60)


def targets() -> dict[str, Answer]:
    """What the origin has: made when it is asked for, because answers have dates, and are fresh for ten minutes."""
    return {
        "/plain": origins.answer(headers={"Cache-Control": "max-age=600", "Content-Type": "text/plain"}, body=b"plain"),
        "/tagged": origins.answer(
            headers={"Cache-Control": "max-age=600", "ETag": TAG, "Last-Modified": _BEFORE, "Content-Location": "/t"},
            body=b"tagged",
        ),
        "/weak": origins.answer(headers={"Cache-Control": "max-age=600", "ETag": f"W/{TAG}", "Age": "7"}, body=b"weak"),
        "/varying": origins.answer(
            headers={"CDN-Cache-Control": "max-age=600", "Vary": "Accept, Accept-Encoding", "ETag": TAG},
            body=b"varying",
        ),
        "/cached": origins.answer(
            headers=[
                ("Cache-Control", "max-age=600"),
                ("Cache-Status", "nearer; fwd=miss"),
                ("Surrogate-Key", "a"),
                ("Set-Cookie", "a=b"),
                ("Cache-Control", "public"),
                ("Link", "</a>"),
                ("Link", "</b>"),
                ("X-Request-Id", "of-the-origin"),
                ("Server", "other"),
            ],
            body=b"cached",
        ),
        "/empty": origins.answer(headers={"Cache-Control": "max-age=600", "ETag": TAG}),
        "/nothing": origins.answer(204, headers={"Cache-Control": "max-age=600", "ETag": TAG}),
        "/gone": origins.answer(410, headers={"Cache-Control": "max-age=600", "ETag": TAG}, body=b"gone"),
        "/moved": origins.answer(301, headers={"Cache-Control": "max-age=600", "Location": "/plain"}, body=b"moved"),
        "/strange": origins.answer(299, headers={"Cache-Control": "max-age=600", "ETag": TAG}, body=b"strange"),
        "/large": origins.answer(headers={"Cache-Control": "max-age=600", "ETag": TAG}, body=bytes(range(256)) * 600),
        "/disk": origins.answer(headers={"Cache-Control": "max-age=600", "ETag": TAG}, body=bytes(range(256)) * 1200),
        "/odd": origins.answer(headers={"Cache-Control": "max-age=600", "X-Odd": "caf\u00e9"}, body=b"odd"),
        "/asks": origins.answer(headers={"Cache-Control": "no-cache", "ETag": TAG}, body=b"asks"),
        "/secret": origins.answer(headers={"Cache-Control": "private"}, body=b"secret"),
        "/browser": origins.answer(headers={"Cache-Control": "max-age=600", "Vary": "User-Agent"}, body=b"browser"),
    }


NAMES = sorted(targets())
UNKEPT = {"/asks", "/secret"}  # the full road learns something from each
LINES = [
    "Accept: */*",
    "Accept: text/html",
    "Accept-Encoding: gzip, br",
    "Accept-Encoding: gzip;q=0",
    "User-Agent: a browser",
    "Accept-Language: en",
    "Connection: keep-alive",
    "sec-ch-ua-mobile: ?0",
    f"If-None-Match: {TAG}",
    f"If-None-Match: W/{TAG}",
    'If-None-Match: "other"',
    f'If-None-Match: "other", {TAG}',
    "If-None-Match: *",
    f"If-Modified-Since: {_BEFORE}",
    "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    "If-Modified-Since: yesterday",
    "Range: bytes=1-2",
    "Range: bytes=9999999-",
    f"If-Range: {TAG}",
    "Cache-Control: only-if-cached",
    "Cookie: a=b",
]


@dataclass
class Roads:
    """An edge, and who has answered: every entry is a short answer."""

    host: str
    port: int
    origin: Origin = field(repr=False)
    short: list[bytes] = field(repr=False)

    async def ask(self, *requests: tuple[str, str, list[str]]) -> list[tuple[int, list[tuple[str, str]], bytes]]:
        """The answers to requests that are sent in one piece: status, headers in lower case, body."""
        sent = "".join(
            "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {self.host}", *lines, "", ""])
            for method, target, lines in requests
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(60):
                writer.write(sent.encode())
                return [await _answer(reader, method) for method, _, _ in requests]
        finally:
            writer.close()

    async def store(self, target: str, lines: list[str]) -> None:
        """Have the variant that these lines select stored."""
        selecting = [line for line in lines if line.startswith(("Accept", "User-Agent", "X-"))]
        async with asyncio.timeout(60):
            while True:
                [(_, headers, _)] = await self.ask(("GET", target, [*selecting, DETOUR]))
                if "; hit" in dict(headers)["cache-status"]:
                    return


@pytest.fixture(scope="module")
async def roads() -> AsyncIterator[Roads]:
    short: list[bytes] = []
    real = Prepared.answer

    def watched(self: Prepared, method: bytes, address: bytes, said: Said, now: float) -> Written | None:
        answer = real(self, method, address, said, now)
        if answer is not None:
            short.append(address)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prepared, "answer", watched)
        async with scripted() as origin:
            for target, answer in targets().items():
                origin.script(target, answer)
            async with edge_before(origin.url) as client:
                host, port = client.url.removeprefix("http://").split(":")
                yield Roads(f"{host}:{port}", int(port), origin, short)


_REQUEST = st.tuples(
    st.sampled_from(["GET", "GET", "HEAD"]),
    st.sampled_from([name for name in NAMES if name not in UNKEPT]),
    st.lists(st.sampled_from(LINES), max_size=4, unique=True),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(st.lists(_REQUEST, min_size=1, max_size=4))
async def test_both_roads_give_the_same_answers(roads: Roads, requests: list[tuple[str, str, list[str]]]) -> None:
    detours = [(method, target, [*lines, DETOUR]) for method, target, lines in requests]
    for _, target, lines in detours:
        await roads.store(target, lines)
    before, began = len(roads.short), time.time()
    full = await roads.ask(*detours)
    assert len(roads.short) == before
    short = await roads.ask(*requests)
    passed = math.ceil(time.time() - began)
    for request, one, other in zip(requests, short, full, strict=True):
        assert _comparable(one, passed) == _comparable(other, passed), request


@pytest.mark.parametrize(
    ("target", "lines", "status"),
    [
        ("/plain", [], 200),
        ("/plain", ["User-Agent: x", 'If-None-Match: "other"'], 200),
        ("/tagged", [f"If-None-Match: W/{TAG}"], 304),
        ("/weak", [f"If-None-Match: {TAG}", "If-Modified-Since: yesterday"], 304),
        ("/varying", ["Accept: text/html", "Accept-Encoding: gzip"], 200),
        ("/cached", [], 200),
        ("/empty", [], 200),
        ("/nothing", [], 204),
        ("/gone", [f"If-None-Match: {TAG}"], 410),
        ("/moved", [], 301),
        ("/strange", [], 299),
        ("/large", [], 200),
    ],
)
async def test_what_is_in_memory_takes_the_short_one(roads: Roads, target: str, lines: list[str], status: int) -> None:
    for method in ("GET", "HEAD"):
        await roads.store(target, lines)
        before = len(roads.short)
        [answer] = await roads.ask((method, target, lines))
        assert answer[0] == status
        assert len(roads.short) == before + 1
        assert ("server", "pastebin") in answer[1]
        assert not {"surrogate-key", "x-origin-id"} & {name for name, _ in answer[1]}


@pytest.mark.parametrize("target", ["/disk", "/odd", "/asks", "/secret", "/browser", "/unknown"])
async def test_what_needs_more_thought_takes_the_full_one(roads: Roads, target: str) -> None:
    before = len(roads.short)
    for _ in range(3):
        await roads.ask(("GET", target, []))
    assert len(roads.short) == before


async def test_what_was_changed_through_the_edge_is_asked_for_again(roads: Roads) -> None:
    roads.origin.script("/changing", targets()["/plain"])
    for _ in range(2):
        await roads.ask(("GET", "/changing", []))
    before = len(roads.short)
    assert (await roads.ask(("GET", "/changing", [])))[0][2] == b"plain"
    assert len(roads.short) == before + 1
    roads.origin.script("/changing", origins.answer(204), targets()["/tagged"])
    await roads.ask(("DELETE", "/changing", []))
    assert (await roads.ask(("GET", "/changing", [])))[0][2] == b"tagged"


def _comparable(answer: tuple[int, list[tuple[str, str]], bytes], passed: int) -> object:
    """Without the id, which is another one for each answer; ages and what is left differ by what `passed` between."""
    status, headers, body = answer
    # a refusal is made anew each time, so its Date is that of the moment
    left_out = {"x-request-id", "date"} if status == 416 else {"x-request-id"}
    kept = sorted((name, value) for name, value in headers if name not in left_out)
    own_id = dict(headers)["x-request-id"].encode()
    return status, [(name, _Seconds(value, passed)) for name, value in kept], body.replace(own_id, b"")


@dataclass(frozen=True, eq=False)
class _Seconds:
    """A value, equal to one that differs by no more than `passed` in a number of seconds."""

    value: str
    passed: int

    _NUMBER = re.compile(r"(?<=ttl=)-?[0-9]+|\A[0-9]+\Z")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Seconds):
            return NotImplemented
        mine, others = self._NUMBER.findall(self.value), self._NUMBER.findall(other.value)
        same = self._NUMBER.sub("", self.value) == self._NUMBER.sub("", other.value)
        return same and all(abs(int(one) - int(two)) <= self.passed for one, two in zip(mine, others, strict=True))


async def _answer(reader: asyncio.StreamReader, method: str) -> tuple[int, list[tuple[str, str]], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("utf-8", "surrogateescape")
    first, *lines = head.split("\r\n")
    headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    status, found = int(first.split()[1]), dict(headers)
    body = b""
    if method != "HEAD" and status not in (204, 304):
        if found.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(int(found["content-length"]))
    return status, headers, body
