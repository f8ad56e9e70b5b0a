"""Windows of a text: the lines that were asked for, as many as fit, however long they are and however they arrive."""

from __future__ import annotations

import re
from itertools import pairwise
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from pastebin.services import lines_window
from pastebin.services.lines_html import window_html
from pastebin.services.lines_window import Cutter, Line, Window

BODIES = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bc", "ü".encode(), b"\xff", b"longer "]), max_size=60)
SMALL = {"WINDOW_BYTES": 60, "LINE_BYTES": 8, "READ_BYTES": 150}


def cut(body: bytes, cuts: list[int], skip: int, count: int) -> tuple[Line, ...]:
    edges = [0, *sorted(place % (len(body) + 1) for place in cuts), len(body)]
    cutter = Cutter(skip, count)
    is_end = True
    for start, stop in pairwise(edges):
        if cutter.is_full:
            is_end = False
            break
        cutter.feed(body[start:stop])
    return cutter.finish(is_end=is_end)


@given(BODIES.map(b"".join), st.lists(st.integers(0, 100)), st.integers(0, 8), st.integers(1, 9))
def test_without_long_lines_it_is_what_splitting_gives(body: bytes, cuts: list[int], skip: int, count: int) -> None:
    lines = [re.sub(rb"\r?\n\Z", b"", line) for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", body)]
    if not body.endswith(b"\n"):
        lines[-1:] = [line.removesuffix(b"\r") for line in lines[-1:]]
    assert cut(body, cuts, skip, count) == tuple(map(Line, lines[skip : skip + count]))


@given(BODIES.map(b"".join), st.lists(st.integers(0, 100)), st.integers(0, 8), st.integers(1, 9))
def test_it_is_bounded_and_each_line_is_its_beginning(body: bytes, cuts: list[int], skip: int, count: int) -> None:
    lines = [line.removesuffix(b"\n") for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", body)][skip:]
    with patch.multiple(lines_window, **SMALL):
        found = cut(body, cuts, skip, count)
    assert len(found) <= count
    assert bool(found) == bool(lines)
    assert sum(len(line.text) + 1 for line in found) <= 60 + 9
    for line, whole in zip(found, lines, strict=False):
        assert whole.startswith(line.text)
        assert len(line.text) <= 8
        if line.hidden:
            assert len(line.text) + line.hidden == len(whole)
        elif line.hidden == 0:
            assert line.text == whole.removesuffix(b"\r")


def test_a_line_that_never_ends_is_shown_by_its_beginning() -> None:
    cutter = Cutter(0)
    chunk = b"x" * 262_144
    read = 0
    while not cutter.is_full:
        cutter.feed(chunk)
        read += len(chunk)
    (line,) = cutter.finish(is_end=False)
    assert (line.text, line.hidden) == (b"x" * lines_window.LINE_BYTES, None)
    assert read <= lines_window.READ_BYTES


def test_half_a_character_is_not_shown() -> None:
    with patch.multiple(lines_window, LINE_BYTES=8):
        (line,) = cut(b"1234567\xe2\x82\xac and more\n", [], 0, 5)
    assert (line.text, line.hidden) == (b"1234567", 12)


def test_the_html_has_the_numbers_of_the_whole_text() -> None:
    window = Window(41, (Line(b"<b>"), Line(b"long", 9)), 99)
    html = window_html(window.lines, ["&lt;b&gt;", "long"], window.first, "f2-")
    assert '<span class="line" id="f2-L41"><a class="n" href="#f2-L41" data-n="41"' in html
    assert html.count("</a>&lt;b&gt;\n</span>") == 1
    assert html.endswith('</a>long<span class="cut" aria-hidden="true">…</span>\n</span>')
