from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.lines import parse_lines
from pastebin.services.lines_window import LineWindow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10", (10, 10)),
        ("10-20", (10, 20)),
        ("10-10", (10, 10)),
        ("10-", (10, None)),
        ("-20", (1, 20)),
        ("1", (1, 1)),
        ("007", (7, 7)),
        ("9" * 15, (10**15 - 1, 10**15 - 1)),
    ],
)
def test_lines(text: str, expected: tuple[int, int | None]) -> None:
    assert parse_lines(text) == expected


REFUSED = ["", "-", "0", "0-5", "-0", "20-10", "1,2", "1-2-3", "L1", "+1", " 1", "1 ", "1\n", "1.5", "\u0661", "9" * 16]


@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="10-20"):
        parse_lines(text)


@given(st.text() | st.text("0123456789-"))
def test_what_is_accepted_makes_sense(text: str) -> None:
    try:
        first, last = parse_lines(text)
    except ValueError:
        return
    assert first >= 1
    assert last is None or last >= first


def chunked(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:stop] for start, stop in pairwise(edges)]


BODIES = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bc", b"\xc3", b"\x0b", b"\xe2\x80\xa8"])).map(b"".join)


@given(BODIES, st.lists(st.integers(0, 100)), st.integers(1, 12), st.none() | st.integers(0, 12))
def test_the_window_is_what_splitting_gives(body: bytes, cuts: list[int], first: int, more: int | None) -> None:
    last = None if more is None else first + more
    lines = re.findall(rb"[^\n]*\n|[^\n]+\Z", body)
    window = LineWindow(first, last)
    cut = b""
    for chunk in chunked(body, cuts):
        if window.done:
            assert window.feed(chunk) == b""
        cut += window.feed(chunk)
    assert cut == b"".join(lines[first - 1 : last])
    assert window.done is (last is not None and body.count(b"\n") >= last)


def test_it_is_done_as_soon_as_the_last_line_has_ended() -> None:
    window = LineWindow(2, 3)
    assert window.feed(b"one\ntwo\nthr") == b"two\nthr"
    assert not window.done
    assert window.feed(b"ee\nfour\n") == b"ee\n"
    assert window.done
    assert window.feed(b"five\n") == b""


def test_deep_windows_are_found_in_big_chunks() -> None:
    chunk = b"\n" * 262_144
    window = LineWindow(1_000_000, 1_000_001)
    assert b"".join(window.feed(chunk) for _ in range(4)) == b"\n\n"
    assert window.done
