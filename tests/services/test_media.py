"""What bytes are, judged by the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.services.media import BINARY, TEXT, media_type


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", TEXT),
        (b"hello\r\n\tworld\x1b[31m", TEXT),
        ("grüße \U0001f600".encode(), TEXT),
        ("grüße".encode("latin-1"), TEXT),
        (b"a\0b", BINARY),
        (b"\xff\xfeh\0i\0", BINARY),
        (b"\x80\x81\x01\x02", BINARY),
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x01\x02\x03\x04WEBPVP8 ", "image/webp"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>", TEXT),
        (b"<!doctype html>", TEXT),
        (b"%PDF-1.7\n\0", BINARY),
    ],
)
def test_known_kinds(head: bytes, kind: str) -> None:
    assert media_type(head, complete=True) == kind


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(0, 200))
def test_utf8_text_is_text_wherever_its_head_is_cut(text: str, cut: int) -> None:
    data = text.encode()
    if not data.startswith((b"GIF8", b"RIFF")):
        assert media_type(data[:cut], complete=False) == TEXT


@given(st.binary(max_size=300))
def test_nothing_scriptable_is_ever_named(data: bytes) -> None:
    assert media_type(data, complete=True) in {TEXT, BINARY, "image/png", "image/jpeg", "image/gif", "image/webp"}
