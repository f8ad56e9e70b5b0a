"""The index of the lines of a text: bounded, the same however the text arrives, and right about where they are."""

from __future__ import annotations

import re
from itertools import pairwise
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.services import lines_index
from pastebin.services.lines_index import LineCounter, LineIndex, decoded

BODIES = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bcd", b"\xc3", b"\n\n\n"]), max_size=60).map(b"".join)
BLOCK = 4
BLOCKS = 6


def counted(body: bytes, cuts: list[int] | None = None) -> LineIndex:
    """The index, with blocks so small that a short text has several, and that they have to grow."""
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts or []), len(body)]
    with patch.multiple(lines_index, SMALLEST_BLOCK_BYTES=BLOCK, MOST_BLOCKS=BLOCKS):
        counter = LineCounter()
        for start, stop in pairwise(edges):
            counter.feed(body[start:stop])
        return counter.finish()


def lines_of(body: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+\Z", body)


@given(BODIES, st.lists(st.integers(0, 200)))
def test_it_knows_how_many_lines_there_are(body: bytes, cuts: list[int]) -> None:
    index = counted(body, cuts)
    assert index == counted(body)
    assert (index.size, index.line_count) == (len(body), len(lines_of(body)))
    assert len(index.ends) - 1 <= BLOCKS or index.block_bytes == BLOCK
    assert len(index.ends) - 1 <= BLOCKS


@given(BODIES, st.integers(1, 70), st.none() | st.integers(0, 30))
def test_a_span_holds_the_lines_and_hardly_more(body: bytes, first: int, more: int | None) -> None:
    index = counted(body)
    last = None if more is None else first + more
    span = index.span(first, last)
    part = body[span.start : span.stop].split(b"\n")[span.skip :]
    wanted = b"".join(lines_of(body)[first - 1 : last])
    assert b"\n".join(part).startswith(wanted)
    if first > index.line_count:
        assert (span.start, span.stop, span.skip) == (len(body), len(body), 0)
        return
    start = len(b"".join(lines_of(body)[: first - 1]))
    stop = start + len(wanted)
    assert start - index.block_bytes <= span.start <= start
    assert stop <= span.stop <= stop + index.block_bytes


@given(BODIES)
def test_what_was_kept_is_the_same_index(body: bytes) -> None:
    index = counted(body)
    again = decoded(index.encode(), size=index.size, block_bytes=index.block_bytes, is_ended=index.is_ended)
    assert again == index


def test_what_is_no_index_of_the_text_is_refused() -> None:
    index = counted(b"a\nb\n" * 5)
    for counts, size in ((index.encode()[:-1], index.size), (index.encode(), index.size * 9), (b"", index.size)):
        with pytest.raises(ValueError, match=r"index|bytes"):
            decoded(counts, size=size, block_bytes=index.block_bytes, is_ended=True)


def test_a_long_text_has_an_index_that_stays_small() -> None:
    counter = LineCounter()
    line = b"x" * 1023 + b"\n"
    piece = line * 1024
    with patch.multiple(lines_index, MOST_BLOCKS=64):
        for _ in range(40):
            counter.feed(piece)
    index = counter.finish()
    assert index.line_count == 40 * 1024
    assert index.weight < 1024
    span = index.span(20_000, 20_100)
    assert span.stop - span.start <= 101 * 1024 + 2 * index.block_bytes
