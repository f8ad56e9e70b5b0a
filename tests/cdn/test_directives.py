from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pastebin.cdn.directives import LONGEST, NONE, Directives, of_request, of_response, parse_seconds

# What header parsers let through: anything but controls, undecodable bytes as surrogates.
VALUES = st.text(st.characters(exclude_categories=["Cc"]), max_size=60) | st.text("ab1=\"\\,; \t-é'", max_size=40)


def response(*lines: str, target: str | None = None) -> dict[str, Any]:
    """What a response says, without what it does not say."""
    headers = CIMultiDict([("Cache-Control", line) for line in lines])
    if target is not None:
        headers.add("CDN-Cache-Control", target)
    return said(of_response(headers))


def request(*lines: str, pragma: str | None = None) -> dict[str, Any]:
    headers = CIMultiDict([("Cache-Control", line) for line in lines])
    if pragma is not None:
        headers.add("Pragma", pragma)
    return said(of_request(headers))


def said(directives: Directives) -> dict[str, Any]:
    silent = {field.name: getattr(NONE, field.name) for field in fields(Directives)}
    return {name: getattr(directives, name) for name in silent if getattr(directives, name) != silent[name]}


def test_nothing_is_said() -> None:
    assert of_response(CIMultiDict()) is NONE
    assert of_request(CIMultiDict()) is NONE
    assert response("") == response(", ,\t,") == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=3600", {"max_age": 3600}),
        ("MaX-aGe=3600", {"max_age": 3600}),
        ("max-age=003600", {"max_age": 3600}),
        ('max-age="3600"', {"max_age": 3600}),
        ("foobar, max-age=3600", {"max_age": 3600}),
        ("max-age=3600, foo=bar, b4z", {"max_age": 3600}),
        ("max-age=0", {"max_age": 0}),
        ("max-age=1,s-maxage=2", {"max_age": 1, "s_maxage": 2}),
        ("No-StOrE", {"no_store": True}),
        ("no-cache", {"no_cache": True}),
        ("private", {"private": True}),
        ("public", {"public": True}),
        ("must-revalidate", {"must_revalidate": True}),
        ("proxy-revalidate", {"proxy_revalidate": True}),
        ("no-transform", {"no_transform": True}),
        ("must-understand, no-store", {"must_understand": True, "no_store": True}),
        ("stale-while-revalidate=5", {"stale_while_revalidate": 5}),
        ("stale-if-error=6", {"stale_if_error": 6}),
        ("immutable", {}),
        (", ,public , ,", {"public": True}),
    ],
)
def test_response_directives(value: str, expected: dict[str, Any]) -> None:
    assert response(value) == expected


def test_lines_are_one_list() -> None:
    assert response("max-age=1", "public") == response("max-age=1, public") == {"max_age": 1, "public": True}


@pytest.mark.parametrize("seconds", ["2147483648", "2147483649", "99999999999", "9" * 5000, "0" * 5000 + "99999999999"])
def test_seconds_without_end(seconds: str) -> None:
    assert response(f"max-age={seconds}") == {"max_age": LONGEST}


@pytest.mark.parametrize(
    "value",
    [
        "max-age=-1",
        "max-age=a3600",
        "max-age=3600a",
        "max-age=3600.0",
        "max-age='3600'",
        "max-age=1e3",
        "max-age=0x10",
        "max-age=+5",
        "max-age=",
        'max-age=""',
        'max-age=" 5"',
        "max-age",
        "max-age=٣",
        "max-age =3600",
        "max-age= 3600",
        "max-age=36 00",
        "max-age=3600; public",
        "max-age:3600",
        'max-age="3600',
        'max-age="36"00',
        "max-age==3600",
    ],
)
def test_seconds_that_are_none_are_over(value: str) -> None:
    assert response(value) == {"max_age": 0}


def test_repeated_seconds() -> None:
    assert response("max-age=5, max-age=5") == {"max_age": 5}
    assert response("max-age=1800, max-age=1") == {"max_age": 0}
    assert response("max-age=1", "max-age=1800") == {"max_age": 0}
    assert response("max-age=7, max-age=5, max-age=7") == {"max_age": 0}


