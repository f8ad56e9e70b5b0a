from __future__ import annotations

import pytest
from multidict import CIMultiDict

from pastebin.cdn import validation
from pastebin.cdn.freshness import Policy
from tests.cdn.responses import NOW, Asked, date

# section 3.1: headers


def test_what_is_about_one_connection_is_not_kept() -> None:
    headers = {
        "Age": "5",
        "Connection": "close, A,\tb",
        "A": "1",
        "B": "2",
        "C": "3",
        "Keep-Alive": "timeout=5",
        "Proxy-Authenticate": "Basic",
        "Proxy-Authentication-Info": "x",
        "Proxy-Authorization": "x",
        "Proxy-Connection": "close",
        "TE": "trailers",
        "Trailer": "X",
        "Transfer-Encoding": "chunked",
        "Upgrade": "h2c",
        "Date": date(-5),
        "WWW-Authenticate": "Basic",
        "X-Unknown": "yes",
    }
    kept = validation.storable_headers(CIMultiDict(headers), NOW)
    assert set(kept) == {"C", "Date", "WWW-Authenticate", "X-Unknown"}


def test_fields_that_may_not_be_reused() -> None:
    headers = CIMultiDict(
        [("Cache-Control", 'no-cache="a, B", private="set-cookie"'), ("Set-Cookie", "x=1"), ("Set-Cookie", "y=2")]
    )
    headers.extend({"A": "1", "b": "2", "c": "3", "Date": date()})
    kept = validation.storable_headers(headers, NOW)
    assert set(kept) == {"Cache-Control", "c", "Date"}


def test_lines_stay_as_they_came() -> None:
    headers = CIMultiDict([("Link", "<a>"), ("Date", date()), ("Link", "<b>")])
    assert list(validation.storable_headers(headers, NOW).items()) == list(headers.items())


@pytest.mark.parametrize("lines", [[], ["foo"], [date(-1), date(-2)]])
def test_a_date_is_made_where_there_is_none(lines: list[str]) -> None:  # RFC 9110, section 6.6.1
    kept = validation.storable_headers(CIMultiDict([("Date", line) for line in lines]), NOW + 0.9)
    assert kept.getall("Date") == [date()]


# section 4.3: validation


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {}),
        ({"ETag": '"a"'}, {"If-None-Match": '"a"'}),
        ({"ETag": 'W/"a"', "Last-Modified": date(-9)}, {"If-None-Match": 'W/"a"', "If-Modified-Since": date(-9)}),
        ({"ETag": "a"}, {}),
        ({"ETag": '"a", "b"', "Last-Modified": "yesterday"}, {}),
    ],
)
def test_validators(headers: dict[str, str], expected: dict[str, str]) -> None:
    assert validation.validators(CIMultiDict(headers)) == expected


def test_what_if_modified_since_is_about() -> None:
    both = CIMultiDict({"Last-Modified": date(-9), "Date": date(-5)})
    assert validation.modified(both, NOW).timestamp() == NOW - 9
    assert validation.modified(CIMultiDict({"Date": date(-5)}), NOW).timestamp() == NOW - 5
    assert validation.modified(CIMultiDict(), NOW).timestamp() == NOW


@pytest.mark.parametrize(
    ("received", "confirms"),
    [
        ({}, True),
        ({"ETag": '"a"'}, True),
        ({"ETag": '"b"'}, False),
        ({"ETag": 'W/"a"'}, True),
        ({"ETag": 'W/"b"'}, False),
        ({"ETag": '"b"', "Last-Modified": date(-9)}, False),
        ({"ETag": 'W/"b"', "Last-Modified": date(-9)}, False),
        ({"Last-Modified": date(-9)}, True),
        ({"Last-Modified": date(-8)}, False),
    ],
)
def test_whom_a_304_confirms(received: dict[str, str], confirms: bool) -> None:  # section 4.3.4
    stored = CIMultiDict({"ETag": '"a"', "Last-Modified": date(-9)})
    assert validation.is_confirmed(stored, CIMultiDict(received)) is confirms


def test_a_weak_tag_is_not_confirmed_by_a_strong_one() -> None:
    assert not validation.is_confirmed(CIMultiDict({"ETag": 'W/"a"'}), CIMultiDict({"ETag": '"a"'}))
    assert not validation.is_confirmed(CIMultiDict(), CIMultiDict({"ETag": '"a"'}))


@pytest.mark.parametrize("status", [200, 204, 301, 404, 410, 403])
def test_answers_that_end_what_is_stored(status: int) -> None:  # section 4.3.3
    assert validation.is_over(status)


@pytest.mark.parametrize("status", [400, 406, 408, 425, 429, 431, 500, 503, 599])
def test_answers_that_do_not(status: int) -> None:
    assert not validation.is_over(status)


@pytest.mark.parametrize(
    ("received", "describes"),
    [
        ({}, True),
        ({"ETag": '"a"', "Last-Modified": date(-9), "Content-Length": "10"}, True),
        ({"ETag": '"b"'}, False),
        ({"Last-Modified": date(-8)}, False),
        ({"Content-Length": "11"}, False),
        ({"Content-Length": "11", "ETag": '"b"', "Content-Encoding": "gzip"}, True),
    ],
)
def test_what_a_head_describes(received: dict[str, str], describes: bool) -> None:  # section 4.3.5
    stored = CIMultiDict({"ETag": '"a"', "Last-Modified": date(-9)})
    assert validation.is_described(stored, 10, CIMultiDict(received)) is describes


