"""What is remembered, and for how long."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from pastebin.geodns.recent import Recent


def test_what_is_used_outlives_any_number_of_others() -> None:
    recent: Recent[int, str] = Recent(10)
    recent.put(-1, "in use")
    for number in range(1000):
        recent.put(number, "never again")
        if number % 5 == 0:
            assert recent.get(-1) == "in use"
    assert recent.get(999) == "never again"
    assert recent.get(0) is None
    recent.clear()
    assert recent.get(-1) is None


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60))
def test_the_last_ones_are_there_and_it_is_bounded(most: int, steps: list[tuple[int, bool]]) -> None:
    recent: Recent[int, int] = Recent(most)
    used: list[int] = []
    for key, is_put in steps:
        if is_put:
            recent.put(key, -key)
        if is_put or recent.get(key) is not None:
            used = [each for each in used if each != key] + [key]
    remembered = [key for key in range(21) if deepcopy(recent).get(key) is not None]
    assert set(used[-most:]) <= set(remembered) <= set(used)
    assert len(remembered) <= 2 * most
