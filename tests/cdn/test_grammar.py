"""What the short cut takes for a request is one for aiohttp, and the same one."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from aiohttp import EMPTY_PAYLOAD
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from hypothesis import example, given
from hypothesis import strategies as st

from pastebin.cdn import grammar
from pastebin.cdn.grammar import Said

SAID = {"Accept": 1, "Accept-Encoding": 2, "Accept-Language": 3, "If-None-Match": 4, "If-Modified-Since": 5}
CHROME = (
    b"GET /Xy12abcdefg/raw?name=a%20b.txt HTTP/1.1\r\nHost: p.example:8080\r\nConnection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"\r\nsec-ch-ua-mobile: ?0\r\n'
    b'sec-ch-ua-platform: "Linux"\r\nUpgrade-Insecure-Requests: 1\r\n'
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
    b"\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
    b'If-None-Match: W/"abc"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n'
)
FIREFOX = (
    b"GET /Xy12abcdefg HTTP/1.1\r\nHost: p.example\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nDNT: 1\r\nSec-GPC: 1\r\n"
    b"Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nPriority: u=0, i\r\n\r\n"
)
CURL = b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"
UNDICI = (
    b"GET /a HTTP/1.1\r\nhost: p.example\r\nconnection: keep-alive\r\naccept: */*\r\naccept-language: *\r\n"
    b"sec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\n\r\n"
)
BARE = b"HEAD /a HTTP/1.1\r\nHost: a\r\n"


def parsed(data: bytes) -> list[tuple[Any, Any]]:
    """What the parser of a door makes of this. Raises HttpProcessingError."""
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, auto_decompress=False, max_msg_queue_size=32)
    messages, upgraded, tail = parser.feed_data(data)
    assert (upgraded, tail) == (False, b"")
    return list(messages)


def read(data: bytes, at: int = 0) -> tuple[bytes, bytes, Said, int] | None:
    """Method, address, what the fields say, and the end of the head that begins there; None if there is none."""
    start = grammar.start_at(data, at)
    fields = grammar.fields_at(data, start.end()) if start is not None else None
    if start is None or fields is None or fields.end() - at > grammar.HEAD_BYTES:
        return None
    return start[1], start[2], cast(Said, fields.groups()), fields.end()


def agrees(head: bytes) -> bool:
    """Whether the grammar accepts these bytes as one head; if so, that aiohttp reads the same request in them."""
    found = read(head)
    if found is None or found[3] != len(head):
        return False
    method, address, said, _ = found
    [(message, payload)] = parsed(head)
    assert payload is EMPTY_PAYLOAD
    assert not message.should_close
    assert not message.upgrade
    assert not message.chunked
    assert (message.method.encode(), message.version) == (method, (1, 1))
    host, target = grammar.place(address)
    assert message.headers.getall("Host") == [host]
    assert (message.path, message.url.raw_path_qs.split("?")[0]) == (target, target.split("?")[0])
    for name, place in SAID.items():
        value = said[place]
        assert message.headers.getall(name, []) == ([] if value is None else [value.decode().strip(" ")]), name
    assert not {"Range", "Cookie", "Authorization", "Cache-Control", "Pragma", "Expect"} & set(message.headers)
    assert grammar.told_apart(("cookie", "accept-encoding", "accept", "x-anything"))
    return True


def test_the_parser_compared_with_is_the_one_in_c() -> None:
    assert HttpRequestParser is not HttpRequestParserPy


@pytest.mark.parametrize("head", [CHROME, FIREFOX, CURL, UNDICI, BARE + b"\r\n"])
async def test_what_clients_send_takes_the_short_cut(head: bytes) -> None:
    assert agrees(head)


@pytest.mark.parametrize(
    "line",
    [
        b"Range: bytes=0-1",
        b"If-Range: x",
        b'If-Match: "x"',
        b"Cookie: a=b",
        b"Authorization: Bearer x",
        b"Cache-Control: no-cache",
        b"Pragma: no-cache",
        b"Expect: 100-continue",
        b"Upgrade: websocket",
        b"Connection: close",
        b"Connection: keep-alive, X-Me",
        b"Content-Length: 0",
        b"Transfer-Encoding: chunked",
        b"TE: trailers",
        b"Max-Forwards: 0",
        b"Pastebin-Consistency: x",
        b"Pastebin-Min-LSN: x",
        b"X-Request-Id: 12345678",
        b"X-Forwarded-Host: b",
        b"Host: b",
        b"User-Agent : x",
        b" folded",
        b"Accept:x",
        b"Accept:\tx",
        b"Accept: x\ty",
        b"Accept: x\x7f",
        b"Accept: x\xe9",
        b"Accept: x\ny",
        b"Accept: x\ry",
        b"",
        b"If-None-Match: *",
        b'If-None-Match: "a", "b"',
        b"If-None-Match: a",
    ],
)
async def test_what_needs_thought_does_not(line: bytes) -> None:
    assert read(BARE + line + b"\r\nUser-Agent: x\r\n\r\n") is None or not line


@pytest.mark.parametrize("name", [*SAID, "User-Agent"])
async def test_a_field_that_decides_is_there_once(name: str) -> None:
    once = b'%b: "x"\r\n' % name.encode()
    assert agrees(BARE + once + b"\r\n")
    for between in (b"", b"Referer: x\r\n"):
        for second in (once, once.lower()):
            assert read(BARE + once + between + second + b"\r\n") is None


@pytest.mark.parametrize(
    "start",
    [
        b"GET  /a HTTP/1.1\r\nHost: a\r\n",
        b"get /a HTTP/1.1\r\nHost: a\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\n",
        b"GET /a HTTP/1.0\r\nHost: a\r\n",
        b"GET //a HTTP/1.1\r\nHost: a\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: a\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n",
        b"GET /a HTTP/1.1\nHost: a\r\n",
        b"GET /a HTTP/1.1\r\nHost: A\r\n",
        b"GET /a HTTP/1.1\r\nHost: \r\n",
        b"GET /a HTTP/1.1\r\nHost: a b\r\n",
        b"GET /a HTTP/1.1\r\nHost: u@a\r\n",
        b"GET /a HTTP/1.1\r\nUser-Agent: x\r\nHost: a\r\n",
        b"GET /a HTTP/1.1\r\n",
        b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n",
    ],
)
async def test_other_first_lines_do_not(start: bytes) -> None:
    assert read(start + b"\r\n") is None


async def test_a_head_of_very_many_lines_does_not() -> None:
    assert agrees(BARE + b"Referer: x\r\n" * 48 + b"\r\n")
    assert read(BARE + b"Referer: x\r\n" * 49 + b"\r\n") is None


async def test_heads_in_a_row_are_found_one_by_one() -> None:
    row = CHROME + CURL + UNDICI
    found, at = [], 0
    while (one := read(row, at)) is not None:
        found.append(row[at : one[3]])
        at = one[3]
    assert found == [CHROME, CURL, UNDICI]


def test_what_is_not_handed_out_cannot_decide() -> None:
    for name in ("user-agent", "accept-language", "referer", "origin", "sec-fetch-site", "host", "sec-ch-ua-arch"):
        assert not grammar.told_apart(("accept", name)), name


_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.encode)
_NAMES = st.sampled_from(
    b"User-Agent|Accept|Accept-Encoding|Accept-Language|Connection|If-None-Match|If-Modified-Since|Referer|Origin|DNT|"
    b"Sec-Fetch-Site|Sec-CH-UA|sec-ch-ua-x|Priority|Upgrade-Insecure-Requests|Sec-GPC|Host|Range|Cookie|Via|Upgrade|"
    b"Content-Length|Transfer-Encoding|Sec-WebSocket-Key1|Sec-Ch-ua|Content-Encoding".split(b"|")
).flatmap(lambda name: st.sampled_from([name, name.lower(), name.title()]))
_VALUES = _TEXT | st.sampled_from([b"keep-alive", b"Keep-Alive", b"close", b'"x"', b'W/"x"', b"", b" x ", b"gzip"])
_LINES = st.tuples(_NAMES, st.just(b": "), _VALUES, st.just(b"\r\n")).map(b"".join)
_TARGETS = st.text(st.sampled_from("/aZ09._~%-!$&'()*+,;=:@?"), max_size=12).map(lambda text: b"/" + text.encode())
_HOSTS = st.text(st.sampled_from("a-z09.:[]_"), min_size=1, max_size=8).map(str.encode)


@st.composite
def _heads(draw: st.DrawFn) -> bytes:
    start = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (draw(st.sampled_from([b"GET", b"HEAD"])), draw(_TARGETS), draw(_HOSTS))
    return start + b"".join(draw(st.lists(_LINES, max_size=5))) + b"\r\n"


@given(_heads())
@example(b"GET /%zz%00/../.?a?b HTTP/1.1\r\nHost: a:b:c]\r\nAccept: \r\nUser-Agent:  \r\n\r\n")
async def test_whatever_it_accepts_aiohttp_reads_alike(head: bytes) -> None:
    agrees(head)


@given(_heads(), st.data())
async def test_also_with_bytes_lost_added_and_changed(head: bytes, data: st.DataObject) -> None:
    broken = bytearray(head)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(broken) - 1))
        put = data.draw(st.binary(max_size=2) | st.sampled_from([b"\r\n", b": ", b"\n", b"\r", b" ", b"\t"]))
        broken[at : at + data.draw(st.integers(0, 2))] = put
    try:
        agrees(bytes(broken))
    except HttpProcessingError as error:
        raise AssertionError(bytes(broken)) from error
