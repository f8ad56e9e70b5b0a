from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pastebin.http.conditions import Conditions, entity_tags, evaluate, parse_date, range_applies

NOW = datetime(2026, 11, 22, 10, 0, 0, 500_000, tzinfo=UTC)
AT = format_datetime(NOW, usegmt=True)
BEFORE = format_datetime(NOW - timedelta(seconds=1), usegmt=True)
AFTER = format_datetime(NOW + timedelta(seconds=1), usegmt=True)
ETAG = '"a"'

OPAQUE = st.text(st.characters(codec="utf-8", exclude_characters='"', exclude_categories=["Cc", "Cs", "Zs"]))
TAGS = st.builds(lambda weak, opaque: f'{weak}"{opaque}"', st.sampled_from(["", "W/"]), OPAQUE)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def outcome(is_read: bool = True, etag: str | None = ETAG, **headers: str) -> str:
    return evaluate(Conditions(**headers), etag=etag, modified=NOW, is_read=is_read)


def test_without_conditions_it_proceeds() -> None:
    assert outcome() == "proceed"
    assert outcome(is_read=False) == "proceed"


@pytest.mark.parametrize("value", [ETAG, '"b", "a"', ',, "a" ,', "*", " * ", '"b","a"'])
def test_if_none_match_that_matches(value: str) -> None:
    assert outcome(if_none_match=value) == "not-modified"
    assert outcome(if_none_match=value, is_read=False) == "failed"


@pytest.mark.parametrize("value", ['"b"', "a", "", ",", '*, "a"', '"a", b', '"b, "a"', '"a" "b"', 'w/"a"', '"x,"a'])
def test_if_none_match_that_does_not(value: str) -> None:
    assert outcome(if_none_match=value) == "proceed"
    assert outcome(if_none_match=value, is_read=False) == "proceed"


def test_if_none_match_compares_weakly() -> None:
    assert outcome(if_none_match='W/"a"') == "not-modified"
    assert outcome(if_none_match='"a"', etag='W/"a"') == "not-modified"


@pytest.mark.parametrize("value", [ETAG, '"b", "a"', "*"])
def test_if_match_that_matches(value: str) -> None:
    assert outcome(if_match=value, is_read=False) == "proceed"


@pytest.mark.parametrize("value", ['"b"', 'W/"a"', "a", "", '*, "a"', "**"])
def test_if_match_that_does_not(value: str) -> None:
    assert outcome(if_match=value, is_read=False) == "failed"
    assert outcome(if_match=value) == "failed"


def test_if_match_compares_strongly() -> None:
    assert outcome(if_match='W/"a"', etag='W/"a"') == "failed"
    assert outcome(if_match="*", etag='W/"a"') == "proceed"


def test_a_star_asks_whether_anything_is_there() -> None:
    assert outcome(if_match="*", etag=None) == "failed"
    assert outcome(if_none_match="*", etag=None, is_read=False) == "proceed"


def test_commas_inside_a_tag_do_not_part_it() -> None:
    assert entity_tags('"a,b", W/"c, d"'.replace(", d", ",d")) == ['"a,b"', 'W/"c,d"']
    assert outcome(if_none_match='"x,"') == "proceed"
    assert outcome(if_none_match='"x,y", "a"') == "not-modified"


def test_dates() -> None:
    assert outcome(if_modified_since=AT) == "not-modified"
    assert outcome(if_modified_since=AFTER) == "not-modified"
    assert outcome(if_modified_since=BEFORE) == "proceed"
    assert outcome(if_modified_since=AT, is_read=False) == "proceed"
    assert outcome(if_unmodified_since=AT, is_read=False) == "proceed"
    assert outcome(if_unmodified_since=BEFORE, is_read=False) == "failed"


@pytest.mark.parametrize("date", ["", "yesterday", "0", "Sun, 31 Feb 2026 10:00:00 GMT", AT.replace("GMT", "+0000")])
def test_unreadable_dates_are_ignored(date: str) -> None:
    assert outcome(if_modified_since=date) == "proceed"
    assert outcome(if_unmodified_since=date) == "proceed"