def test_what_is_quoted_is_no_directive() -> None:
    assert response('extension="max-age=3600", max-age=1') == {"max_age": 1}
    assert response('max-age=1, extension="max-age=3600"') == {"max_age": 1}
    assert response('extension="a\\", max-age=3600", max-age=1') == {"max_age": 1}
    assert response('extension="no-store, private"') == {}
    assert response(r'private="\s\e\t-cookie"') == {"private_fields": {"set-cookie"}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('no-cache="set-cookie"', {"no_cache_fields": {"set-cookie"}}),
        ('no-cache="Set-Cookie, X-User"', {"no_cache_fields": {"set-cookie", "x-user"}}),
        ("no-cache=set-cookie", {"no_cache_fields": {"set-cookie"}}),
        ('private="a",private="b"', {"private_fields": {"a", "b"}}),
        ('no-cache="a", no-cache', {"no_cache": True, "no_cache_fields": {"a"}}),
        ('private="set-cookie", no-cache="x"', {"private_fields": {"set-cookie"}, "no_cache_fields": {"x"}}),
        # no names, or not names, or names of what a response cannot be without: all of it
        ('private=""', {"private": True}),
        ('private=" , "', {"private": True}),
        ('private="set cookie"', {"private": True}),
        ('no-cache="a;b"', {"no_cache": True}),
        ('no-cache="Content-Type"', {"no_cache": True}),
        ('private="vary, set-cookie"', {"private": True}),
        ("private=", {"private": True}),
        ('no-cache="set-cookie', {"no_cache": True}),
    ],
)
def test_some_fields_only(value: str, expected: dict[str, Any]) -> None:
    assert response(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # limits count however they are put, grants only if they are put well
        ("no-store=1", {"no_store": True}),
        ('must-revalidate="x"', {"must_revalidate": True}),
        ("no-store;private", {"no_store": True, "private": True}),
        ("max-age=60; private", {"max_age": 0, "private": True}),
        ("foo bar no-cache, max-age=5", {"no_cache": True, "max_age": 5}),
        ("public=1", {}),
        ("public;foo", {}),
        ("must-understand=yes, no-store", {"no_store": True}),
        ("@, max-age=5", {"max_age": 5}),
        # quotes without end: what follows could be inside
        ('a="b, public, max-age=5', {"max_age": 0}),
        ('max-age=5, a="b, no-store', {"max_age": 5, "no_store": True}),
        ('a="b, private="set-cookie"', {"private": True}),
    ],
)
def test_broken_syntax_is_read_strictly(value: str, expected: dict[str, Any]) -> None:
    assert response(value) == expected


@given(VALUES)
@example('a="')
@example('a="\\')
@example('"')
def test_nothing_hides_a_limit(value: str) -> None:
    assert of_response(CIMultiDict({"Cache-Control": f"no-store, {value}"})).no_store
    if value.count('"') == 0:
        assert of_response(CIMultiDict({"Cache-Control": f"{value}, private"})).private


@given(VALUES, VALUES)
def test_anything_can_be_read(value: str, target: str) -> None:
    headers = CIMultiDict({"Cache-Control": value, "Pragma": value, "CDN-Cache-Control": target})
    for found in (of_response(headers), of_request(headers)):
        assert found.max_age is None or 0 <= found.max_age <= LONGEST


@given(st.integers(0, 10**20))
def test_seconds(number: int) -> None:
    assert parse_seconds(str(number)) == min(number, LONGEST)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("max-age=0", {"max_age": 0}),
        ("max-age=x", {"max_age": 0}),
        ("min-fresh=20", {"min_fresh": 20}),
        ("max-stale=10", {"max_stale": 10}),
        ("max-stale", {"max_stale": LONGEST}),
        ("max-stale=x", {"max_stale": 0}),
        ("no-cache", {"no_cache": True}),
        ('no-cache="x"', {"no_cache": True}),
        ("no-store, only-if-cached, no-transform", {"no_store": True, "only_if_cached": True, "no_transform": True}),
        ("stale-if-error=5", {"stale_if_error": 5}),
    ],
)
def test_request_directives(value: str, expected: dict[str, Any]) -> None:
    assert request(value) == expected


