from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin import deadlines
from pastebin.deadlines import DUE, within
from pastebin.errors import DeadlinePassed

seconds = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("text", "told"),
    [("1.500", 1.5), ("0", 0.0), ("60", 60.0), ("", None), ("-1", None), ("1e9", None), ("nan", None), ("1,5", None)],
)
def test_what_is_told(text: str, told: float | None) -> None:
    assert deadlines.read(text) == told


@given(seconds, seconds)
def test_nobody_waits_longer_than_was_told_or_is_believed(told: float, most: float) -> None:
    due = deadlines.due(told, most, 1000.0)
    assert 1000.0 <= due <= 1000.0 + min(told, most)
    assert due >= 1000.0 + min(told, most) * 0.9 - 1e-6


@given(st.floats(0.001, 1e6), st.floats(1.0, 1e6))
def test_a_dependency_gets_less_than_is_left(given_seconds: float, rest: float) -> None:
    reset = DUE.set(time.monotonic() + rest)
    try:
        assert 0 < within(given_seconds) <= given_seconds
        assert within(given_seconds) < rest
    finally:
        DUE.reset(reset)
    assert within(given_seconds) == given_seconds


def test_what_is_late_is_not_begun() -> None:
    reset = DUE.set(time.monotonic() - 1)
    try:
        with pytest.raises(DeadlinePassed):
            within(1.0)
        assert deadlines.left() == 0
    finally:
        DUE.reset(reset)
