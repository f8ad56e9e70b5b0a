"""Pauses between attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pastebin.backoff import Backoff
from pastebin.cdn import senders
from pastebin.embedded import server
from pastebin.services import shipping
from pastebin.store import s3_failures


@given(st.integers(1, 10**6), st.floats(0.01, 10), st.floats(0.1, 1000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_up_to_a_bound(failures: int, first: float, longest: float, chance: float) -> None:
    backoff = Backoff(first, longest, lambda: chance)
    assert 0 < backoff.pause_seconds(failures) <= longest
    assert backoff.pause_seconds(failures) <= backoff.pause_seconds(failures + 1)


@given(st.integers(1, 10**6))
def test_everybody_returns_within_reason(failures: int) -> None:
    assert 0.05 <= server.BACKOFF.pause_seconds(failures) <= 30
    assert 0.1 <= s3_failures.BACKOFF.pause_seconds(failures) <= 3
    assert 0 < Backoff(shipping.FIRST_PAUSE_SECONDS, 0.1).pause_seconds(failures) <= 0.1
    assert 0 < Backoff(senders.FIRST_PAUSE_SECONDS, 30.0).pause_seconds(failures) <= 30


@given(st.floats(0, 1, exclude_max=True))
def test_no_two_have_to_return_together(chance: float) -> None:
    assert 0.5 <= Backoff(1.0, 9.0, lambda: chance).pause_seconds(1) <= 1.0