def renewed(
    stored: dict[str, str], received: dict[str, str], *, status: int = 200, method: str = "GET"
) -> tuple[CIMultiDict[str], Policy | None]:
    return validation.renew(
        Asked(method),
        status,
        CIMultiDict(stored),
        CIMultiDict(received),
        requested_at=NOW,
        responded_at=NOW,
    )


STORED = {"Date": date(-500), "ETag": '"a"', "Cache-Control": "max-age=1", "A": "1", "Content-Type": "text/plain"}


def test_a_304_updates_what_it_carries() -> None:  # section 3.2
    received = {"Date": date(), "ETag": '"a"', "Cache-Control": "max-age=60", "Content-Type": "text/html", "B": "2"}
    headers, kept = renewed(STORED, received)
    assert dict(headers) == {**received, "A": "1"}
    assert kept == Policy(60.0, 0.0)


def test_a_304_does_not_touch_the_body() -> None:
    body = {"Content-Encoding": "gzip", "Content-Length": "10", "Vary": "Accept-Encoding"}
    received = {"Content-Encoding": "br", "Content-Length": "0", "Content-Range": "bytes 0-1/2", "Age": "7"}
    headers, kept = renewed(
        {**STORED, **body}, {**received, "Transfer-Encoding": "chunked", "Connection": "x", "X": ""}
    )
    assert dict(headers) == {**STORED, **body, "Date": date()}
    assert kept is not None
    assert kept.initial_age == 7


def test_all_lines_of_a_field_are_replaced() -> None:
    stored = CIMultiDict([("Link", "<a>"), ("link", "<b>"), ("C", "3")])
    received = CIMultiDict([("LINK", "<c>"), ("Link", "<d>"), ("Date", date())])
    headers = validation.updated(stored, received, NOW)
    assert headers.getall("Link") == ["<c>", "<d>"]
    assert headers["C"] == "3"


def test_a_304_without_date_is_of_now() -> None:
    headers, kept = renewed(STORED, {"Cache-Control": "max-age=60"})
    assert headers["Date"] == date()
    assert kept == Policy(60.0, 0.0)


def test_expires_of_before_counts_from_the_new_date() -> None:
    stored = {"Date": date(-500), "ETag": '"a"', "Expires": date(-440)}
    _, kept = renewed(stored, {"Date": date()})
    assert kept is not None
    assert kept.lifetime == 0
    _, kept = renewed(stored, {"Date": date(), "Expires": date(60)})
    assert kept is not None
    assert kept.lifetime == 60


@pytest.mark.parametrize(
    "received", [{"Cache-Control": "no-store"}, {"Cache-Control": "private"}, {"Vary": "*"}, {"Vary": "Accept"}]
)
def test_a_304_can_end_a_response(received: dict[str, str]) -> None:
    headers, kept = renewed(STORED, received)
    assert headers["A"] == "1"
    assert kept is None


def test_a_304_cannot_bring_fields_that_may_not_be_reused() -> None:
    headers, kept = renewed(
        {**STORED, "Cache-Control": 'max-age=5, no-cache="set-cookie"'}, {"Set-Cookie": "a=b", "Date": date()}
    )
    assert "Set-Cookie" not in headers
    assert kept is not None


def test_a_head_renews_an_answer_to_get() -> None:
    _, kept = renewed(STORED, {"Cache-Control": "max-age=60"}, method="HEAD")
    assert kept == Policy(60.0, 0.0)


# section 4.4: invalidation

TARGET = "http://example.org/a/b?q"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FOO", "get"])
@pytest.mark.parametrize("status", [200, 201, 204, 303, 399])
def test_unsafe_methods_invalidate(method: str, status: int) -> None:
    assert validation.invalidates(method, status, TARGET, CIMultiDict()) == [TARGET]


@pytest.mark.parametrize("status", [100, 199, 400, 404, 500, 503])
def test_failures_do_not(status: int) -> None:
    assert validation.invalidates("POST", status, TARGET, CIMultiDict({"Location": "/c"})) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"])
def test_safe_methods_do_not(method: str) -> None:
    assert validation.invalidates(method, 200, TARGET, CIMultiDict({"Location": "/c"})) == []


@pytest.mark.parametrize(
    ("reference", "uri"),
    [
        ("/c", "http://example.org/c"),
        ("c?d#e", "http://example.org/a/c?d"),
        ("http://EXAMPLE.org:80/c", "http://EXAMPLE.org:80/c"),
        ("", TARGET),
        ("//example.org/c", "http://example.org/c"),
        ("https://example.org/c", None),
        ("http://example.org:8080/c", None),
        ("http://example.com/c", None),
        ("//example.com/c", None),
        ("http://example.org:x/c", None),
        ("http://[::1/c", None),
        ("mailto:a@example.org", None),
    ],
)
@pytest.mark.parametrize("name", ["Location", "Content-Location"])
def test_what_else_is_invalidated(name: str, reference: str, uri: str | None) -> None:
    found = validation.invalidates("POST", 201, f"{TARGET}#f", CIMultiDict({name: reference}))
    assert found == [TARGET] + ([uri] if uri not in (None, TARGET) else [])
