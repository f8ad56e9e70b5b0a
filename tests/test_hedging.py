from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from pastebin.hedging import Latencies


@given(st.lists(st.floats(0.0002, 50), min_size=50, max_size=300))
def test_the_p95_is_right_to_a_tenth(values: list[float]) -> None:
    latencies = Latencies()
    for value in values:
        latencies.observe(value)
    exact = sorted(values)[max(math.ceil(len(values) * 0.95) - 1, 0)]
    fresh = latencies._quantile(0.95)
    assert exact * 0.99 <= fresh <= exact * 1.11
    assert latencies.p95() is not None
