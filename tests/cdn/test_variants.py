from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pastebin.cdn.variants import CODINGS, nominated, upstream_encoding, variant_of

PIECES = st.sampled_from([";", "q=1", ";q=0.5", ",", "a", "B", " ", "\t", '"', "\\", "*"])
VALUES = st.text(st.characters(exclude_categories=["Cc"]), max_size=60) | st.lists(PIECES, max_size=12).map("".join)
CODING_LISTS = st.lists(
    st.tuples(st.sampled_from([*CODINGS, "deflate", "x-gzip", "identity"]), st.sampled_from(["", ";q=0", ";q=0.5"])),
    max_size=5,
).map(lambda items: ", ".join(coding + quality for coding, quality in items))


def vary(*lines: str, **headers: str) -> tuple[str, ...] | None:
    return nominated(CIMultiDict([*(("Vary", line) for line in lines), *headers.items()]))


def spoken(name: str, *lines: str) -> str | None:
    ((_, value),) = variant_of((name,), CIMultiDict([(name.title(), line) for line in lines]))
    return value


def encoding(value: str | None) -> str:
    return upstream_encoding(CIMultiDict({} if value is None else {"Accept-Encoding": value}))


def test_names_in_vary() -> None:
    assert vary() == vary("") == vary(" , ") == ()
    assert vary("Foo") == ("foo",)
    assert vary("Foo, Bar,  baz") == vary("bar", "Baz,,FOO, foo") == ("bar", "baz", "foo")


@pytest.mark.parametrize("lines", [["*"], ["*, *"], ["*", "*"], [", *"], ["", "*"], ["*, Foo"], ["Foo, *"], ["Foo,*,"]])
def test_a_star_matches_nobody(lines: list[str]) -> None:
    assert vary(*lines) is None


@pytest.mark.parametrize("line", ["Foo Bar", "Accept-Encoding; User-Agent", '"Foo"', "Fóo", "Foo\0"])
def test_what_names_no_field_matches_nobody(line: str) -> None:
    assert vary(line) is None


def test_what_depends_on_the_address_of_the_client_matches_nobody() -> None:
    assert vary("Accept, X-Forwarded-For") is None


def test_encoded_bodies_depend_on_what_was_accepted() -> None:
    coded = {"Content-Encoding": "gzip"}
    assert vary(**coded) == vary("Accept-Encoding", **coded) == ("accept-encoding",)
    assert vary("Foo", **coded) == ("accept-encoding", "foo")
    assert vary("*", **coded) is None


def test_requests_that_match() -> None:
    names = ("bar", "foo")
    first = CIMultiDict({"Foo": "1", "Bar": "abc", "Other": "2"})
    assert variant_of(names, first) == variant_of(names, CIMultiDict({"bar": "abc", "foo": "1", "Other": "3"}))
    assert variant_of(names, first) == (("bar", "abc"), ("foo", "1"))
    assert variant_of((), first) == ()


def test_absent_is_not_empty() -> None:
    assert spoken("foo") is None
    assert spoken("foo", "") == ""
    assert variant_of(("bar", "foo"), CIMultiDict({"Foo": "1"})) == (("bar", None), ("foo", "1"))


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("foo", ["1,2"], [" 1, 2 "]),
        ("foo", ["1, 2"], ["1", "2"]),
        ("foo", ["1,,2"], ["1 ,\t2,"]),
        ("foo", ["1, ,2"], ["1,2"]),
        ("accept-language", ["en, de"], ["de, en"]),
        ("accept-language", ["en-GB,de;q=0.5"], ["de; Q=0.50 , EN-gb;q=1.0"]),
        ("accept", ["text/html;level=1, */*;q=0.1"], ["*/*;q=0.100,Text/HTML;level=1"]),
        ("accept-encoding", ["gzip, deflate, br"], ["br, gzip"]),
        ("accept-encoding", [], ["identity"]),
        ("accept-encoding", ["deflate"], [""]),
        ("cookie", ["a=1; b=2"], ["a=1", "b=2"]),
    ],
)
def test_equal_meanings_are_equal(name: str, first: list[str], second: list[str]) -> None:
    assert spoken(name, *first) == spoken(name, *second)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("foo", "1", "2"),
        ("foo", "a", "A"),
        ("foo", "1, 2", "2, 1"),
        ("foo", "1 2", "12"),
        ("foo", '"a , b"', '"a,b"'),
        ("foo", '"a\\" , b"', '"a\\",b"'),
        ("user-agent", "A (x, y)", "A (x,y)"),
        ("cookie", "a=1, 2", "a=1,2"),
        ("accept-language", "en, de;q=0.5", "en;q=0.5, de"),
        ("accept", "text/html;v=A", "text/html;v=a"),
        ("accept-encoding", "gzip", "br"),
    ],
)
def test_different_meanings_are_not(name: str, first: str, second: str) -> None:
    assert spoken(name, first) != spoken(name, second)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "identity"),
        ("", "identity"),
        ("deflate, compress", "identity"),
        ("gzip, deflate, br, zstd", "br, gzip, zstd"),
        ("GZIP , X-Gzip", "gzip"),
        ("gzip;q=0, br", "br"),
        ("gzip;q=0.001", "gzip"),
        ("identity;q=0.5, gzip;q=0.3", "identity"),
        ("identity;q=0.5, gzip;q=0.8, br;q=0.1", "gzip"),
        ("identity;q=0, gzip", "gzip, identity;q=0"),
        ("*", "*"),
        ("gzip;q=0.5, *;q=0", "gzip;q=0.5, *;q=0"),
        ("gzip;q=2", "identity"),
    ],
)
def test_what_an_origin_is_asked_for(value: str | None, expected: str) -> None:
    assert encoding(value) == expected


@given(CODING_LISTS)
def test_nobody_gets_a_coding_that_he_refuses(value: str) -> None:
    asked = encoding(value)
    for coding in CODINGS:
        accepts = any(part.strip().removeprefix("x-") in (coding, f"{coding};q=0.5") for part in value.split(","))
        assert accepts or f"{coding}," not in f"{asked},"


@given(VALUES)
@example('"' + "\\" * 40)
@example(", ,")
def test_anything_can_be_normalised_and_stays(value: str) -> None:
    for name in ("foo", "accept", "accept-language", "cookie"):
        once = spoken(name, value)
        assert once is not None
        assert spoken(name, once) == once


def test_long_values_are_told_apart_without_being_kept() -> None:
    first, second = spoken("foo", "a" * 5000), spoken("foo", "a" * 4999 + "b")
    assert first is not None
    assert second is not None
    assert first != second
    assert len(first) < 100
    assert "\0" in first  # which nobody can send
    assert spoken("accept-encoding", ",".join(["gzip"] * 1000)) == "gzip"
    assert spoken("foo", "\udcff" * 600) is not None