def test_pragma_is_for_clients_that_know_no_better() -> None:
    assert request(pragma="no-cache") == request(pragma="foo, No-Cache") == {"no_cache": True}
    assert request(pragma="foo") == {}
    assert request("max-age=60", pragma="no-cache") == {"max_age": 60}
    assert said(of_response(CIMultiDict({"Pragma": "no-cache", "Cache-Control": "max-age=5"}))) == {"max_age": 5}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("max-age=600", {"max_age": 600}),
        ("max-age=2147483649", {"max_age": LONGEST}),
        ("max-age=99999999999", {"max_age": LONGEST}),
        ("  max-age=600,public  ", {"max_age": 600, "public": True}),
        ("foobar, max-age=3600", {"max_age": 3600}),
        ("max-age=600;q=1, public;a", {"max_age": 600, "public": True}),  # parameters mean nothing
        ("max-age=600; no-store", {"max_age": 600}),
        ("max-age=1, max-age=600", {"max_age": 600}),  # RFC 9651, section 3.2: the last one counts
        ("no-store", {"no_store": True}),
        ("no-cache", {"no_cache": True}),
        ('no-cache="set-cookie, x"', {"no_cache_fields": {"set-cookie", "x"}}),
        ("private=set-cookie", {"private_fields": {"set-cookie"}}),
        ('private=""', {"private": True}),
        ("must-revalidate, stale-if-error=7", {"must_revalidate": True, "stale_if_error": 7}),
        ("none", {}),
        # of another type than the directive has: as if it was not there (RFC 9213, section 2.1)
        ('max-age="600"', {}),
        ("max-age=600.0", {}),
        ("max-age=-5", {}),
        ("max-age", {}),
        ("max-age=?1", {}),
        ("max-age=(600)", {}),
        ("max-age=:NjAw:", {}),
        ("no-store=?0, max-age=5", {"max_age": 5}),
        ("no-store=1, private=5, no-cache=(a b)", {}),
        ("public=?0", {}),
    ],
)
def test_what_is_targeted_at_us_wins(target: str, expected: dict[str, Any]) -> None:
    assert response("max-age=1, s-maxage=2, stale-while-revalidate=3", target=target) == {
        **expected,
        "is_targeted": True,
    }


@pytest.mark.parametrize(
    "target",
    [
        "",
        "  ",
        "max-age=10000, &&&&&",
        "max-age =600",
        "max-age= 600",
        "MaX-aGe=600",
        "max-age=600,",
        "max-age=",
        "max-age='600'",
        "max-age=600a",
        "max-age=9999999999999999",
        'max-age="600',
        "no-store;;",
        "private, é",
        "\tmax-age=600",
        "max-age=600\udcff",
    ],
)
def test_what_is_no_structured_field_counts_as_absent(target: str) -> None:
    assert response("no-store", target=target) == {"no_store": True}


def test_lines_of_a_targeted_field_are_one_field() -> None:
    headers = CIMultiDict([("CDN-Cache-Control", "max-age=5"), ("cdn-cache-control", "no-cache")])
    assert said(of_response(headers)) == {"max_age": 5, "no_cache": True, "is_targeted": True}
    headers.add("CDN-Cache-Control", "!")
    assert said(of_response(headers)) == {}


def test_other_targets_are_not_ours() -> None:
    headers = CIMultiDict({"Surrogate-Control": "max-age=5", "Example-Cache-Control": "max-age=6"})
    assert of_response(headers) is NONE


@pytest.mark.parametrize(
    ("value", "forbids"),
    [
        ("must-revalidate", True),
        ("proxy-revalidate", True),
        ("s-maxage=5", True),
        ("no-cache", True),
        ('no-cache="a"', False),
        ("max-age=5, public", False),
    ],
)
def test_who_forbids_stale_answers(value: str, forbids: bool) -> None:
    assert of_response(CIMultiDict({"Cache-Control": value})).forbids_stale is forbids


@pytest.mark.parametrize(
    ("value", "allows"),
    [
        ("must-revalidate", True),
        ("public", True),
        ("s-maxage=5", True),
        ("proxy-revalidate", False),
        ("max-age=5", False),
        ("no-cache", False),
    ],
)
def test_who_allows_credentials(value: str, allows: bool) -> None:
    assert of_response(CIMultiDict({"Cache-Control": value})).allows_authorised is allows


def test_long_values_are_read_and_forgotten() -> None:
    filler = ",".join(f"x{number}" for number in range(400))
    assert response(f"{filler},no-store") == {"no_store": True}
    assert response(target=f"{filler},no-store") == {"no_store": True, "is_targeted": True}
    assert request(f"{filler},no-store") == {"no_store": True}
