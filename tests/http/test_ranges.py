from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.ranges import Range, Unsatisfiable, content_range, parse_range

SIZES = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        (None, 100, None),
        ("bytes=0-9", 100, Range(0, 9)),
        ("bytes=90-", 100, Range(90, 99)),
        ("bytes=90-1000", 100, Range(90, 99)),
        ("bytes=-10", 100, Range(90, 99)),
        ("bytes=-1000", 100, Range(0, 99)),
        ("BYTES=0-0", 100, Range(0, 0)),
        ("bytes= 0-9 ", 100, Range(0, 9)),
        ("bytes=,0-9,", 100, Range(0, 9)),
        (f"bytes=0-{'9' * 100}", 100, Range(0, 99)),
        (f"bytes=-{'0' * 99}5", 100, Range(95, 99)),
    ],
)
def test_one_range_is_honoured(header: str | None, size: int, expected: Range | None) -> None:
    assert parse_range(header, size) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={'9' * 100}-"])
def test_a_range_behind_the_end_is_unsatisfiable(header: str) -> None:
    outcome = parse_range(header, 100)
    assert isinstance(outcome, Unsatisfiable)
    assert content_range(outcome, 100) == "bytes */100"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=,",
        "bytes=9-0",
        "bytes=0-9,20-29",
        "bytes=0-9-10",
        "bytes=+1-2",
        "bytes=1_0-2_0",
        "bytes=0x1-2",
        "bytes=a-b",
        "bytes =0-9",
        "bytes=0 - 9",
        "bytes=\u0661-\u0665",
        "bytes=\u00b2-",
        "bytes=0-9\n",
        "lines=0-9",
        "0-9",
        f"bytes={'9' * 5000}-",
        "bytes=0-\udcff",
    ],
)
def test_what_is_not_one_byte_range_is_ignored(header: str) -> None:
    assert parse_range(header, 100) is None


def test_an_empty_body_has_no_first_byte() -> None:
    assert parse_range("bytes=0-", 0) == Unsatisfiable()
    assert parse_range("bytes=-5", 0) is None


@given(SIZES, st.integers(0, 12_000), st.integers(0, 12_000))
def test_it_cuts_as_a_slice_does(size: int, first: int, last: int) -> None:
    body = list(range(size))
    part = parse_range(f"bytes={first}-{last}", size)
    if last < first:
        assert part is None
    elif first >= size:
        assert part == Unsatisfiable()
    else:
        assert isinstance(part, Range)
        assert body[part.first : part.last + 1] == body[first : last + 1]
        assert part.length == len(body[first : last + 1])
        assert content_range(part, size) == f"bytes {part.first}-{part.last}/{size}"


@given(SIZES, st.integers(1, 12_000))
def test_a_suffix_cuts_from_the_end(size: int, length: int) -> None:
    body = list(range(size))
    part = parse_range(f"bytes=-{length}", size)
    if size:
        assert isinstance(part, Range)
        assert body[part.first : part.last + 1] == body[-length:]


@given(st.text() | st.text("bytes=0123456789-, ").map(lambda text: f"bytes={text}"), SIZES)
def test_whatever_comes_the_range_lies_within_the_body(header: str, size: int) -> None:
    part = parse_range(header, size)
    if isinstance(part, Range):
        assert 0 <= part.first <= part.last < size