def test_without_a_modification_date_dates_are_ignored() -> None:
    for conditions in (Conditions(if_modified_since=AFTER), Conditions(if_unmodified_since=BEFORE)):
        assert evaluate(conditions, etag=ETAG, modified=None) == "proceed"


def test_tags_go_before_dates() -> None:
    assert outcome(if_none_match='"b"', if_modified_since=AFTER) == "proceed"
    assert outcome(if_none_match='"a"', if_modified_since=BEFORE) == "not-modified"
    assert outcome(if_match='"a"', if_unmodified_since=BEFORE) == "proceed"
    assert outcome(if_match='"b"', if_unmodified_since=AFTER) == "failed"


def test_if_match_goes_before_if_none_match() -> None:
    assert outcome(if_match='"b"', if_none_match='"a"') == "failed"
    assert outcome(if_match='"a"', if_none_match='"a"') == "not-modified"
    assert outcome(if_unmodified_since=BEFORE, if_none_match='"a"') == "failed"


@pytest.mark.parametrize(
    ("if_range", "etag", "applies"),
    [
        (None, ETAG, True),
        ('"a"', '"a"', True),
        ('"b"', '"a"', False),
        ('W/"a"', 'W/"a"', False),
        ('W/"a"', '"a"', False),
        ('"a"', 'W/"a"', False),
        ('"a", "b"', '"a"', False),
        ("*", '"a"', False),
        ("a", '"a"', False),
        ("", '"a"', False),
        ('"a"', None, False),
        (AT, ETAG, True),
        (BEFORE, ETAG, False),
        (AFTER, ETAG, False),
    ],
)
def test_if_range(if_range: str | None, etag: str | None, applies: bool) -> None:
    assert range_applies(if_range, etag, NOW) is applies


def test_if_range_with_a_date_needs_one_to_compare_with() -> None:
    assert not range_applies(AT, ETAG, None)


def test_lines_of_the_same_header_are_one_list() -> None:
    headers = CIMultiDict([("if-none-match", '"b"'), ("If-None-Match", '"a"')])
    conditions = Conditions.of(headers)
    assert conditions == Conditions(if_none_match='"b", "a"')
    assert evaluate(conditions, etag=ETAG, modified=NOW) == "not-modified"


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_the_three_forms_of_a_date(text: str) -> None:
    assert parse_date(text) == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


def test_a_leap_second_is_a_date() -> None:
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT") == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)


@given(MOMENTS)
def test_dates_come_back(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    assert parse_date(format_datetime(moment, usegmt=True)) == moment
    assert parse_date(moment.strftime("%A, %d-%b-%y %H:%M:%S GMT")) == moment or moment.year < 1970
    assert parse_date(time.asctime(moment.timetuple())) == moment


@given(st.lists(TAGS, min_size=1), st.sampled_from([",", ", ", " , ", ",,", "\t,\t"]))
def test_lists_of_tags_come_back(tags: list[str], separator: str) -> None:
    assert entity_tags(separator.join(tags)) == tags


@given(st.lists(TAGS, min_size=1), TAGS)
def test_a_match_is_membership(tags: list[str], etag: str) -> None:
    header = ", ".join(tags)
    opaque = {tag.removeprefix("W/") for tag in tags}
    weakly = etag.removeprefix("W/") in opaque
    strongly = not etag.startswith("W/") and etag in tags
    assert (outcome(if_none_match=header, etag=etag) == "not-modified") is weakly
    assert (outcome(if_match=header, etag=etag) == "proceed") is strongly


HOSTILE = st.text() | st.text('"W/*, \t\\aGMT:0-') | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(HOSTILE, HOSTILE, HOSTILE, st.booleans())
def test_hostile_values_never_raise(first: str, second: str, third: str, is_read: bool) -> None:
    outcome(is_read, if_match=first, if_none_match=second, if_modified_since=third)
    outcome(is_read, if_none_match=first, if_unmodified_since=second)
    range_applies(first, ETAG, NOW)
