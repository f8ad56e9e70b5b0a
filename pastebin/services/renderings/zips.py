"""What is in a zip archive (PKWARE's APPNOTE 6.3), found by the directory at its end. Zip64 is left alone. Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pastebin.services.renderings.tarballs import MEMBERS, Member

SIGNS = (b"PK\x03\x04", b"PK\x05\x06")  # of an archive with files, and of an empty one
_END = struct.Struct("<4s4xHHIIH")  # APPNOTE 4.3.16
_ENTRY = struct.Struct("<4s4xHHHHIIIHHHHHII")  # APPNOTE 4.3.12
_IN_UTF8 = 0x800
_LARGE = 0xFFFF_FFFF
END_BYTES = _END.size + 0xFFFF  # with the longest comment behind it


class Directory(NamedTuple):
    """Where the directory of an archive stands, and how long it is in bytes."""

    start: int
    length: int


def directory(tail: bytes, size: int) -> Directory | None:
    """Where it is, by the last END_BYTES of an archive of `size` bytes; None if that is none."""
    place = len(tail)
    while (place := tail.rfind(SIGNS[1], 0, place)) >= 0:
        if place + _END.size <= len(tail):
            *_, length, start, comment = _END.unpack_from(tail, place)
            end = size - len(tail) + place
            if place + _END.size + comment == len(tail) and start + length <= end and start != _LARGE:
                return Directory(start, length)
    return None


def members(content: bytes) -> tuple[tuple[Member, ...], bool]:
    """The entries of a directory, MEMBERS at most, and whether these are all that it has."""
    found: list[Member] = []
    place = 0
    while place + _ENTRY.size <= len(content) and len(found) < MEMBERS:
        sign, flags, *_, size, name, extra, comment, _, _, _, _ = _ENTRY.unpack_from(content, place)
        if sign != b"PK\x01\x02":
            break
        place += _ENTRY.size
        text = content[place : place + name].decode("utf-8" if flags & _IN_UTF8 else "cp437", "replace")
        place += name + extra + comment
        is_folder = text.endswith("/")
        found.append(Member(text, "folder" if is_folder else "file", 0 if is_folder else size, 0))
    return tuple(found), place == len(content)
