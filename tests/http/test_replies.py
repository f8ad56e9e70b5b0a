"""Answers of origins as bytes: read the same however they are cut, and refused rather than guessed at."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.errors import BadUpstream
from pastebin.http.replies import Body, Head, parse_head

BODIES = st.lists(st.binary(max_size=40), max_size=5)


def head(*lines: str, method: str = "GET") -> Head:
    return parse_head("\r\n".join(["HTTP/1.1 200 OK", *lines]).encode(), method)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The same bytes in pieces."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(BODIES, st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_chunks_are_put_together_however_they_arrive(chunks: list[bytes], places: list[int], is_extended: bool) -> None:
    extension = b' ; a="b"' if is_extended else b""
    coded = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks if chunk)
    coded += b"0\r\nX-Trailer: 1\r\n\r\n"
    body = Body(head("Transfer-Encoding: chunked"))
    assert b"".join(body.feed(piece) for piece in cut(coded, places)) == b"".join(chunks)
    assert body.done
    with pytest.raises(BadUpstream):
        body.feed(b"more")


@given(st.binary(max_size=100), st.binary(max_size=5), st.lists(st.integers(0, 200), max_size=5))
def test_a_body_has_the_length_that_was_promised(content: bytes, more: bytes, places: list[int]) -> None:
    body = Body(head(f"Content-Length: {len(content)}"))
    with pytest.raises(BadUpstream) if more else contextlib.nullcontext():
        assert b"".join(body.feed(piece) for piece in cut(content + more, places) if piece) == content
    assert body.done or more


@given(st.binary(max_size=300))
def test_nonsense_is_refused_and_nothing_else(data: bytes) -> None:
    for told in (data, b"HTTP/1.1 200 OK\r\n" + data):
        with contextlib.suppress(BadUpstream):
            parse_head(told, "GET")
    with contextlib.suppress(BadUpstream):
        Body(head("Transfer-Encoding: chunked")).feed(data)


@pytest.mark.parametrize(
    ("lines", "method", "framing", "length"),
    [
        (["Content-Length: 5"], "GET", "length", 5),
        (["Content-Length: 5"], "HEAD", "none", 5),
        (["Transfer-Encoding: Chunked"], "GET", "chunked", None),
        ([], "GET", "close", None),
    ],
)
def test_where_a_body_ends(lines: list[str], method: str, framing: str, length: int | None) -> None:
    found = head(*lines, method=method)
    assert (found.framing, found.length) == (framing, length)


@pytest.mark.parametrize(
    ("start", "lines", "keeps"),
    [
        ("HTTP/1.1", ["Content-Length: 0"], True),
        ("HTTP/1.1", ["Content-Length: 0", "Connection: Close"], False),
        ("HTTP/1.1", ["Content-Length: 0", "Connection: x, close"], False),
        ("HTTP/1.1", [], False),
        ("HTTP/1.0", ["Content-Length: 0"], False),
        ("HTTP/1.0", ["Content-Length: 0", "Connection: keep-alive"], True),
    ],
)
def test_whether_another_request_may_follow(start: str, lines: list[str], keeps: bool) -> None:
    assert parse_head("\r\n".join([f"{start} 200 OK", *lines]).encode(), "GET").keeps_alive is keeps


@pytest.mark.parametrize(
    "chunk",
    [b"g\r\n", b"-1\r\n", b" 1\r\na\r\n", b"1\na\n", b"1\r\nab\r\n", b"\r\n", b"1" * 16 + b"\r\n", b"1;" + b"a" * 2000],
)
def test_a_chunk_that_can_be_read_in_two_ways_is_refused(chunk: bytes) -> None:
    with pytest.raises(BadUpstream):
        Body(head("Transfer-Encoding: chunked")).feed(chunk)


def test_trailers_have_a_bound() -> None:
    body = Body(head("Transfer-Encoding: chunked"))
    with pytest.raises(BadUpstream):
        body.feed(b"0\r\n" + b"X-Trailer: aaaaaaaaaaaaaaaaaaa\r\n" * 1000)


def test_text_beyond_ascii_survives() -> None:
    found = parse_head(b"HTTP/1.1 200 sch\xc3\xb6n\r\nX-A: caf\xe9 \t\r\nX-B: caf\xc3\xa9", "GET")
    assert (found.reason, found.headers["X-A"], found.headers["X-B"]) == ("schön", "café", "café")
