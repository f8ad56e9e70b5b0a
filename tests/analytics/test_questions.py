"""Questions become buckets that hold everything, whatever the clocks of their zone do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pastebin.analytics import questions
from pastebin.analytics.questions import MOST_BUCKETS, Question, buckets
from pastebin.errors import InvalidQuestion
from pastebin.reports import GRANULARITIES, Granularity, ListQuery

NOW = datetime(2026, 11, 22, 10, 5, 7, tzinfo=UTC)
LONGEST = timedelta(days=731)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # changed its clocks at midnight
    "Asia/Kathmandu",  # 5:45 ahead
    "Australia/Lord_Howe",  # moves its clocks by half an hour
    "Pacific/Apia",  # left out 2011-12-30
    "Africa/Casablanca",
]
MOMENTS = st.datetimes(datetime(2000, 1, 2), datetime(2037, 12, 1), timezones=st.just(UTC))  # noqa: DTZ001
LONGEST_SHOWN: dict[str, timedelta] = {
    "minute": timedelta(hours=20),
    "hour": timedelta(days=45),
    "day": timedelta(days=1000),
    "week": timedelta(days=3000),
    "month": timedelta(days=5000),
}


def asked(**query: Any) -> Question:
    return questions.read(ListQuery, query, NOW, LONGEST)[1]


def fields_of(**query: str) -> set[str]:
    with pytest.raises(InvalidQuestion) as refused:
        asked(**query)
    return {problem.field for problem in refused.value.problems}


@given(MOMENTS, st.floats(0.0001, 1), st.sampled_from(GRANULARITIES), st.sampled_from(ZONES))
@example(datetime(2011, 12, 29, 12, tzinfo=UTC), 0.01, "day", "Pacific/Apia")
@example(datetime(2018, 11, 4, 2, 30, tzinfo=UTC), 0.001, "hour", "America/Sao_Paulo")
def test_edges_ascend_and_hold_the_whole_range(
    since: datetime, share: float, granularity: Granularity, name: str
) -> None:
    until = since + max(LONGEST_SHOWN[granularity] * share, timedelta(seconds=1))
    edges = buckets(since, until, granularity, ZoneInfo(name))
    assert all(first < second for first, second in pairwise(edges))
    assert edges[0] <= since < edges[1]
    assert edges[-2] < until <= edges[-1]
    assert all(edge.second == edge.microsecond == 0 and edge.tzinfo is UTC for edge in edges)


@given(MOMENTS, st.floats(0.0001, 1), st.sampled_from(ZONES))
def test_no_day_is_lost(since: datetime, share: float, name: str) -> None:
    """Every day of the calendar that has any time begins a bucket; only one that its zone left out has none."""
    zone = ZoneInfo(name)
    edges = buckets(since, since + timedelta(days=1 + 500 * share), "day", zone)
    days = {edge.astimezone(zone).date() for edge in edges}
    first, last = min(days), max(days)
    missing = {first + timedelta(days=number) for number in range((last - first).days)} - days
    assert missing <= {datetime(2011, 12, 30, tzinfo=UTC).date()}
    lengths = {second - first for first, second in pairwise(edges)}
    assert lengths <= {timedelta(hours=hours) for hours in (23, 23.5, 24, 24.5, 25)}


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)])
def test_days_around_changes_of_the_clock(day: str, hours: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    since = datetime.fromisoformat(day).replace(tzinfo=zone)
    until = since + timedelta(days=1)
    assert len(buckets(since, until, "hour", zone)) - 1 == hours
    (start, end) = buckets(since, until, "day", zone)
    assert end - start == timedelta(hours=hours)


def test_without_a_word_it_is_the_last_day_by_hours() -> None:
    question = asked()
    assert question.granularity == "hour"
    assert question.span.since == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert question.span.until == datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert question.before.until == question.span.since


@pytest.mark.parametrize(("since", "granularity"), [("60m", "minute"), ("24h", "hour"), ("30d", "day"), ("1y", "week")])
def test_steps_fit_the_range(since: str, granularity: str) -> None:
    assert asked(since=since).granularity == granularity


def test_a_form_sends_what_was_left_empty() -> None:
    assert asked(since="", until="", granularity="", zone="", cursor="") == asked()


def test_weeks_begin_on_mondays_and_months_on_the_first() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    weeks = asked(since="30d", granularity="week", zone="Europe/Berlin").edges
    assert {edge.astimezone(berlin).weekday() for edge in weeks} == {0}
    months = asked(since="1y", granularity="month", zone="Europe/Berlin").edges
    assert {edge.astimezone(berlin).day for edge in months} == {1}
    assert len(months) == 14


def test_everything_wrong_is_told_at_once() -> None:
    wrong = {"since": "soon", "zone": "../../etc/passwd", "granularity": "second", "limit": "0", "colour": "red"}
    assert fields_of(**wrong) == set(wrong)
    assert fields_of(since="1y", granularity="minute", zone="Mars") == {"granularity", "zone"}


@pytest.mark.parametrize("zone", ["localtime", "Factory"])
def test_a_zone_is_one_that_means_the_same_everywhere(zone: str) -> None:
    assert fields_of(zone=zone) == {"zone"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "2026-11-22T10:00:00Z", "until": "2026-11-21T10:00:00Z"}, "since"),
        ({"since": "1999-01-01T00:00:00Z"}, "since"),
        ({"until": "0001-01-01T00:00:00Z"}, "since"),
        ({"since": "3y"}, "since"),
        ({"since": "999999y"}, "since"),
        ({"since": "2026-11-21T10:00:00"}, "since"),
        ({"since": "1h", "until": "2027-11-21T10:00:00Z"}, "until"),
        ({"since": "30d", "granularity": "minute"}, "granularity"),
        ({"since": "1y", "granularity": "hour"}, "granularity"),
        ({"limit": "1001"}, "limit"),
        ({"audience": "robots"}, "audience"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "WzEsImEiLDk5OTk5OTk5OTk5OTk5OTk5LDFd"}, "cursor"),
    ],
)
def test_what_cannot_be_answered_is_refused(query: dict[str, str], field: str) -> None:
    assert field in fields_of(**query)


def test_as_many_steps_as_there_may_be() -> None:
    assert len(asked(since="24h", granularity="minute").edges) - 1 <= MOST_BUCKETS


def test_a_cursor_keeps_the_range_while_time_goes_on() -> None:
    question = asked(since="24h")
    cursor = question.cursor(17, 'a "strange", value\u202e')
    later = questions.read(ListQuery, {"since": "24h", "cursor": cursor}, NOW + timedelta(hours=5), LONGEST)[1]
    assert later.span == question.span
    assert later.after == (17, 'a "strange", value\u202e')


@given(st.text(max_size=60))
def test_no_text_is_too_strange(text: str) -> None:
    for field in ("since", "until", "zone", "cursor", "granularity", "limit"):
        try:
            asked(**{field: text})
        except InvalidQuestion as error:
            assert {problem.field for problem in error.problems} <= {field, "since", "until"}
