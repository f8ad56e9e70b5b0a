from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.services.sampling import Sampler


def test_up_to_the_limit_every_visit_counts_by_itself() -> None:
    sampler = Sampler(100)
    for _ in range(5):
        assert [sampler.due() for _ in range(100)] == [1] * 100
        sampler.tick()


def test_far_beyond_the_limit_few_are_noted() -> None:
    sampler = Sampler(100, random.Random(1).random)  # noqa: S311  (no secret)
    first = [weight for _ in range(10_000) if (weight := sampler.due())]
    assert len(first) < 300
    sampler.tick()
    second = [weight for _ in range(10_000) if (weight := sampler.due())]
    assert len(second) <= 101


def test_when_it_is_quiet_again_every_visit_counts_by_itself() -> None:
    sampler = Sampler(10)
    for _ in range(1000):
        sampler.due()
    sampler.tick()
    sampler.tick()
    assert [sampler.due() for _ in range(10)] == [1] * 10


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=8), st.integers(1, 20))
def test_every_visit_counts_once_on_average(seconds: list[int], limit: int) -> None:
    """Whatever the load did before and does afterwards; to be further off than this has a chance of 1 in 10^6,
    and that is taken once: the loads are the same in each run."""
    rounds = 300
    total = squares = 0.0
    for seed in range(rounds):
        sampler = Sampler(limit, random.Random(seed).random)  # noqa: S311
        weights = 0
        for visits in seconds:
            weights += sum(sampler.due() for _ in range(visits))
            sampler.tick()
        total += weights
        squares += weights**2
    mean = total / rounds
    deviation = (max(squares / rounds - mean**2, 0.0) / rounds) ** 0.5
    assert abs(mean - sum(seconds)) <= 5 * deviation + 1e-9
