from __future__ import annotations

import io
import struct
import zipfile

from hypothesis import given
from hypothesis import strategies as st

from pastebin.services.renderings import zips
from pastebin.services.renderings.tarballs import MEMBERS, Member


def packed(files: dict[str, bytes], comment: bytes = b"") -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.comment = comment
    return written.getvalue()


def listed(archive: bytes) -> tuple[tuple[Member, ...], bool] | None:
    tail = archive[-zips.END_BYTES :]
    place = zips.directory(tail, len(archive))
    return None if place is None else zips.members(archive[place.start : place.start + place.length])


names = st.dictionaries(st.text("ab/é<☃", min_size=1, max_size=8).filter(lambda name: name[-1] != "/"), st.binary())


@given(names, st.binary(max_size=50))
def test_an_archive_is_read_by_its_end(files: dict[str, bytes], comment: bytes) -> None:
    members = tuple(Member(name, "file", len(content), 0) for name, content in files.items())
    assert listed(packed(files, comment)) == (members, True)


def test_folders_and_empty_archives() -> None:
    assert listed(packed({"a/": b"", "a/b": b"x"})) == (
        (Member("a/", "folder", 0, 0), Member("a/b", "file", 1, 0)),
        True,
    )
    assert listed(packed({})) == ((), True)


def test_so_many_are_listed_and_no_more() -> None:
    found = listed(packed({f"{number}": b"" for number in range(MEMBERS + 1)}))
    assert found is not None
    assert (len(found[0]), found[1]) == (MEMBERS, False)


@given(st.binary(max_size=300))
def test_anything_may_stand_there(content: bytes) -> None:
    zips.members(content)
    for tail in (content, content + b"PK\x05\x06" + content, content + packed({"a": b"b"})[-40:]):
        zips.directory(tail, len(tail))


def test_a_directory_lies_before_its_end() -> None:
    end = struct.pack("<4s4xHHIIH", b"PK\x05\x06", 1, 1, 100, 4_000_000_000, 0)
    assert zips.directory(end, len(end)) is None
