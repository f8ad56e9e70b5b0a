"""Whatever was rolled when: an hour is asked for once, from sums only if these know of everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pastebin.analytics.engines.clickhouse_plan import Plan, State

_HOURS = st.integers(100, 130)
_STATES = st.builds(
    State,
    kept_hour=st.sampled_from([0, 96, 120]),
    marks=st.dictionaries(_HOURS, st.integers(1, 4)),
    rolled=st.dictionaries(_HOURS, st.tuples(st.integers(0, 4), st.integers(1, 9))),
)
_EDGES = st.lists(st.integers(95 * 60, 135 * 60), min_size=2, max_size=6, unique=True).map(sorted)


@given(_EDGES, _STATES)
def test_every_hour_with_events_is_asked_for_once(edges: list[int], state: State) -> None:
    plan = Plan.of(edges, state)
    final = list(range(*plan.final)) if plan.final else []
    asked = [*plan.raw, *(hour for hour, _ in plan.rolled), *final]
    assert len(asked) == len(set(asked))
    touched = {hour for hour in state.marks if hour * 60 < edges[-1] and (hour + 1) * 60 > edges[0]}
    assert set(plan.raw) | {hour for hour, _ in plan.rolled} == {hour for hour in touched if hour >= state.kept_hour}
    assert all(edges[0] <= hour * 60 < edges[-1] and hour < state.kept_hour for hour in final)


@given(_EDGES, _STATES)
def test_sums_are_used_only_whole_and_if_they_lack_nothing(edges: list[int], state: State) -> None:
    for hour, generation in Plan.of(edges, state).rolled:
        assert state.rolled[hour] == (state.counted(hour), generation)
        assert not any(hour * 60 < edge < (hour + 1) * 60 for edge in edges)


@given(_STATES, _HOURS)
def test_what_comes_makes_its_hour_and_later_ones_dirty(state: State, hour: int) -> None:
    more = State(state.kept_hour, state.marks | {hour: state.marks.get(hour, 0) + 1}, state.rolled)
    for one in range(90, 140):
        changes = hour <= one <= hour + 48
        assert more.counted(one) == state.counted(one) + changes


@given(_STATES)
def test_what_is_over_and_dirty_is_rolled_and_nothing_else(state: State) -> None:
    dirty = state.dirty(115)
    assert all(state.kept_hour <= hour < 115 and not state.is_clean(hour) for hour in dirty)
    after = State(state.kept_hour, state.marks, state.rolled | {hour: (state.counted(hour), 1) for hour in dirty})
    assert after.dirty(115) == []
