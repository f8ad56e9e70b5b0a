"""What kind of bytes these are, judged by the bytes and never by a name or a claim."""

from __future__ import annotations

import codecs

TEXT = "text/plain"
BINARY = "application/octet-stream"

# Images that browsers render without running anything. SVG is a document and stays text.
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_MAGIC = (*(magic for magic, _ in _IMAGES), b"RIFF")
# Control characters that no text in any 8-bit encoding has use for; ESC is left out for coloured terminal output.
_NOT_TEXT = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b"))


def media_type(head: bytes, *, complete: bool) -> str:
    """`text/plain`, an image type known by its magic bytes, or `application/octet-stream`.

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
        return BINARY
    if head.isascii():
        return TEXT
    try:
        codecs.utf_8_decode(head, "strict", complete)
    except UnicodeDecodeError:
        return TEXT if head.translate(None, _NOT_TEXT) == head else BINARY
    return TEXT
