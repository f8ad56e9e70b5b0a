from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pastebin.cdn import directives, freshness
from pastebin.cdn.directives import LONGEST
from pastebin.cdn.freshness import Answer, Policy
from tests.cdn.responses import NOW, Asked, control, date, policy

DAY = 86_400

SECONDS = st.integers(0, 200)
STATUSES = st.sampled_from([200, 203, 204, 206, 299, 302, 304, 400, 404, 410, 412, 416, 429, 499, 500, 503, 599])
RULES = st.lists(
    st.sampled_from(
        ["public", "private", "no-store", "no-cache", "must-revalidate", "proxy-revalidate", "must-understand", "x=y"]
        + [f"{name}={number}" for name in ("max-age", "s-maxage", "stale-while-revalidate") for number in (0, 60)]
    ),
    max_size=4,
).map(", ".join)


def lifetime(*lines: tuple[str, str], **options: object) -> float | None:
    found = policy([*lines, ("ETag", '"a"')], **options)  # type: ignore[arg-type]
    return None if found is None else found.lifetime


# section 4.2.1: freshness lifetime


def test_the_first_rule_that_applies() -> None:
    everything = [("Cache-Control", "max-age=10, s-maxage=20"), ("Expires", date(30)), ("Date", date())]
    assert lifetime(*everything) == 20
    assert lifetime(("Cache-Control", "max-age=10"), *everything[1:]) == 10
    assert lifetime(*everything[1:]) == 30
    assert lifetime(("CDN-Cache-Control", "max-age=5"), *everything) == 5
    assert lifetime(("CDN-Cache-Control", "max-age=5, s-maxage=6"), *everything) == 6
    assert lifetime(("CDN-Cache-Control", "must-revalidate"), *everything) == 0
    assert lifetime(("CDN-Cache-Control", "max-age=5, &"), *everything) == 20


def test_expires_counts_from_date() -> None:
    assert lifetime(("Expires", date(-70)), ("Date", date(-100))) == 30
    assert lifetime(("Expires", date(130)), ("Date", date(100))) == 30
    assert lifetime(("Expires", date(300)), ("Date", date(400))) == 0
    assert lifetime(("Expires", date(0)), ("Date", date(0))) == 0
    assert lifetime(("Expires", date(30))) == 30
    assert lifetime(("Expires", date(30)), ("Date", "foo")) == 30


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "-1",
        "",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 +0000",
        "Thu, 18 Aug 2050 02:01:18",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 38 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
        "2050-08-18T02:01:18Z",
    ],
)
def test_a_date_that_is_none_is_over(value: str) -> None:
    assert lifetime(("Expires", value), ("Date", date())) == 0


@pytest.mark.parametrize(
    "value",
    [
        "Thu, 18 Aug 2050 02:01:18 GMT",
        "THU, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 AUG 2050 02:01:18 GMT",
        "thu, 18 aug 2050 02:01:18 gMT",
        "Thursday, 18-Aug-50 02:01:18 GMT",
        "Thu Aug 18 02:01:18 2050",
    ],
)
def test_dates_are_read_in_any_form_and_case(value: str) -> None:
    moment = datetime(2050, 8, 18, 2, 1, 18, tzinfo=UTC).timestamp()
    assert lifetime(("Expires", value), ("Date", date())) == moment - NOW


def test_two_dates_are_none() -> None:
    assert lifetime(("Expires", date(30)), ("Expires", date(60)), ("Date", date())) == 0
    assert lifetime(("Expires", date(30)), ("Expires", date(30)), ("Date", date())) == 30


def test_heuristics_are_off_by_default() -> None:  # section 4.2.2
    modified = ("Last-Modified", date(-100))
    assert lifetime(modified) is None
    assert lifetime(modified, heuristics=True) == 10
    assert lifetime(modified, heuristics=True, status=403) is None
    assert lifetime(modified, ("Cache-Control", "public"), heuristics=True, status=299) == 10
    assert lifetime(("Last-Modified", date(-100 * DAY)), heuristics=True) == DAY
    assert lifetime(("Last-Modified", date(100)), heuristics=True) == 0
    assert lifetime(modified, ("Expires", date(3)), ("Date", date()), heuristics=True) == 3
    assert lifetime(modified, ("Expires", "0"), heuristics=True) == 0


# section 4.2.3: age


