from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import pytest
from aiohttp import content_disposition_filename, parse_content_disposition
from hypothesis import example, given
from hypothesis import strategies as st

from pastebin.http.disposition import attachment, inline, safe_name

# RFC 6266 and RFC 8187, narrowed to what is sent here
HEADER = re.compile(
    r"(?:attachment|inline); filename=\"(?P<plain>[A-Za-z0-9 !#$&()+,.=@\[\]^_`{}~-]{1,255})\""
    r"(?:; filename\*=UTF-8''(?P<full>(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+))?"
)
NAMES = st.text() | st.text("a.é/\\\"'%;\r\n\0 \u202e\u2066\ud800\uff0f\u2100:~") | st.text(min_size=200)


def saved_as(header: str) -> str:
    """The name under which a browser saves: the extended one, if there is one."""
    found = HEADER.fullmatch(header)
    assert found, header
    return unquote(found["full"], errors="strict") if found["full"] else found["plain"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.py", 'attachment; filename="a.py"'),
        ("my notes (1).txt", 'attachment; filename="my notes (1).txt"'),
        ("naïve.txt", "attachment; filename=\"naive.txt\"; filename*=UTF-8''na%C3%AFve.txt"),
        ("文件.txt", "attachment; filename=\"h8Kq2.txt\"; filename*=UTF-8''%E6%96%87%E4%BB%B6.txt"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
        ("it's; ok.txt", "attachment; filename=\"it_s_ ok.txt\"; filename*=UTF-8''it%27s%3B%20ok.txt"),
        (None, 'attachment; filename="h8Kq2.txt"'),
        ("", 'attachment; filename="h8Kq2.txt"'),
        ("..", 'attachment; filename="h8Kq2.txt"'),
    ],
)
def test_headers(name: str | None, header: str) -> None:
    assert attachment(name, "h8Kq2.txt") == header
    assert inline(name, "h8Kq2.txt") == header.replace("attachment", "inline")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("C:\\autoexec.bat", "C__autoexec.bat"),
        ("a\r\nSet-Cookie: x=1", "aSet-Cookie_ x=1"),
        ('"><img src=x>.png', "___img src=x_.png"),
        ("a\0b.txt", "ab.txt"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("\ud800a.txt", "a.txt"),
        ("a\uff0fb", "a_b"),
        ("a\u2100b", "a_b"),
        (".bashrc", "_bashrc"),
        ("a.txt. . ", "a.txt"),
        ("con.txt", "_con.txt"),
        ("NUL", "_NUL"),
        ("console.txt", "console.txt"),
        ("  a \t b  ", "a b"),
        ("\u0646\u0645\u06cc\u200c\u062e.txt", "\u0646\u0645\u06cc\u200c\u062e.txt"),
        ("///", "paste.bin"),
        ("\u202e", "paste.bin"),
    ],
)
def test_hostile_names(name: str, safe: str) -> None:
    assert safe_name(name, "paste.bin") == safe
    assert saved_as(attachment(name, "paste.bin")) == safe


def test_long_names_keep_their_suffix() -> None:
    assert safe_name("a" * 300 + ".tar", "x") == "a" * 251 + ".tar"
    assert safe_name("é" * 300 + ".py", "x") == "é" * 126 + ".py"
    assert safe_name("a." + "b" * 300, "x") == "a." + "b" * 253


def test_a_hostile_fallback_is_no_better_than_a_name() -> None:
    assert attachment(None, '"\r\n/') == 'attachment; filename="paste"'
    assert attachment("文", "文") == "attachment; filename=\"_\"; filename*=UTF-8''%E6%96%87"


@given(NAMES, NAMES)
@example("\u2024bashrc", "x")
@example("\ufdfa" * 80, "x")
@example("\uff43\uff4f\uff4e", "x")
def test_no_name_breaks_out(name: str, fallback: str) -> None:
    header = attachment(name, fallback)
    assert header.isascii()
    assert header.isprintable()
    found = HEADER.fullmatch(header)
    assert found
    for saved in (found["plain"], saved_as(header)):
        assert 0 < len(saved.encode()) <= 255
        assert not re.search(r'[/\\:*?"<>|]', saved)
        assert not saved.startswith(".")
        assert not saved.endswith((".", " "))
        assert saved.split(".")[0].lower() not in {"con", "nul", "aux", "prn", "com1", "lpt1"}
        assert not {unicodedata.category(character) for character in saved} & {"Cc", "Cs", "Zl", "Zp"}
        assert not {unicodedata.bidirectional(character) for character in saved} & {"LRE", "RLE", "LRO", "RLO", "PDF"}
        assert not {unicodedata.bidirectional(character) for character in saved} & {"LRI", "RLI", "FSI", "PDI"}


@given(NAMES, NAMES)
def test_a_safe_name_stays_as_it_is(name: str, fallback: str) -> None:
    once = safe_name(name, fallback)
    assert safe_name(once, "other") == once


@given(NAMES)
def test_another_parser_reads_the_same(name: str) -> None:
    header = attachment(name, "paste.txt")
    kind, parameters = parse_content_disposition(header)
    assert kind == "attachment"
    assert content_disposition_filename(parameters) == saved_as(header)
