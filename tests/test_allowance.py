"""Token buckets: a burst, then so many a second, and how long to wait."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pastebin.allowance import Allowance, Bucket


def test_an_allowance_gives_a_burst_and_then_so_many_a_second() -> None:
    now = 100.0
    allowance = Allowance(2, 3, clock=lambda: now)
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
    now += 0.5
    assert [allowance.take(), allowance.take()] == [True, False]
    now += 3600
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]


@given(st.floats(0.1, 1000), st.floats(1, 100), st.lists(st.floats(-1, 5), max_size=200))
def test_never_more_than_the_rate_and_one_burst(rate: float, burst: float, pauses: list[float]) -> None:
    """A clock that goes back changes nothing of it."""
    bucket, now, latest, taken = Bucket.full(rate, burst, 0.0), 0.0, 0.0, 0
    for pause in pauses:
        now += pause
        latest = max(latest, now)
        bucket, ok = bucket.take(now)
        taken += ok
        assert taken <= burst + latest * rate + 1e-6


@given(st.floats(0.1, 1000), st.floats(1, 100), st.integers(0, 150))
def test_whoever_waits_as_told_gets_a_token_and_nobody_before(rate: float, burst: float, takes: int) -> None:
    bucket = Bucket.full(rate, burst, 0.0)
    for _ in range(takes):
        bucket, _ = bucket.take(0.0)
    wait = bucket.wait_seconds(0.0)
    assert bucket.take(wait + 1e-6)[1]
    if wait > 1e-3:
        assert not bucket.take(wait - 1e-4 * wait)[1]


def test_nothing_comes_of_nothing() -> None:
    assert Bucket.full(0, 0, 0.0).wait_seconds(10.0) == math.inf
    assert Bucket.full(0, 1, 0.0).take(0.0)[0].wait_seconds(10.0) == math.inf
