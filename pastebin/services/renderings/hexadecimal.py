"""Bytes as `hexdump -C` shows them. Pure."""

from __future__ import annotations

import re

from pastebin.services import plaintext

ROW_BYTES = 16
PAGE_BYTES = 4096

_UNSHOWN = re.compile(r"[^ -~]")


def rows(content: bytes, at: int) -> str:
    """Lines of HTML for these bytes, which stand at `at`, a multiple of 16, in their file."""
    return "\n".join(
        _row(content[start : start + ROW_BYTES], at + start) for start in range(0, len(content), ROW_BYTES)
    )


def window(size: int, asked: str | None) -> int:
    """Where the page of bytes begins that holds the offset asked for; the first one for what is no offset."""
    offset = int(asked) if asked and asked.isascii() and asked.isdigit() and len(asked) < 16 else 0
    last = max(size - 1, 0) // PAGE_BYTES * PAGE_BYTES
    return min(offset // PAGE_BYTES * PAGE_BYTES, last)


def _row(content: bytes, at: int) -> str:
    digits = f"{content[:8].hex(' '):<23}  {content[8:].hex(' '):<23}"
    text = _UNSHOWN.sub(".", content.decode("latin-1"))
    return f"{at:08x}  {digits}  {plaintext.escape(text)}"
