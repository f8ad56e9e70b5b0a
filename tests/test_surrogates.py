"""Surrogate keys: every address of a paste leads to its key, no other address leads to any."""

from __future__ import annotations

import string
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin import slugs, surrogates

_ENDS = string.ascii_letters + string.digits
SLUGS = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(_ENDS),
    st.text(_ENDS + "-_", min_size=1, max_size=62),
    st.sampled_from(_ENDS),
).filter(lambda slug: not slugs.is_reserved(slug))
ADDRESSES = st.sampled_from(
    [
        "/{}",
        "/{}.py",
        "/{}.c++",
        "/{}.tar.gz",
        "/{}.zip",
        "/{}?created",
        "/{}#L1",
        "/{}/raw",
        "/{}/raw?lines=1-2",
        "/{}/raw/a%2Fb.txt",
        "/{}/raw/%FF",
        "/{}/rev/3",
        "/{}/history",
        "/{}/diff/1..2",
        "/{}/manage",
        "/{}/",
        "/raw/{}",
        "/raw/{}.txt",
        "/raw/{}?download",
        "/documents/{}",
        "/embed/{}.js",
        "/diff/{}",
        "/api/v1/pastes/{}",
        "/api/v1/pastes/{}?content=true",
        "/api/v1/pastes/{}/revisions/2",
        "/api/v1/pastes/{}/diff?from=1&to=2",
        "/api/v1/pastes/{}/search?q=/other",
    ]
)


@given(SLUGS)
def test_a_key_is_printable_and_tells_pastes_apart(slug: str) -> None:
    key = surrogates.of_paste(slug)
    assert key == f"p-{slug}"
    assert all(0x21 <= ord(letter) <= 0x7E for letter in key)
    assert key != surrogates.ALL


@given(ADDRESSES, SLUGS)
def test_every_address_of_a_paste_has_its_key(address: str, slug: str) -> None:
    assert surrogates.of_path(address.format(slug)) == {surrogates.of_paste(slug)}


@given(ADDRESSES, SLUGS, st.data())
def test_escapes_are_undone_once(address: str, slug: str, data: st.DataObject) -> None:
    escaped = data.draw(st.sets(st.integers(0, len(slug) - 1), min_size=1))
    written = "".join(f"%{ord(c):02x}" if index in escaped else c for index, c in enumerate(slug))
    assert surrogates.of_path(address.format(written)) == {surrogates.of_paste(slug)}
    assert surrogates.of_path(address.format(written.replace("%", "%25"))) == frozenset()


@given(SLUGS, SLUGS)
def test_a_comparison_has_both_keys(one: str, other: str) -> None:
    assert surrogates.of_path(f"/diff/{one}/{other}") == {surrogates.of_paste(one), surrogates.of_paste(other)}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "//h8Kq2ZtV0aB",
        "*",
        "h8Kq2ZtV0aB",
        "http://p.example/h8Kq2ZtV0aB",
        "/static/style.0123456789abcdef.css",
        "/static/h8Kq2ZtV0aB",
        "/robots.txt",
        "/favicon.ico",
        "/problems/paste-not-found",
        "/api/v1/limits",
        "/api/v1/pastes",
        "/api/v1/pastes/",
        "/api/v1/openapi.json",
        "/RAW/h8Kq2ZtV0aB",
        "/raw",
        "/raw/raw",
        "/diff",
        "/?h8Kq2ZtV0aB",
        "/ab",
        "/-abc",
        "/a%0d%0aX-Evil",
        "/abc%2Fraw",
        "/abc%",
        "/ab%zzc",
        "/%ff%fe%fd",
        "/abc%20all",
        "/abc\r\nall",
        "/äöü",
        "/..%2f..%2fetc",
        "/" + "a" * 65,
        "/" + "a" * 10_000,
    ],
)
def test_other_addresses_have_none(path: str) -> None:
    assert surrogates.of_path(path) == frozenset()


@given(st.text(max_size=80) | st.text("/%.-_2Fabc?# ", max_size=40))
def test_whatever_comes_gives_no_odd_key(text: str) -> None:
    for key in surrogates.of_path(f"/{text}"):
        assert key.startswith("p-")
        assert slugs.is_slug(key.removeprefix("p-"))


@given(ADDRESSES, SLUGS)
def test_the_patterns_cover_every_address(address: str, slug: str) -> None:
    path = address.format(slug)
    assert any(fnmatchcase(path, pattern) for pattern in surrogates.paths_of(slug))
    assert all(pattern.index("*") == len(pattern) - 1 for pattern in surrogates.paths_of(slug))


@given(st.sets(SLUGS))
def test_the_header_holds_the_keys_and_the_one_of_everything(names: set[str]) -> None:
    keys = {surrogates.of_paste(name) for name in names}
    assert surrogates.of_header(surrogates.header(keys)) == keys | {surrogates.ALL}
