"""Terminal output: colours that can be read, lines as a terminal would leave them, and sequences taken out."""

from __future__ import annotations

import html
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pastebin
from pastebin.services import plaintext
from pastebin.services.jobs import LINE_CHARACTERS, CannotRender
from pastebin.services.renderings import palette
from pastebin.services.renderings.escapes import SEQUENCE, Stripper
from pastebin.services.renderings.terminals import markup


def lines(text: str) -> list[str]:
    return "".join(markup(text)).split("\n")[:-1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain <b>", "plain &lt;b&gt;"),
        ("\x1b[31mred\x1b[0m", '<span class="f1">red</span>'),
        ("\x1b[1;4;92mx", '<span class="B U f10">x</span>'),
        ("\x1b[38;5;200mx\x1b[39my", '<span class="f200">x</span>y'),
        ("\x1b[38;2;255;0;0mx", '<span class="f196">x</span>'),
        ("\x1b[38:2::255:0:0mx", '<span class="f196">x</span>'),
        ("\x1b[48;5;21mx\x1b[49my", '<span class="b21">x</span>y'),
        ("\x1b[7mx\x1b[27my", '<span class="b7">x</span>y'),
        ("\x1b[30;40mx", '<span class="b0">x</span>'),
        ("\x1b]0;title\x07x\x1b]8;;http://evil.example\x1b\\y\x1b]8;;\x1b\\", "xy"),
        ("\x1b[2J\x1b[1;1Hx\x1b(B\x1b=", "x"),
        ("10%\r50%\r100%", "100%"),
        ("downloading\rdone\x1b[K", "done"),
        ("ab\b\bxy", "xy"),
        ("abc\x1b[2Kx", "   x"),
        ("end\r", "end"),
        ("\x1b", ""),
        ("\x1b[999999999999999mx", "x"),
        ("\x1b[38mx", "x"),
        ("\x1b[31", "[31"),
    ],
)
def test_what_a_line_looks_like(text: str, shown: str) -> None:
    assert lines(f"{text}\n") == [shown]


def test_a_style_goes_on_to_the_next_line() -> None:
    assert lines("\x1b[31ma\nb\x1b[0m\nc\n") == ['<span class="f1">a</span>', '<span class="f1">b</span>', "c"]


def test_a_line_nobody_can_show() -> None:
    with pytest.raises(CannotRender):
        lines("\x1b[31m" + "x" * LINE_CHARACTERS + "y\n")


CODES = st.lists(st.integers(0, 110)).map(lambda codes: f"\x1b[{';'.join(map(str, codes))}m")
OUTPUT = st.lists(CODES | st.text(st.sampled_from("ab<&\x1b[]0;m\r\b\x07K?Px\u202e\t"))).map("".join)


@given(OUTPUT)
def test_whatever_comes_each_line_stands_on_its_own(text: str) -> None:
    for line in lines(f"{text}\n"):
        bare = re.sub(r'<span class="[BIUSbf0-9 ]+">|<span class="bidi" title="U\+[0-9A-F]{4}">|</span>', "", line)
        assert "<" not in bare
        assert line.count("<span") == line.count("</span>")


@given(st.text(st.characters(exclude_characters="\x1b\r\b", exclude_categories=["Cs"])))
def test_text_without_codes_is_shown_as_it_is(text: str) -> None:
    decoded = plaintext.decode(text.encode())
    assert "".join(markup(decoded)) == plaintext.escape(decoded)


PIECES = st.sampled_from(
    [b"\x1b", b"[", b"]", b"0;", b"1", b"m", b"\x07", b"\x1b\\", b"P", b"(", b"B", b"text", b"\n", b"\xff"]
)


@given(st.lists(PIECES).map(b"".join), st.lists(st.integers(0, 40)))
def test_a_stream_is_stripped_wherever_it_is_cut(data: bytes, cuts: list[int]) -> None:
    whole = re.sub(SEQUENCE.pattern.encode(), b"", data)
    stripper = Stripper()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [stripper.feed(data[start:end]) for start, end in itertools.pairwise(edges)]
    assert b"".join(parts) + stripper.end() == whole


def test_a_sequence_that_never_ends_is_not_held_for_ever() -> None:
    stripper = Stripper()
    got = b"".join(stripper.feed(b"\x1b]0;" + b"x" * 1000) for _ in range(100))
    assert len(got) > 90_000
    assert len(stripper.end()) < 5000


# Colours


def test_the_style_sheet_is_that_of_the_palette() -> None:
    sheet = (Path(pastebin.__file__).parent / "static" / "terminal.css").read_text()
    assert sheet.endswith(palette.stylesheet())


def test_every_colour_can_be_read() -> None:
    for number in range(256):
        assert palette.contrast(palette.ink(number), palette.PAPER) >= 4.5
        assert palette.contrast(palette.ink_on(number), palette.PALETTE[number]) >= 4.5, "WCAG leaves no gap between"


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_the_nearest_colour_is_near(red: int, green: int, blue: int) -> None:
    found = palette.PALETTE[palette.nearest(red, green, blue)]
    assert palette.nearest(red, green, blue) >= 16
    assert all(abs(one - other) <= 48 for one, other in zip(found, (red, green, blue), strict=True))


def test_html_of_a_line_is_its_text() -> None:
    assert html.unescape(re.sub("<[^>]*>", "", lines("\x1b[31m<a>&amp;\x1b[0m\n")[0])) == "<a>&amp;"