@pytest.mark.parametrize(
    ("headers", "age"),
    [
        ([], 0),
        ([("Age", "30")], 30),
        ([("Age", "030")], 30),
        ([("Age", "30, 0")], 30),
        ([("Age", "0,30")], 0),
        ([("Age", "30"), ("Age", "0")], 30),
        ([("Age", "0"), ("Age", "30")], 0),
        ([("Age", "abc")], 0),
        ([("Age", "-30")], 0),
        ([("Age", "30.0")], 0),
        ([("Age", "")], 0),
        ([("Age", "9" * 5000)], LONGEST),
        ([("Date", date(-40))], 40),
        ([("Date", date(40))], 0),
        ([("Date", "foo")], 0),
        ([("Date", date(-40)), ("Date", date(-50))], 0),
        ([("Date", date(-40)), ("Age", "30")], 40),
        ([("Date", date(-40)), ("Age", "50")], 50),
    ],
)
def test_age_on_arrival(headers: list[tuple[str, str]], age: float) -> None:
    found = policy([*headers, ("Cache-Control", "max-age=99999999999"), ("ETag", '"a"')])
    assert found is not None
    assert found.initial_age == age


def test_the_way_to_here_counts() -> None:
    found = policy(control("max-age=100", Age="30"), delay=2.5)
    assert found is not None
    assert found.initial_age == 32.5


def test_a_date_is_a_whole_second() -> None:
    responded_at = NOW + 0.9
    found = freshness.may_store(
        Asked(),
        200,
        CIMultiDict(control("max-age=1", Date=date())),
        requested_at=responded_at,
        responded_at=responded_at,
    )
    assert found is not None
    assert found.initial_age == 0


def test_age_grows() -> None:
    kept = Policy(lifetime=100, initial_age=30)
    assert freshness.current_age(kept, NOW, NOW + 5) == 35
    assert freshness.age_value(kept, NOW, NOW + 5.9) == "35"
    assert freshness.current_age(kept, NOW, NOW - 500) == 30
    assert freshness.age_value(kept, NOW, NOW + 1e12) == str(LONGEST)


# sections 4 and 5.2.1: serving


def served(value: str, age: float, asked: str = "", *, must_ask: bool = False, soft_purged: bool = False) -> Answer:
    found = policy(control(value, ETag='"a"'))
    assert found is not None
    wishes = directives.of_request(CIMultiDict({"Cache-Control": asked}))
    return freshness.serve(found, NOW, wishes, NOW + age, must_ask=must_ask, soft_purged=soft_purged)


@pytest.mark.parametrize(
    ("value", "age", "asked", "expected"),
    [
        ("max-age=10", 9, "", "fresh"),
        ("max-age=10", 10, "", "revalidate"),
        ("max-age=10, no-cache", 0, "", "revalidate"),
        ('max-age=10, no-cache="a"', 0, "", "fresh"),
        ("max-age=10, must-revalidate", 9, "", "fresh"),
        ("max-age=10, must-revalidate", 10, "max-stale", "revalidate"),
        ("max-age=10, proxy-revalidate", 10, "max-stale", "revalidate"),
        ("s-maxage=10", 10, "max-stale", "revalidate"),
        # what the client wants
        ("max-age=10", 0, "no-cache", "revalidate"),
        ("max-age=10", 1, "max-age=0", "revalidate"),
        ("max-age=10", 5, "max-age=5", "fresh"),
        ("max-age=10", 5, "max-age=4", "revalidate"),
        ("max-age=10", 5, "min-fresh=5", "fresh"),
        ("max-age=10", 5, "min-fresh=6", "revalidate"),
        ("max-age=10", 0, "min-fresh=20", "revalidate"),
        ("max-age=10", 0, "no-store", "fresh"),
        ("max-age=10", 15, "max-stale=5", "stale-while-revalidate"),
        ("max-age=10", 15, "max-stale=4", "revalidate"),
        ("max-age=10", 15, "max-stale", "stale-while-revalidate"),
        ("max-age=10", 15, "max-stale, max-age=14", "revalidate"),
        ("max-age=10", 15, "max-stale, max-age=15", "stale-while-revalidate"),
        # RFC 5861
        ("max-age=10, stale-while-revalidate=5", 10, "", "stale-while-revalidate"),
        ("max-age=10, stale-while-revalidate=5", 15, "", "revalidate"),
        ("max-age=10, stale-while-revalidate=5, must-revalidate", 10, "", "revalidate"),
        ("max-age=10, stale-while-revalidate=5, proxy-revalidate", 10, "", "revalidate"),
        ("s-maxage=10, stale-while-revalidate=5", 10, "", "revalidate"),
        ("max-age=10, stale-while-revalidate=5", 10, "max-age=60", "revalidate"),
        ("max-age=10, stale-while-revalidate=5", 10, "min-fresh=0", "revalidate"),
        ("max-age=10, stale-while-revalidate=5", 12, "max-stale=1", "revalidate"),
    ],
)
def test_whether_it_is_served(value: str, age: float, asked: str, expected: str) -> None:
    assert served(value, age, asked) == expected


