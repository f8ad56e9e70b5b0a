"""A stretch of minutes is covered once, wherever its sums come from."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pastebin.analytics.engines.grains import Pieces, Sources, runs

HOURS = st.frozensets(st.integers(0, 120), max_size=6)
DAYS = st.frozensets(st.integers(0, 5), max_size=2)
MINUTES = st.integers(0, 5 * 1440)


@given(MINUTES, MINUTES, HOURS, DAYS, st.booleans())
def test_every_minute_is_covered_once(
    one: int, other: int, hours: frozenset[int], days: frozenset[int], by_day: bool
) -> None:
    since, until = sorted((one, other))
    pieces = Pieces()
    pieces.add(0, since, until, Sources(hours, days), has_days=by_day)
    covered = [minute for _, lo, hi in pieces.minutes for minute in range(lo, hi)]
    covered += [minute for _, lo, hi in pieces.hours for minute in range(lo * 60, hi * 60)]
    covered += [minute for _, lo, hi in pieces.days for minute in range(lo * 1440, hi * 1440)]
    assert sorted(covered) == list(range(since, until))
    assert not hours & {hour for _, lo, hi in pieces.hours for hour in range(lo, hi)}
    dirty_days = days | {hour // 24 for hour in hours}
    assert not dirty_days & {day for _, lo, hi in pieces.days for day in range(lo, hi)}
    assert by_day or not pieces.days


@given(MINUTES, MINUTES, MINUTES)
def test_where_minutes_are_gone_hours_belong_to_one_stretch(one: int, other: int, third: int) -> None:
    first, middle, last = sorted((one, other, third))
    pieces = Pieces()
    for index, (since, until) in enumerate(((first, middle), (middle, last))):
        pieces.add(index, since, until, Sources(first_minute=9999), has_days=False)
    assert pieces.minutes == []
    hours = [hour for _, lo, hi in pieces.hours for hour in range(lo, hi)]
    assert hours == list(range(-(-first // 60), -(-last // 60)))


@given(st.frozensets(st.integers(0, 500), max_size=40), st.integers(0, 5))
def test_runs_cover_what_they_were_made_of(numbers: frozenset[int], gap: int) -> None:
    found = runs(numbers, gap)
    assert numbers <= {number for lo, hi in found for number in range(lo, hi)}
    assert all(later[0] - earlier[1] > gap for earlier, later in pairwise(found))
