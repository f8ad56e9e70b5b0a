from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.negotiation import prefers_html, prefers_json, quality

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
AXIOS = "application/json, text/plain, */*"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"

WORDS = st.text("abcxyz0189!#$&^_+.-", min_size=1, max_size=8)
QUALITIES = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)


@pytest.mark.parametrize(
    "accept",
    [
        CHROME,
        JAVA,
        "text/html",
        "TEXT/HTML",
        "application/xhtml+xml",
        "text/html;charset=utf-8",
        "text/plain;q=0.5, text/html;q=0.5",
        "text/html;q=0.001",
        "garbage, text/html",
        'x/y;z="a,b", text/html',
    ],
)
def test_browsers_get_html(accept: str) -> None:
    assert prefers_html(accept)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "text/*",
        "text/plain",
        AXIOS,
        "text/html;q=0",
        "text/html;q=0.000, */*",
        "text/plain, text/html;q=0.9",
        'x/y;z="text/html"',
        'x/y;z=", text/html, "',
        "text/html;q=much",
        "text/html;q=",
        "texthtml",
        "/",
    ],
)
def test_programs_do_not(accept: str | None) -> None:
    assert not prefers_html(accept)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json", True),
        ("application/problem+json", True),
        ("application/vnd.github+json", True),
        (AXIOS, True),
        ("application/json, text/html", True),
        ("application/json;q=0.9, text/html", False),
        ("application/json;q=0.9, text/plain", False),
        ("application/json;q=0", False),
        ("application/*", False),
        ("*/*", False),
        (CHROME, False),
        (None, False),
    ],
)
def test_json(accept: str | None, expected: bool) -> None:
    assert prefers_json(accept) is expected


# The example of RFC 9110, section 12.5.1.
RFC = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5"


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("text/plain;format=flowed", 1.0),
        ("text/plain", 0.7),
        ("text/html", 0.3),
        ("image/jpeg", 0.5),
        ("text/plain;format=fixed", 0.4),
        ("text/html;level=3", 0.3),
    ],
)
def test_the_most_specific_range_decides(media_type: str, expected: float) -> None:
    assert quality(RFC, media_type) == expected


def test_quality() -> None:
    assert quality(None, "text/html") == 1.0
    assert quality("", "text/html") == 1.0
    assert quality("image/png", "text/html") == 0.0
    assert quality("text/html;q=0, */*", "text/html") == 0.0
    assert quality(JAVA, "text/plain") == 0.2
    assert quality("text/html;q=0.2;level=1, text/html;level=2;Q=0.4", "text/html;level=1") == 0.2
    assert quality("*/html", "text/html") == 1.0


@given(st.lists(st.tuples(WORDS, WORDS, QUALITIES), min_size=1, unique_by=lambda item: item[:2]))
def test_named_types_have_their_quality(items: list[tuple[str, str, float]]) -> None:
    accept = " , ".join(f"{kind}/{subtype} ; q={weight}" for kind, subtype, weight in items)
    for kind, subtype, weight in items:
        assert quality(accept, f"{kind}/{subtype}") == weight


HOSTILE = st.text() | st.text('ab*/;=q01.,"\\ \t') | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(HOSTILE, HOSTILE)
def test_hostile_values_never_raise(accept: str, media_type: str) -> None:
    assert 0.0 <= quality(accept, media_type) <= 1.0
    prefers_html(accept)
    prefers_json(accept)


@given(HOSTILE)
def test_malformed_neighbours_do_no_harm(garbage: str) -> None:
    if '"' not in garbage:  # an open quotation swallows what follows
        assert prefers_html(f"{garbage}, text/html, text/plain;q=0.1") or "plain" in garbage
