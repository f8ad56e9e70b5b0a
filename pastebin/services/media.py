"""What kind of bytes these are, judged by the bytes and never by a name or a claim."""

from __future__ import annotations

import codecs
import re

TEXT = "text/plain"
BINARY = "application/octet-stream"
PDF = "application/pdf"

# Images that browsers render without running anything. SVG is a document and stays text.
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_MAGIC = (*(magic for magic, _ in _IMAGES), b"RIFF")
# What players and viewers take, by bytes that no text begins with.
_SOUNDS_AND_FILMS = (
    (re.compile(rb"ID3[\x02-\x04]"), "audio/mpeg"),
    (re.compile(rb"\xff[\xfb\xf3\xf2]"), "audio/mpeg"),
    (re.compile(rb"fLaC\0"), "audio/flac"),
    (re.compile(rb"OggS\0(?=.{0,200}\x80theora)", re.DOTALL), "video/ogg"),
    (re.compile(rb"OggS\0"), "audio/ogg"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "audio/wav"),
    (re.compile(rb"\0\0..ftypM4[AB] ", re.DOTALL), "audio/mp4"),
    (re.compile(rb"\0\0..ftyp(?:avif|avis)", re.DOTALL), "image/avif"),
    (re.compile(rb"\0\0..ftyp(?:avc1|dash|iso[2-9m]|mp4[12]|M4V |MSNV)", re.DOTALL), "video/mp4"),
    (re.compile(rb"\x1aE\xdf\xa3.{0,60}webm", re.DOTALL), "video/webm"),
    (re.compile(rb"%PDF-[12]\."), PDF),
)
# What a page shows in place; its raw address serves it as what its bytes prove it to be.
SHOWN = frozenset(
    {
        *(kind for _, kind in _IMAGES),
        "image/webp",
        *(kind for _, kind in _SOUNDS_AND_FILMS),
    }
)
# Control characters that no text in any 8-bit encoding has use for; ESC is left out for coloured terminal output.
_NOT_TEXT = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b"))


def media_type(head: bytes, *, complete: bool) -> str:
    """`text/plain`, what its magic bytes say, or `application/octet-stream`.

    `head` is the beginning of the content; `complete` says that it is all of it. Text in a legacy 8-bit encoding is
    text too: it is shown with replacement characters and returned byte for byte.
    """
    if head.startswith(_MAGIC):
        for magic, kind in _IMAGES:
            if head.startswith(magic):
                return kind
        if head[8:12] == b"WEBP":
            return "image/webp"
    if b"\0" in head:
        return _of_binary(head)
    if head.isascii():
        return TEXT
    try:
        codecs.utf_8_decode(head, "strict", complete)
    except UnicodeDecodeError:
        is_text = head.translate(None, _NOT_TEXT) == head and not head.startswith(b"%PDF-")
        return TEXT if is_text else _of_binary(head)
    return TEXT


def _of_binary(head: bytes) -> str:
    start = head[:512]
    return next((kind for magic, kind in _SOUNDS_AND_FILMS if magic.match(start)), BINARY)
