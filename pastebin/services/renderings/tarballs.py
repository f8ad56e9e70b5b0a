"""What is in a tar archive (POSIX.1-2017, pax, and GNU's own), found by reading headers and skipping the rest.

A `Scan` says which bytes it wants and takes them; where they come from, and how many, is for the one who asks. Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

BLOCK = 512
MEMBERS = 5000  # that a page lists
_LONG_NAME = 64 * 1024  # what an archive may spend on one name
_PIECE = 1024**2

Kind = Literal["file", "folder", "link"]


@dataclass(frozen=True, slots=True)
class Member:
    """One entry; the bytes of a file begin at `at`."""

    name: str
    kind: Kind
    size: int
    at: int


class Scan:
    """Reads an archive from its beginning until it ends, is none, or has too many members."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.is_over = False
        # whether everything up to the end was read, and whether it was an archive as far as it was read
        self.is_complete = False
        self.is_sound = True
        self.position = 0
        self._long: str | None = None
        self._size: int | None = None

    def take(self, data: bytes, *, is_last: bool) -> None:
        """Read what stands at `position`, as many headers as there are; `position` is where the next one begins.

        A name that is not there as a whole is waited for, unless `is_last`.
        """
        start = self.position
        while not self.is_over and self.position + BLOCK <= start + len(data):
            here = self.position - start
            if not self._header(data, here, is_last):
                return
            if len(self.members) >= MEMBERS:
                self.is_over = True

    def end(self, *, is_whole: bool) -> None:
        """There is no more; `is_whole` says that this is so because the archive ends, marked or not."""
        self.is_complete = self.is_complete or (is_whole and self.is_sound and not self.is_over)
        self.is_over = True

    def _header(self, data: bytes, here: int, is_last: bool) -> bool:
        """Whether the header there could be read."""
        block = data[here : here + BLOCK]
        if not any(block):
            self.is_over = self.is_complete = True
            return True
        size = _number(block[124:136])
        if size is None or not _is_sound(block):
            self.is_over, self.is_sound = True, False
            return True
        kind = block[156:157]
        if kind in (b"x", b"L") and size <= _LONG_NAME:
            value = data[here + BLOCK : here + BLOCK + size]
            if len(value) < size and not is_last:
                return False
            self._note(kind, value)
        elif kind not in (b"g", b"K", b"x", b"L"):
            size = size if self._size is None else self._size
            self._add(block, kind, size, self.position + BLOCK)
        length = 0 if kind in (b"1", b"2", b"3", b"4", b"5", b"6") else size
        self.position += BLOCK + -(-length // BLOCK) * BLOCK
        return True

    def _note(self, kind: bytes, value: bytes) -> None:
        """What is said of the next member before it comes."""
        if kind == b"L":
            self._long = _text(value)
            return
        for key, said in _records(value):
            if key == b"path":
                self._long = _text(said)
            elif key == b"size" and said.isdigit() and len(said) < 20:
                self._size = int(said)

    def _add(self, block: bytes, kind: bytes, size: int, at: int) -> None:
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and block[345] and self._long is None:
            name = f"{_text(block[345:500])}/{name}"
        name = self._long if self._long is not None else name
        self._long = self._size = None
        if kind == b"5" or (kind in b"\x000" and name.endswith("/")):
            self.members.append(Member(name, "folder", 0, at))
        elif kind in (b"\0", b"0", b"7"):
            self.members.append(Member(name, "file", size, at))
        else:
            self.members.append(Member(name, "link", 0, at))


def file_size(block: bytes) -> int | None:
    """The size of the file whose header this block is; None for anything else."""
    found = _number(block[124:136]) if len(block) == BLOCK and _is_sound(block) else None
    return found if found is not None and block[156:157] in (b"\0", b"0", b"7") else None


def name_of(block: bytes) -> str:
    """The name in the header itself; a long one stands before it."""
    return _text(block[:100])


class Unpacking:
    """A gzip stream (RFC 1952) as what is in it, never more than `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._inflater = zlib.decompressobj(wbits=31)
        self._left = limit
        self.is_over = False
        self.is_sound = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The next bytes, a piece at a time; nothing once it `is_over`."""
        while chunk and not self.is_over:
            try:
                out = self._inflater.decompress(chunk, min(self._left, _PIECE))
            except zlib.error:
                self.is_over, self.is_sound = True, False
                return
            chunk = self._inflater.unconsumed_tail
            self._left -= len(out)
            self.is_over = self._left <= 0 or self._inflater.eof
            yield out

    @property
    def is_whole(self) -> bool:
        return self._inflater.eof


def _number(digits: bytes) -> int | None:
    """Octal digits, or, as GNU and star write large ones, a binary number behind a bit that says so."""
    if digits[:1] == b"\x80":
        value = int.from_bytes(digits[1:], "big")
        return value if value < 2**63 else None
    text = digits.strip(b" \0")
    try:
        return int(text, 8) if text.isdigit() else 0 if not text else None
    except ValueError:
        return None


def _is_sound(block: bytes) -> bool:
    """Whether the header's own sum is right; some programs have taken bytes for signed."""
    said = _number(block[148:156])
    unsigned = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return said is not None and said in (unsigned, unsigned - 256 * sum(byte > 127 for byte in block))


def _text(value: bytes) -> str:
    return value.partition(b"\0")[0].decode("utf-8", "replace")


def _records(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records of an extended header, `length key=value LF` each."""
    while value:
        digits, space, _ = value[:24].partition(b" ")
        if not space or not digits.isdigit() or not len(digits) < int(digits) <= len(value):
            return
        record = value[len(digits) + 1 : int(digits)].removesuffix(b"\n")
        key, _, said = record.partition(b"=")
        yield key, said
        value = value[int(digits) :]
