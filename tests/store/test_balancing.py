from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.positions import Position
from pastebin.store.balancing import (
    Claim,
    Health,
    Lag,
    Latency,
    State,
    Status,
    check_pause_seconds,
    choose,
    cost,
    lag,
    lead,
    refresh_seconds,
    settled,
    spill_places,
)

times = st.floats(0, 1e6)
lsns = st.integers(0, 2**63 - 1)
shares = st.floats(0, 1, exclude_max=True)
SEGMENT = 16 * 1024**2


def replica(lsn: int | None, timeline: int = 1, behind: float | None = 3.0, system_id: int = 7) -> Status:
    return Status(0.0, True, system_id, timeline, lsn, behind_seconds=behind)


def primary(lsn: int, timeline: int = 1, system_id: int = 7) -> Status:
    return Status(0.0, False, system_id, timeline, lsn)


class TestPosition:
    @given(lsns, lsns, st.integers(0, 3), st.integers(0, 3), st.integers(1, 2))
    def test_only_what_has_been_replayed_on_the_same_timeline_is_covered(
        self, replayed: int, wanted: int, timeline: int, asked: int, system_id: int
    ) -> None:
        at = Position(1, asked, wanted)
        status = replica(replayed, timeline, system_id=system_id)
        assert status.covers(at) == (system_id == 1 and timeline == asked > 0 and replayed >= wanted)
        assert status.shares_history(at) >= status.covers(at)

    def test_who_does_not_know_where_it_is_covers_nothing(self) -> None:
        assert not replica(None).covers(Position(7, 1, 0))

    @pytest.mark.parametrize(
        ("lsn", "settles_at"),
        [
            (SEGMENT * 5 + 40, SEGMENT * 5),  # the header of a segment
            (SEGMENT * 5 + 8192 + 24, SEGMENT * 5 + 8192),  # the header of a page
            (SEGMENT * 5 + 8192 + 40, SEGMENT * 5 + 8192 + 40),  # a record that ends 16 bytes behind one
            (SEGMENT * 5 + 48, SEGMENT * 5 + 48),
            (0, 0),
        ],
    )
    def test_the_header_of_a_page_is_nothing_to_wait_for(self, lsn: int, settles_at: int) -> None:
        assert settled(lsn, SEGMENT) == settles_at


class TestLag:
    @given(lsns, lsns, st.none() | times)
    def test_who_has_everything_is_not_behind_however_long_nothing_was_written(
        self, one: int, other: int, behind: float | None
    ) -> None:
        low, high = sorted([one, other])
        assert lag(replica(high, behind=behind), primary(low)) == Lag(0.0, 0)
        measured = lag(replica(low, behind=behind), primary(high))
        assert measured.bytes == high - low
        assert measured.seconds == (0.0 if low == high else behind)

    @given(st.none() | times, st.none() | st.integers(0, 2**40), times, st.integers(0, 2**40))
    def test_either_limit_suffices_and_the_unknown_never_does(
        self, seconds: float | None, size: int | None, max_seconds: float, max_bytes: int
    ) -> None:
        in_time = seconds is not None and seconds <= max_seconds
        in_size = size is not None and size <= max_bytes
        assert Lag(seconds, size).within(max_seconds, max_bytes) == (in_time or in_size)

    def test_before_anything_was_heard_of_the_primary_lag_is_unknown(self) -> None:
        assert lag(replica(5), None) == Lag()
        assert lag(replica(5), primary(5, system_id=8)) == Lag()
        assert not Lag().within(math.inf, 2**60)

    def test_positions_of_another_timeline_are_not_compared(self) -> None:
        assert lag(replica(500, timeline=1), primary(5, timeline=2)) == Lag(seconds=3.0)
        assert lag(replica(None), primary(5)) == Lag(seconds=3.0)


events = st.lists(st.tuples(st.sampled_from(["request", "check", "pass"]), st.floats(0, 20)), max_size=60)


def history(happened: list[tuple[str, float]]) -> list[tuple[float, str, Health]]:
    health, now, seen = Health(), 0.0, []
    for event, pause in happened:
        now += pause
        if event == "request":
            health = health.failed_request(now)
        elif event == "check":
            health = health.failed_check()
        else:
            health = health.passed_check(now, 1.0)
        seen.append((now, event, health))
    return seen


