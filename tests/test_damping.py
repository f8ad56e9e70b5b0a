"""Damping: single probes do not decide."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pastebin.damping import Damping, State, agreed


def after(probes: str, state: State | None = None) -> list[bool]:
    """The states after each of the probes, written + and -."""
    damping, current, states = Damping(3, 6), state or State(), []
    for probe in probes:
        current = damping.after(current, is_well=probe == "+")
        states.append(current.is_up)
    return states


def test_down_after_three_up_after_six() -> None:
    assert after("--") == [True, True]
    assert after("---") == [True, True, False]
    assert after("+++++", State(False)) == [False] * 5
    assert after("++++++", State(False))[-1]
    assert not after("+++++-+++++", State(False))[-1]


def test_failures_are_forgotten_after_as_many_successes() -> None:
    assert after("--++++++--")[-1]
    assert not after("--+++++-")[-1]


@given(st.integers(1, 200), st.sampled_from(["+-", "++-", "+--", "+++++-"]))
def test_flapping_does_not_flip(times: int, pattern: str) -> None:
    states = after(pattern * times)
    changes = sum(one != other for one, other in pairwise(states))
    assert changes <= 1


def test_most_of_those_who_look_decide() -> None:
    assert agreed(True, [])
    assert not agreed(False, [])
    assert agreed(False, [True])
    assert agreed(False, [True, True])
    assert not agreed(True, [False, False])
