from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pastebin import retrying
from pastebin.retrying import Budget


@given(st.lists(st.booleans(), max_size=400), st.floats(0, 1), st.integers(0, 20))
def test_a_budget_is_never_overdrawn(asked: list[bool], share: float, reserve: int) -> None:
    budget = Budget(share, reserve)
    requests = granted = 0
    for is_request in asked:
        if is_request:
            budget.note()
            requests += 1
        else:
            granted += budget.take()
    assert granted <= reserve + share * requests + 1e-6
    assert share or not granted


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_pauses_are_short(tries: int, jitter: float) -> None:
    assert 0 <= retrying.pause_seconds(tries, jitter) < 0.25