class TestHealth:
    def test_a_new_server_is_up_with_its_first_answer(self) -> None:
        assert Health().state is State.DOWN
        assert Health().passed_check(1.0, 1.0).state is State.UP

    def test_requests_make_suspect_and_checks_bring_down(self) -> None:
        up = Health().passed_check(0.0, 1.0)
        assert up.failed_request(1.0).state is State.SUSPECT
        assert up.failed_request(1.0).failed_request(1.0).strikes == 1
        assert up.failed_request(1.0).failed_check().state is State.DOWN
        assert up.failed_check().state is State.SUSPECT
        assert up.failed_check().failed_check().state is State.DOWN

    def test_who_was_down_returns_with_its_second_answer_and_little_load(self) -> None:
        down = Health().passed_check(0.0, 1.0).failed_check().failed_check()
        once = down.passed_check(100.0, 1.0)
        assert once.state is State.DOWN
        back = once.passed_check(101.0, 1.0)
        assert back.state is State.UP
        assert back.share(101.0, 10.0) == pytest.approx(0.05)
        assert back.share(106.0, 10.0) == pytest.approx(0.5)
        assert back.share(120.0, 10.0) == 1.0
        assert once.failed_check().passed_check(102.0, 1.0).state is State.DOWN

    def test_who_fails_requests_though_its_checks_pass_is_left_out_for_longer_each_time(self) -> None:
        health, now, waits = Health().passed_check(0.0, 1.0), 0.0, []
        for _ in range(8):
            health = health.failed_request(now)
            since = now
            while health.state is not State.UP:
                now += 0.5
                health = health.passed_check(now, 1.0)
            waits.append(now - since)
        assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
        assert health.failed_request(now + 100).strikes == 1

    @given(events)
    def test_it_is_up_only_when_it_answered_last(self, happened: list[tuple[str, float]]) -> None:
        for _, event, health in history(happened):
            if event != "pass":
                assert health.state is not State.UP
            assert (health.failures == 0) or health.state is not State.UP

    @given(events, st.floats(0, 1000))
    def test_silence_is_down_and_answers_are_up_in_the_end(
        self, happened: list[tuple[str, float]], later: float
    ) -> None:
        seen = history(happened)
        now, health = (seen[-1][0] + later, seen[-1][2]) if seen else (later, Health())
        assert health.failed_check().failed_check().state is State.DOWN
        for _ in range(40):
            now += 1.0
            health = health.passed_check(now, 1.0)
        assert health.state is State.UP

    @given(times, times, st.floats(0, 100))
    def test_a_share_of_load_is_never_nothing_nor_too_much(self, risen: float, now: float, slow: float) -> None:
        assert 0.05 <= replace(Health(), risen_at=risen).share(now, slow) <= 1.0


class TestChoice:
    @given(st.lists(st.integers(0, 100), min_size=1, max_size=10), shares, shares)
    def test_somebody_is_chosen_and_never_the_dearest_of_all(self, costs: list[int], one: float, other: float) -> None:
        draws = iter([one, other])
        chosen = choose(range(len(costs)), lambda index: costs[index], lambda: next(draws))
        assert chosen in range(len(costs))
        if len(set(costs)) == len(costs) > 1:
            assert costs[chosen] < max(costs)

    def test_of_two_the_cheaper_one_is_chosen_always(self) -> None:
        for draw in (0.0, 0.3, 0.6, 0.99):
            assert choose("ab", {"a": 2.0, "b": 1.0}.__getitem__, lambda draw=draw: draw) == "b"  # type: ignore[misc]

    @given(times, st.integers(0, 1000), st.floats(0.05, 1))
    def test_load_slowness_and_a_slow_start_cost(self, seconds: float, in_flight: int, share: float) -> None:
        latency = Latency(seconds, 0.0)
        assert cost(latency, in_flight + 1, share) > cost(latency, in_flight, share) > 0
        assert cost(latency, in_flight, share) >= cost(latency, in_flight, 1.0)

    @given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1))
    def test_latency_believes_bad_news_at_once(self, observed: list[tuple[float, float]]) -> None:
        latency, now = Latency(), 0.0
        for seconds, pause in observed:
            now += pause
            before, latency = latency, latency.observed(seconds, now)
            assert latency.seconds >= seconds
            assert latency.seconds <= max(before.seconds, seconds) + 1e-9

    def test_latency_forgets_in_time(self) -> None:
        latency = Latency().observed(5.0, 0.0)
        for now in range(1, 100):
            latency = latency.observed(0.001, float(now))
        assert latency.seconds < 0.01


claims = st.lists(
    st.builds(Claim, st.sampled_from("abcdef"), st.integers(1, 4), st.booleans()),
    max_size=6,
    unique_by=lambda claim: claim.name,
)


class TestLead:
    @given(claims, st.integers(0, 4), st.none() | st.sampled_from("abcdef"))
    def test_the_highest_timeline_leads_and_nobody_behind_what_is_known(
        self, made: list[Claim], known: int, current: str | None
    ) -> None:
        name = lead(made, known, current)
        fit = [claim for claim in made if claim.timeline >= known]
        assert (name is None) == (not fit)
        for claim in fit:
            if claim.name == name:
                assert claim.timeline == max(other.timeline for other in fit)

    def test_the_present_one_stays_among_equals_but_only_if_it_answers(self) -> None:
        a, b = Claim("a", 1, True), Claim("b", 1, True)
        assert lead([a, b], 1, "b") == "b"
        assert lead([a, b], 1, None) == "a"
        assert lead([a, replace(b, is_up=False)], 1, "b") == "a"

    def test_a_primary_that_does_not_answer_is_still_the_primary(self) -> None:
        assert lead([Claim("a", 1, False)], 1, "a") == "a"

    def test_who_was_replaced_does_not_return(self) -> None:
        assert lead([Claim("old", 1, True)], 2, None) is None


class TestSpill:
    @given(st.integers(1, 1000), st.floats(0.001, 1))
    def test_the_primary_keeps_connections_for_writes(self, pool_size: int, share: float) -> None:
        assert 1 <= spill_places(pool_size, share) <= pool_size


@given(st.floats(0.01, 5), st.booleans(), st.booleans(), st.floats(0, 1))
def test_checks_are_spread_and_the_primary_is_asked_every_second(
    interval: float, leads: bool, urgent: bool, jitter: float
) -> None:
    pause = check_pause_seconds(interval, leads=leads, is_urgent=urgent, jitter=jitter)
    assert 0 < pause <= interval * 1.25
    if leads:
        assert pause <= 1.25
    if urgent:
        assert pause <= 0.25


@given(st.floats(0, 1e5), st.floats(0.1, 1e5), st.floats(0, 1))
def test_dns_is_not_asked_before_its_answer_expires_nor_too_often(ttl: float, minimum: float, jitter: float) -> None:
    assert max(ttl, minimum) <= refresh_seconds(ttl, minimum, jitter) <= max(ttl, minimum) * 1.1 + 1e-6
