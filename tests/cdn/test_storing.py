from __future__ import annotations

import pytest
from multidict import CIMultiDict

from tests.cdn.responses import Asked, control, date, policy

FRESH = {"Cache-Control": "max-age=100"}
DAY = 86_400


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "QUERY", "get"])
def test_only_answers_to_get_are_kept(method: str) -> None:
    assert policy({**FRESH, "Content-Location": "/"}, request=Asked(method)) is None


@pytest.mark.parametrize("status", [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 503, 599])
def test_explicit_freshness_is_enough_for_final_statuses(status: int) -> None:
    assert policy(FRESH, status=status) is not None


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_interim_answers_are_not_kept(status: int) -> None:
    assert policy(FRESH, status=status) is None


@pytest.mark.parametrize("status", [206, 304, 412, 416])
def test_answers_to_ranges_and_conditions_are_not_kept(status: int) -> None:
    assert policy(control("public, max-age=100"), status=status) is None


@pytest.mark.parametrize("status", [428, 429, 431, 511])
def test_statuses_that_must_not_be_stored(status: int) -> None:  # RFC 6585
    assert policy(control("public, max-age=100"), status=status) is None


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_failures_are_kept_for_a_moment(status: int) -> None:
    found = policy(FRESH, status=status)
    assert found is not None
    assert found.lifetime == 1.0


@pytest.mark.parametrize("value", ["no-store", "private", "max-age=100, no-store", "public, max-age=100, private"])
def test_what_must_not_be_stored(value: str) -> None:
    assert policy(control(value, Expires=date(100), ETag='"a"')) is None


def test_must_understand() -> None:  # section 5.2.2.3
    assert policy(control("max-age=100, must-understand, no-store")) is not None
    assert policy(control("max-age=100, must-understand, no-store"), status=404) is not None
    assert policy(control("max-age=100, must-understand, no-store"), status=599) is None
    assert policy(control("max-age=100, must-understand"), status=299) is None
    assert policy(control("max-age=100, must-understand, private")) is None


def test_a_client_that_wants_nothing_stored() -> None:
    assert policy(FRESH, request=Asked(headers=CIMultiDict({"Cache-Control": "no-store"}))) is None
    assert policy(FRESH, request=Asked(headers=CIMultiDict({"Cache-Control": "no-cache"}))) is not None


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("max-age=100", False),
        ("max-age=100, proxy-revalidate", False),
        ("max-age=100, public", True),
        ("max-age=100, must-revalidate", True),
        ("s-maxage=100", True),
    ],
)
def test_credentials(value: str, kept: bool) -> None:  # section 3.5
    found = policy(control(value), request=Asked(headers=CIMultiDict(Authorization="Basic eA==")))
    assert (found is not None) is kept
    without = policy(control(value))
    assert without is not None
    assert without.for_authorised is kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("max-age=100", False),
        ("s-maxage=100", False),
        ("must-revalidate, max-age=100", False),
        ("public, max-age=100", True),
        ('max-age=100, no-cache="Set-Cookie"', True),
        ('max-age=100, private="set-cookie"', True),
        ('max-age=100, private="set-cookie2"', False),
    ],
)
def test_cookies_are_kept_only_if_the_response_says_so(value: str, kept: bool) -> None:
    assert (policy(control(value, **{"Set-Cookie": "a=b"})) is not None) is kept
    targeted = {"Cache-Control": "public, max-age=5", "CDN-Cache-Control": value, "Set-Cookie": "a=b"}
    assert (policy(targeted) is not None) is kept


def test_a_cookie_of_the_client_does_not_matter() -> None:
    assert policy(FRESH, request=Asked(headers=CIMultiDict(Cookie="a=b"))) is not None


def test_what_varies_on_everything_is_not_kept() -> None:
    assert policy({**FRESH, "Vary": "*"}) is None
    assert policy({**FRESH, "Vary": "Accept"}) is not None


def test_what_says_nothing_about_freshness_is_not_kept() -> None:
    assert policy({"ETag": '"a"', "Last-Modified": date(-DAY)}) is None
    assert policy({"ETag": '"a"', "CDN-Cache-Control": "none", **FRESH}) is None


def test_what_could_never_be_used_is_not_kept() -> None:
    assert policy(control("max-age=0")) is None
    assert policy(control("no-cache, max-age=100")) is None
    assert policy(control("public")) is None
    assert policy(control("max-age=10", Age="15")) is None
    assert policy(control("max-age=10, stale-while-revalidate=10", Age="15")) is not None
    assert policy(control("max-age=10, stale-if-error=10", Age="15")) is not None


@pytest.mark.parametrize("value", ["max-age=0", "no-cache", "public", "must-revalidate", "max-age=x"])
@pytest.mark.parametrize("validator", [("ETag", 'W/"a"'), ("Last-Modified", date(-5))])
def test_what_can_be_validated_is_kept(value: str, validator: tuple[str, str]) -> None:
    found = policy([("Cache-Control", value), validator])
    assert found is not None
    assert found.lifetime == 0.0
    assert found.always_revalidate is (value == "no-cache")


def test_without_explicit_freshness_only_some_statuses_are_kept() -> None:
    assert policy(control("no-cache", ETag='"a"'), status=404) is not None
    assert policy(control("no-cache", ETag='"a"'), status=403) is None
    assert policy(control("no-cache, public", ETag='"a"'), status=403) is not None
