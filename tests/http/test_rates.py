"""How often one client may ask."""

from __future__ import annotations

import pytest

from pastebin.errors import RateLimited
from pastebin.http.rates import Rates


def test_rates_come_back_with_time_and_are_bounded() -> None:
    now = 0.0
    rates = Rates(1 / 30, 2, most=3, clock=lambda: now)
    rates.take("192.0.2.1")
    rates.take("192.0.2.1")
    with pytest.raises(RateLimited) as refused:
        rates.take("192.0.2.1")
    assert refused.value.retry_after_seconds == 30
    now += 30
    rates.take("192.0.2.1")
    for number in range(100):
        rates.take(f"198.51.100.{number}")
    assert len(rates._buckets) == 3


def test_what_is_used_up_already_has_to_come_in_first() -> None:
    now = 0.0
    rates = Rates(1 / 10, 2, most=3, clock=lambda: now)
    rates.require("192.0.2.1", "a")
    for _ in range(4):  # all of which were let in before the first was charged
        rates.charge("192.0.2.1", "a")
    rates.require("192.0.2.1", "b")
    with pytest.raises(RateLimited) as refused:
        rates.require("192.0.2.1", "a")
    assert refused.value.retry_after_seconds == 30
    now += 30
    rates.require("192.0.2.1", "a")
    for number in range(100):
        rates.charge(f"198.51.100.{number}")
    assert len(rates._buckets) == 3
