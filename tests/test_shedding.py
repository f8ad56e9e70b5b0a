"""Shares: a region is relieved of what is too much, of nothing more, and not every other minute."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.shedding import Share, Shedding, Told, told

CAPACITY = 100


def run(demand: Callable[[float], float], *, lag: float = 30.0, every: float = 5.0, minutes: int = 30) -> list[Share]:
    """What becomes of a region whose clients follow the answers within `lag`, looked at for so long."""
    shedding, share, shares = Shedding(lag), Share(), []
    followed = deque([1.0] * int(lag // every), maxlen=max(int(lag // every), 1))
    loads: deque[float] = deque(maxlen=max(int(10 // every), 1))
    for step in range(int(minutes * 60 // every)):
        now = step * every
        effective = followed[0] if followed else share.part
        loads.append(demand(now) * effective)
        share = shedding.after(share, sum(loads) / len(loads), CAPACITY, now)
        followed.append(share.part)
        shares.append(share)
    return shares


@pytest.mark.parametrize("lag", [0.0, 30.0, 300.0])
@pytest.mark.parametrize("demand", [50.0, 95.0, 130.0, 400.0, 5000.0])
def test_what_is_too_much_goes_and_then_nothing_moves(demand: float, lag: float) -> None:
    shares = run(lambda _now: demand, lag=lag, minutes=60)
    assert shares[-1].part * demand <= CAPACITY
    assert shares[-1].part == 1.0 or shares[-1].part * demand >= 0.75 * CAPACITY
    assert len({share.part for share in shares}) <= 4
    assert len({share.part for share in shares[-100:]}) == 1


def test_figures_that_tremble_move_nobody() -> None:
    chance = random.Random(3)  # noqa: S311  (no secret)
    shares = run(lambda _now: 200 * chance.uniform(0.9, 1.1), minutes=120)
    assert len({share.part for share in shares}) <= 3
    near = run(lambda _now: CAPACITY * chance.uniform(0.85, 0.99), minutes=120)
    assert {share.part for share in near} == {1.0}


def test_clients_come_back_when_there_is_room_again() -> None:
    shares = run(lambda now: 400.0 if now < 600 else 60.0)
    assert shares[100].part < 0.25
    assert shares[-1].part == 1.0
    back = [share.part for share in shares[120:]]
    assert back == sorted(back)


@given(st.floats(0, 1), st.floats(0, 1e12), st.integers(0, 1000), st.floats(0, 1e9), st.floats(0, 100))
def test_a_share_stays_one(part: float, load: float, capacity: int, now: float, lag: float) -> None:
    share = Shedding(lag).after(Share(max(part, 0.01)), load, capacity, now)
    assert 0 < share.part <= 1
    assert share.part == 1 or capacity


@pytest.mark.parametrize(
    ("body", "load"),
    [
        (b'{"requests_per_second": 12.5, "status": "ready"}', 12.5),
        (b'{"status": "ready"}', 0.0),
        (b"ok", 0.0),
        (b"[" * 100_000, 0.0),
        (b'{"requests_per_second": -1}', 0.0),
        (b'{"requests_per_second": 1e300}', 0.0),
        (b'{"requests_per_second": "x"}', 0.0),
        (b"\xff", 0.0),
    ],
)
def test_a_probe_may_tell_of_requests(body: bytes, load: float) -> None:
    assert told(body) == Told(load)


def test_a_probe_may_tell_which_secret_a_node_has() -> None:
    assert told(b'{"requests_per_second": 2, "secret": "0123"}') == Told(2.0, "0123")
    assert told(b'{"requests_per_second": -1, "secret": "0123"}') == Told(0.0, "0123")
    assert told(b'{"requests_per_second": 2, "secret": 3}') == Told()
