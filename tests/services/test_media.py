"""What bytes are, judged by the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.services.media import BINARY, SHOWN, TEXT, media_type


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
        (b"%PDF-1.7\n\0", "application/pdf"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"),
        (b"%PDF-1.7 is what this text is about", TEXT),
        (b"ID3 is what this text is about", TEXT),
        (b"ID3\x03\0\0\0", "audio/mpeg"),
        (b"\xff\xfb\x90\0", "audio/mpeg"),
        (b"fLaC\0\0\0\x22", "audio/flac"),
        (b"OggS\0\x02\0\0", "audio/ogg"),
        (b"OggS\0\x02\0\0" + b"\0" * 20 + b"\x80theora", "video/ogg"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        (b"\0\0\0\x20ftypisom\0\0", "video/mp4"),
        (b"\0\0\0\x20ftypM4A \0\0", "audio/mp4"),
        (b"\0\0\0\x20ftypavif\0\0", "image/avif"),
        (b"\0\0\0\x14ftypqt  \0\0", BINARY),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm\0", "video/webm"),
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
    assert media_type(data, complete=True) in {TEXT, BINARY, *SHOWN}
    assert not any(kind.startswith(("text", "image/svg")) or "xml" in kind for kind in SHOWN)