def test_the_caller_may_insist_on_asking() -> None:
    assert served("max-age=10, stale-while-revalidate=10", 0, "max-stale", must_ask=True) == "revalidate"


def test_soft_purged_means_stale() -> None:
    assert served("max-age=10", 0, soft_purged=True) == "revalidate"
    assert served("max-age=10", 0, "max-stale", soft_purged=True) == "revalidate"
    assert served("max-age=10, stale-while-revalidate=5", 0, soft_purged=True) == "stale-while-revalidate"
    assert served("max-age=10, stale-while-revalidate=5", 16, soft_purged=True) == "revalidate"
    assert served("max-age=10, stale-while-revalidate=5, must-revalidate", 0, soft_purged=True) == "revalidate"


@pytest.mark.parametrize(
    ("value", "age", "asked", "expected"),
    [
        ("max-age=10", 11, "", False),
        ("max-age=10, stale-if-error=5", 14, "", True),
        ("max-age=10, stale-if-error=5", 15, "", False),
        ("max-age=10, stale-if-error=5", 0, "no-cache", True),
        ("max-age=10", 14, "stale-if-error=5", True),
        ("max-age=10, stale-if-error=5, must-revalidate", 11, "stale-if-error=5", False),
        ("max-age=10, stale-if-error=5, proxy-revalidate", 11, "", False),
        ("max-age=10, stale-if-error=5, no-cache", 0, "", False),
        ("s-maxage=10, stale-if-error=5", 11, "", False),
    ],
)
def test_standing_in_for_errors(value: str, age: float, asked: str, expected: bool) -> None:
    found = policy(control(value, ETag='"a"'))
    assert found is not None
    wishes = directives.of_request(CIMultiDict({"Cache-Control": asked}))
    assert freshness.may_serve_on_error(found, NOW, wishes, NOW + age) is expected
    assert not freshness.may_serve_on_error(found, NOW, wishes, NOW + age, must_ask=True)


@given(RULES, STATUSES, st.sampled_from(["", "max-stale", "max-age=30", "min-fresh=10", "stale-if-error=60"]), SECONDS)
def test_limits_hold_whatever_else_is_said(value: str, status: int, asked: str, age: int) -> None:
    found = policy(control(value, ETag='"a"'), status=status)
    rules = [rule.strip() for rule in value.split(",")]
    if "private" in rules or ("no-store" in rules and "must-understand" not in rules):
        assert found is None
    if found is None:
        return
    wishes = directives.of_request(CIMultiDict({"Cache-Control": asked}))
    answer = freshness.serve(found, NOW, wishes, NOW + age)
    assert status not in (206, 304, 412, 416, 429)
    if "no-cache" in rules:
        assert answer == "revalidate"
    is_stale = age >= found.lifetime
    assert (answer == "fresh") <= (not is_stale)
    if is_stale and {"must-revalidate", "proxy-revalidate", "s-maxage=0", "s-maxage=60"} & set(rules):
        assert answer == "revalidate"
        assert not freshness.may_serve_on_error(found, NOW, wishes, NOW + age)


@given(st.builds(Policy, st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 100), st.floats(0, 100)), SECONDS, SECONDS)
def test_nothing_becomes_fresh_again(kept: Policy, first: int, more: int) -> None:
    order = ["fresh", "stale-while-revalidate", "revalidate"]
    before = freshness.serve(kept, NOW, directives.NONE, NOW + first)
    after = freshness.serve(kept, NOW, directives.NONE, NOW + first + more)
    assert order.index(before) <= order.index(after)
