"""Which views a file has, and pages of bytes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.services import syntaxes
from pastebin.services.renderings import hexadecimal, kinds


@pytest.mark.parametrize(
    ("name", "content", "views"),
    [
        ("README.md", b"# x", ("document", "source")),
        ("a.csv", b"a,b", ("table", "source")),
        ("a.tsv", b"a\tb", ("table", "source")),
        ("a.json", b"{}", ("source", "tree")),
        ("a.ndjson", b"{}", ("source", "tree")),
        ("a.py", b"x", ("source",)),
        ("a.log", b"plain", ("source",)),
        ("a.log", b"\x1b[31mred", ("terminal", "source")),
        (None, b"x\x1b[0m", ("terminal", "source")),
        ("a.ansi", b"plain", ("terminal", "source")),
        ("a.py", b"'\x1b[31m'", ("source",)),
    ],
)
def test_views_of_texts(name: str | None, content: bytes, views: tuple[str, ...]) -> None:
    assert kinds.of_text(syntaxes.guess(name, content), content) == views


def test_who_asks_for_a_syntax_gets_it() -> None:
    content = b"\x1b[31mred"
    assert kinds.of_text(syntaxes.PLAIN, content, is_override=True) == ("source",)
    assert kinds.of_text(syntaxes.find("ansi"), b"x", is_override=True) == ("terminal", "source")


@pytest.mark.parametrize(
    ("media_type", "name", "head", "views"),
    [
        ("image/png", "a.png", b"", ("media", "hex")),
        ("application/pdf", None, b"", ("media", "hex")),
        ("application/octet-stream", "a.tar", b"", ("archive", "hex")),
        ("application/octet-stream", "a.TGZ", b"", ("archive", "hex")),
        ("application/octet-stream", None, b"\0" * 257 + b"ustar", ("archive", "hex")),
        ("application/octet-stream", "a.bin", b"\0", ("hex",)),
    ],
)
def test_views_of_bytes(media_type: str, name: str | None, head: bytes, views: tuple[str, ...]) -> None:
    assert kinds.of_bytes(media_type, name, head) == views


@pytest.mark.parametrize(
    ("asked", "chosen"), [("tree", "tree"), ("table", "source"), ("x", "source"), (None, "source")]
)
def test_an_address_asks_for_what_there_is(asked: str | None, chosen: str) -> None:
    assert kinds.choose(("source", "tree"), kinds.find(asked)) == chosen


def test_the_own_syntaxes() -> None:
    assert [found and found.name for found in map(syntaxes.find, ("csv", "tsv", "ansi", "log"))] == [
        "csv",
        "tsv",
        "ansi",
        "text",
    ]


def test_bytes_are_shown_as_hexdump_does() -> None:
    assert hexadecimal.rows(b"Hello, <world>\0\xff!", 4096) == (
        "00001000  48 65 6c 6c 6f 2c 20 3c  77 6f 72 6c 64 3e 00 ff  Hello, &lt;world&gt;..\n"
        "00001010  21                                                !"
    )


@given(st.binary(max_size=500))
def test_every_byte_is_shown(content: bytes) -> None:
    digits = [re.sub(r"  .{0,16}\Z", "", row[10:58]) for row in hexadecimal.rows(content, 0).split("\n")]
    assert bytes.fromhex("".join(digits)) == content


@given(st.integers(0, 10**12), st.text(max_size=5) | st.integers(0, 10**20).map(str) | st.none())
def test_a_window_is_within_the_file(size: int, asked: str | None) -> None:
    first = hexadecimal.window(size, asked)
    assert first % hexadecimal.PAGE_BYTES == 0
    assert 0 <= first < max(size, 1)
