"""A comparison as a patch: unified hunks with the headers of Git, so that `git apply` and `patch -p1` take it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pastebin.models import File
from pastebin.services.comparing import Comparison, FileChange

_SIGNS = {"same": b" ", "removed": b"-", "added": b"+"}
_NO_NEWLINE = b"\\ No newline at end of file\n"
_UNNAMED = "paste.txt"
_TO_QUOTE = re.compile(rb'[\x00-\x1f\x7f"\\]')
_ESCAPES = {b"\n": b"\\n", b"\t": b"\\t", b'"': b'\\"', b"\\": b"\\\\", b"\r": b"\\r"}


def render(comparison: Comparison) -> bytes:
    """The whole patch; empty where nothing differs. What cannot be compared is named in a line that is no hunk."""
    return b"".join(part for change in comparison.files for part in parts(change))


def parts(change: FileChange) -> Iterator[bytes]:
    """The patch of one file."""
    old, new = _path(b"a/", change.old or change.new), _path(b"b/", change.new or change.old)
    yield b"diff --git %b %b\n" % (old, new)
    if change.old is None:
        yield b"new file mode 100644\n"
    elif change.new is None:
        yield b"deleted file mode 100644\n"
    elif _name(change.old) != _name(change.new):
        yield b"rename from %b\nrename to %b\n" % (_path(b"", change.old), _path(b"", change.new))
    if change.trouble is not None:
        yield b"%b files %b and %b differ\n" % (change.trouble.capitalize().encode(), old, new)
    if not change.hunks:
        return
    yield b"--- %b\n" % (b"/dev/null" if change.old is None else _ended(old))
    yield b"+++ %b\n" % (b"/dev/null" if change.new is None else _ended(new))
    for hunk in change.hunks:
        yield hunk.heading.encode() + b"\n"
        for line in hunk.lines:
            yield _SIGNS[line.tag] + line.text
            if not line.text.endswith(b"\n"):
                yield b"\n" + _NO_NEWLINE


def _name(file: File) -> str:
    return file.name or _UNNAMED


def _path(prefix: bytes, file: File | None) -> bytes:
    """A name as Git writes it: in quotes, with C's escapes, where it holds what would end it."""
    assert file is not None  # noqa: S101  (a change has a file on one side at least)
    name = prefix + _name(file).encode("utf-8", "replace")
    if not _TO_QUOTE.search(name):
        return name
    return b'"%b"' % _TO_QUOTE.sub(lambda found: _ESCAPES.get(found[0], b"\\%03o" % found[0][0]), name)


def _ended(path: bytes) -> bytes:
    """`patch` takes what stands behind a blank for a date unless a tab ends the name."""
    return path + b"\t" if b" " in path else path
