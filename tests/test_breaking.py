from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pastebin.breaking import Circuit


def test_a_circuit_opens_after_failures_in_a_row_and_tries_one_request_at_a_time() -> None:
    circuit = Circuit(1.0)
    for _ in range(5):
        assert circuit.admits(0.0)
        circuit.began(0.0)
        circuit.failed(0.0)
    assert circuit.state(0.5) == "open"
    assert not circuit.admits(0.5)
    assert circuit.state(1.0) == "half-open"
    assert circuit.admits(1.0)
    circuit.began(1.0)
    assert not circuit.admits(1.0)
    circuit.failed(1.0)
    assert not circuit.admits(2.9)  # twice as long
    circuit.began(3.0)
    circuit.given_up()
    assert circuit.admits(3.0)
    circuit.began(3.0)
    circuit.succeeded(3.1)
    assert circuit.state(3.1) == "closed"


def test_an_outlier_is_ejected_though_it_answers_now_and_then() -> None:
    circuit = Circuit(1.0)
    for _ in range(20):
        circuit.failed(0.0)
        circuit.succeeded(0.0)
    circuit.failed(0.0)
    assert circuit.state(0.0) == "open"


@given(st.lists(st.tuples(st.sampled_from(["ask", "well", "bad", "up"]), st.floats(0, 20)), max_size=200))
def test_a_circuit_always_tries_again(steps: list[tuple[str, float]]) -> None:
    circuit, now, under_way = Circuit(1.0), 0.0, 0
    for step, seconds in steps:
        now += seconds
        if step == "ask" and circuit.admits(now):
            circuit.began(now)
            under_way += 1
        elif step != "ask" and under_way:
            under_way -= 1
            if step == "up":
                circuit.given_up()
            else:
                (circuit.succeeded if step == "well" else circuit.failed)(now)
    while under_way:
        circuit.given_up()
        under_way -= 1
    assert circuit.admits(now + 30.0)
