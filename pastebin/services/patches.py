"""A difference as a patch: unified hunks with the headers of Git, so that `git apply` and `patch -p1` take it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pastebin.services.differences import Hunk

_SIGNS = {"same": b" ", "removed": b"-", "added": b"+"}
_NO_NEWLINE = b"\\ No newline at end of file\n"
_UNNAMED = "paste.txt"
_TO_QUOTE = re.compile(rb'[\x00-\x1f\x7f"\\]')
_ESCAPES = {b"\n": b"\\n", b"\t": b"\\t", b'"': b'\\"', b"\\": b"\\\\", b"\r": b"\\r"}


class Header(NamedTuple):
    """Whether there is a file before and after, and what it is called there."""

    is_before: bool
    is_after: bool
    before: str | None
    after: str | None


def parts(header: Header, hunks: Sequence[Hunk], obstacle: str = "") -> Iterator[bytes]:
    """The patch of one file; an `obstacle`, a word such as `binary`, says why it has no hunks."""
    before = _below(header.before if header.is_before else header.after)
    after = _below(header.after if header.is_after else header.before)
    old, new = _path(f"a/{before}"), _path(f"b/{after}")
    yield b"diff --git %b %b\n" % (old, new)
    if not header.is_before:
        yield b"new file mode 100644\n"
    elif not header.is_after:
        yield b"deleted file mode 100644\n"
    elif before != after:
        yield b"rename from %b\nrename to %b\n" % (_path(before), _path(after))
    if obstacle:
        yield b"%b files %b and %b differ\n" % (obstacle.capitalize().encode(), old, new)
    if not hunks:
        return
    yield b"--- %b\n" % (_ended(old) if header.is_before else b"/dev/null")
    yield b"+++ %b\n" % (_ended(new) if header.is_after else b"/dev/null")
    for hunk in hunks:
        yield hunk.heading.encode() + b"\n"
        for line in hunk.lines:
            yield _SIGNS[line.tag] + line.text
            if not line.text.endswith(b"\n"):
                yield b"\n" + _NO_NEWLINE


def _below(name: str | None) -> str:
    """The name as a path that cannot leave the folder where the patch is applied."""
    return "/".join(part for part in (name or "").split("/") if part not in ("", ".", "..")) or _UNNAMED


def _path(name: str) -> bytes:
    """A name as Git writes it: in quotes, with C's escapes, where it holds what would end it."""
    path = name.encode("utf-8", "replace")
    if not _TO_QUOTE.search(path):
        return path
    return b'"%b"' % _TO_QUOTE.sub(lambda found: _ESCAPES.get(found[0], b"\\%03o" % found[0][0]), path)


def _ended(path: bytes) -> bytes:
    """`patch` takes what stands behind a blank for a date unless a tab ends the name."""
    return path + b"\t" if b" " in path else path
