"""A schedule of faults is the same for a seed, ends whole, and never takes away what nothing can work without."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.histories.faults import Fault, Ground, schedule

_BOXES = {f"{region}-{kind}": kind for region in ("us", "eu") for kind in ("gateway", "edge", "web", "read", "write")}
_OTHERS = {"worker-1": "worker", "worker-2": "worker", "geodns-1": "geodns", "geodns-2": "geodns"}
_SERVERS = {"primary": "postgres", "replica-1": "postgres", "objects": "objects", "analytics": "analytics"}
GROUND = Ground({**_BOXES, **_OTHERS, **_SERVERS}, ("us", "eu", "common"), has_clocks=True)
_MANY = ("edge", "web", "read", "write", "analytics")
seeds = st.integers(0, 2**32)


@given(seeds, st.integers(20, 600))
def test_a_seed_says_it_all_and_everything_is_over_in_time(seed: int, seconds: int) -> None:
    faults = schedule(seed, seconds, GROUND)
    assert faults == schedule(seed, seconds, GROUND)
    assert all(0 < fault.at < fault.until <= seconds for fault in faults)
    assert faults == sorted(faults, key=lambda fault: fault.at)


@given(seeds)
def test_ten_minutes_break_everything_there_is(seed: int) -> None:
    faults = schedule(seed, 600, GROUND)
    assert {fault.action for fault in faults} == {"kill", "stop", "freeze", "cut", "cut one way", "lag", "skew"}
    assert {GROUND.kinds[fault.target] for fault in faults if fault.action == "kill"} == set(GROUND.kinds.values())


@given(seeds)
def test_of_what_nothing_works_without_one_is_left(seed: int) -> None:
    for one, other in itertools.combinations(schedule(seed, 600, GROUND), 2):
        if one.at < other.until and other.at < one.until:
            assert one.target != other.target or one.other != other.other
            if not one.other and not other.other:
                assert GROUND.kinds[one.target] != GROUND.kinds[other.target] or GROUND.kinds[one.target] in _MANY


def test_a_fault_in_words() -> None:
    assert str(Fault(1.0, 5.0, "cut one way", "us", "eu")) == "   1.0 s, for  5.0 s: cut one way us -> eu"
    assert str(Fault(10.0, 5.0, "lag", "replica-1", amount=2.5)) == "  10.0 s, for  5.0 s: lag replica-1 +2.5 s"
