"""Lifetimes as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.durations import LONGEST, parse_lifetime


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (600, 600),
        ("600", 600),
        ("10m", 600),
        ("2h", 7200),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("1h30m", 5400),
        ("10M", 600),
        ("PT10M", 600),
        ("P1D", 86_400),
        ("P1DT12H", 129_600),
        ("P2W", 1_209_600),
        ("PT1.5H", 5400),
        ("P1Y", 365 * 86_400),
        ("P1M", 30 * 86_400),
    ],
)
def test_what_is_understood(text: str | int, seconds: int) -> None:
    assert parse_lifetime(text) == timedelta(seconds=seconds)


def test_never() -> None:
    assert parse_lifetime("never") is None
    assert parse_lifetime("NEVER") is None


@pytest.mark.parametrize(
    "text",
    ["", "0", "-5", "P", "PT", "P1", "1x", "m10", "1 h", "1e3", "٣", "inf", "nan", "9" * 30, "P1H", "0m", "4000w4000w"],
)
def test_what_is_refused_says_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_lifetime(text)


@given(st.text(max_size=40))
def test_nothing_else_is_ever_raised(text: str) -> None:
    try:
        lifetime = parse_lifetime(text)
    except ValueError:
        return
    assert lifetime is None or timedelta(seconds=1) <= lifetime <= LONGEST


@given(st.integers(1, int(LONGEST.total_seconds())))
def test_seconds_are_exact(seconds: int) -> None:
    assert parse_lifetime(seconds) == timedelta(seconds=seconds)
