"""Line ends of texts that were edited in a browser, whose text areas know LF only. Pure."""

from __future__ import annotations

import re

from pastebin.services import differences
from pastebin.services.differences import Effort

_LONE = re.compile(rb"\r(?!\n)")


def is_editable(content: bytes) -> bool:
    """Whether a text area gives back what it was given, but for CR LF: text in UTF-8 without NUL and lone CR."""
    if b"\0" in content or _LONE.search(content):
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def shown(content: bytes) -> str:
    """What goes into a text area of content that is editable."""
    return content.decode().replace("\r\n", "\n")


def restored(original: bytes, edited: bytes) -> bytes:
    """The edited text with the line ends of the original one; a line that is new has the usual end of that.

    Who has changed nothing gets the original back, byte for byte.
    """
    if b"\r\n" not in original:
        return edited
    old = differences.lines_of(original)
    new = differences.lines_of(edited)
    plain = [_unix(line) for line in old]
    usual = b"\r\n" if 2 * original.count(b"\r\n") >= original.count(b"\n") else b"\n"
    lines = [line[:-1] + usual if line.endswith(b"\n") else line for line in new]
    for block in differences.blocks(plain, new, Effort()):
        lines[block.new : block.new + block.size] = old[block.old : block.old + block.size]
    return b"".join(lines)


def _unix(line: bytes) -> bytes:
    return line[:-2] + b"\n" if line.endswith(b"\r\n") else line
