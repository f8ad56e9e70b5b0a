"""Which coding a request gets, and that codings are representations of their own."""

from __future__ import annotations

import gzip as reference

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pastebin.http.compression import LEAST_BYTES, PLAIN, Compression, Variant, gzip, prefers_gzip

ON, OFF = Compression(is_on=True), Compression(is_on=False)
TEXT = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("GZip", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("gzip ; q=0.001", True),
        ("gzip; Q=0.5", True),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("identity;q=0", False),
        ("identity;q=0, gzip", True),
        ("gzip;q=0.2, identity;q=0", True),
        ("gzip;q=0.2, identity;q=0.5", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip, identity", True),
        ("identity;q=0.5, *;q=0.1", False),
        ("identity;q=0.5, *;q=0.7", True),
        (",, gzip ,", True),
        ("gzip;q=1.5", True),
        ("gzip;q=high", False),
        ("gzip;q=0.1234", False),
        ("g zip", False),
        ("gzip;level=9", False),
    ],
)
def test_accept_encoding(header: str, expected: bool) -> None:
    assert prefers_gzip(header) is expected


@given(st.text(max_size=60))
def test_rubbish_is_read_without_harm(header: str) -> None:
    assert prefers_gzip(header) in (True, False)


def chosen(media_type: str = TEXT, size: int | None = 5000, *, by: Compression = ON, **headers: str) -> Variant:
    given_headers = {"Accept-Encoding": "gzip", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return by.variant(CIMultiDict(given_headers), media_type, size)


@pytest.mark.parametrize(
    "media_type",
    [
        TEXT,
        "text/html; charset=utf-8",
        "text/css",
        "application/json",
        "application/problem+json",
        "image/svg+xml",
        "text/javascript; charset=utf-8",
    ],
)
def test_text_is_coded(media_type: str) -> None:
    assert chosen(media_type) == Variant(is_coded=True, is_negotiated=True)
    assert chosen(media_type, None).is_coded
    assert chosen(media_type, by=OFF) == PLAIN
    assert chosen(media_type, LEAST_BYTES).is_coded
    assert chosen(media_type, LEAST_BYTES - 1) == PLAIN


@pytest.mark.parametrize(
    "media_type", ["image/png", "image/webp", "application/octet-stream", "application/zip", "font/woff2", ""]
)
def test_what_is_compressed_already_is_left_alone(media_type: str) -> None:
    assert chosen(media_type) == PLAIN


def test_ranges_are_ranges_of_the_plain_bytes() -> None:
    assert chosen(Range="bytes=0-9") == Variant(is_coded=False, is_negotiated=True)


def test_lines_of_the_header_belong_together() -> None:
    headers = CIMultiDict([("Accept-Encoding", "br"), ("Accept-Encoding", "gzip;q=0.5")])
    assert ON.variant(headers, TEXT, 5000).is_coded
    assert not ON.variant(CIMultiDict(), TEXT, 5000).is_coded


@pytest.mark.parametrize("plain", ['"abc"', 'W/"abc"', '"abc-L1-2"'])
def test_each_coding_has_a_tag_of_its_own(plain: str) -> None:
    coded = Variant(is_coded=True, is_negotiated=True)
    assert PLAIN.etag(plain) == plain
    assert coded.etag(plain) != plain
    assert coded.etag(plain).startswith(plain[:-1] + "-gzip")
    assert coded.etag(plain).endswith('"')


def test_vary_names_what_counted() -> None:
    assert PLAIN.vary() == {}
    assert PLAIN.vary(["Accept"]) == {"Vary": "Accept"}
    assert Variant(is_negotiated=True).vary(["Accept"]) == {"Vary": "Accept, Accept-Encoding"}


@given(st.binary(max_size=40_000))
def test_the_bytes_come_back_and_are_the_same_each_time(body: bytes) -> None:
    assert reference.decompress(gzip(body)) == body
    assert gzip(body) == gzip(body)


@pytest.mark.parametrize("size", [0, 10, 5000, 100_000])
async def test_bodies_are_encoded_whatever_their_size(size: int) -> None:
    body = b"some text\n" * (size // 10)
    assert await ON.encode(body, PLAIN) is body
    assert reference.decompress(await ON.encode(body, Variant(is_coded=True, is_negotiated=True))) == body
