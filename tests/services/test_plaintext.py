from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.services import plaintext

BIDI = re.compile(r'<span class="bidi" title="U\+[0-9A-F]{4}">(.)</span>')


def shown(text: str) -> str:
    """What a reader sees of `text`, written down in another way than the code does it."""

    def see(character: str) -> str:
        code = ord(character)
        if character in "\t\n":
            return character
        if code < 0x20:
            return chr(0x2400 + code)
        if code == 0x7F:
            return "\N{SYMBOL FOR DELETE}"
        kind = unicodedata.bidirectional(character)
        is_control = unicodedata.category(character) in ("Cc", "Zl", "Zp")
        return "\N{REPLACEMENT CHARACTER}" if is_control or kind in BIDI_KINDS else character

    return "".join(map(see, text))


BIDI_KINDS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\n\n", ["a", ""]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\rb\r", ["a", "b"]),
        (b"10%\r20%\rdone\n", ["10%\N{SYMBOL FOR CARRIAGE RETURN}20%\N{SYMBOL FOR CARRIAGE RETURN}done"]),
        (b"a\x0cb\x0bc\n", ["a\N{SYMBOL FOR FORM FEED}b\N{SYMBOL FOR VERTICAL TABULATION}c"]),
        ("a\u2028b\u2029c\x85d\n".encode(), ["a\ufffdb\ufffdc\ufffdd"]),
        (b"\xef\xbb\xbfa", ["a"]),
        (b"\xff\xfea\x80", ["\ufffd\ufffda\ufffd"]),
        (b"\0\x1b[31m", ["\N{SYMBOL FOR NULL}\N{SYMBOL FOR ESCAPE}[31m"]),
        (b"<b>&amp;</b>", ["&lt;b&gt;&amp;amp;&lt;/b&gt;"]),
        ("\u202eabc".encode(), ['<span class="bidi" title="U+202E">\ufffd</span>abc']),
    ],
)
def test_lines_as_they_are_shown(content: bytes, lines: list[str]) -> None:
    rendered, count = plaintext.render(content)
    assert count == len(lines)
    assert rendered == "\n".join(lines)


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_become_text_and_nothing_but_text(content: bytes) -> None:
    rendered, count = plaintext.render(content)
    text = plaintext.decode(content)
    without_ours = BIDI.sub(r"\1", rendered)
    assert "<" not in without_ours
    assert ">" not in without_ours
    assert html.unescape(without_ours) == shown(text[:-1])
    assert not any(unicodedata.bidirectional(character) in BIDI_KINDS for character in rendered)
    assert count == text.count("\n") == (len(rendered.split("\n")) if content.removeprefix(b"\xef\xbb\xbf") else 0)


@settings(deadline=None)
@given(st.lists(st.text("ab<&\u202e \t", max_size=5), min_size=1, max_size=20), st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_kind_of_line_end_makes_no_difference(lines: list[str], end: str) -> None:
    content = "".join(f"{line}{end}" for line in lines).encode()
    assert plaintext.render(content) == plaintext.render("".join(f"{line}\n" for line in lines).encode())
    assert plaintext.render(content)[1] == len(lines)
