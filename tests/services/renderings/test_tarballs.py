"""Archives: what is in them is found from headers alone, whoever made them, and whatever they claim."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.services.renderings import tarballs
from pastebin.services.renderings.tarballs import MEMBERS, Scan, Unpacking

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def archive(files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT, mode: str = "w") -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode=mode, format=kind) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            tar.addfile(info, io.BytesIO(content))
    return written.getvalue()


def scanned(data: bytes, step: int = 1024) -> Scan:
    """As its readers do: pieces from wherever the scan stands."""
    scan = Scan()
    while not scan.is_over:
        start = scan.position
        if start >= len(data):
            scan.end(is_whole=True)
            break
        part = data[start : start + step]
        scan.take(part, is_last=start + len(part) >= len(data))
        if scan.position == start and not scan.is_over:
            if start + len(part) >= len(data):
                scan.end(is_whole=False)
            step *= 2
    return scan


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300).map(
    lambda name: name.strip("/") or "x"
)


@settings(deadline=None)
@given(
    st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.integers(512, 9000),
)
def test_every_file_is_found(files: dict[str, bytes], kind: int, step: int) -> None:
    data = archive(files, kind)
    scan = scanned(data, step)
    assert scan.is_complete
    assert {one.name: data[one.at : one.at + one.size] for one in scan.members} == files
    for one in scan.members:
        assert tarballs.file_size(data[one.at - 512 : one.at]) == one.size


@pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS)
def test_folders_and_names_of_two_parts(kind: int) -> None:
    name = "a" * 90 + "/" + "b" * 90
    scan = scanned(archive({"dir/": b"", name: b"x"}, kind))
    assert [(one.name.rstrip("/"), one.kind) for one in scan.members] == [("dir", "folder"), (name, "file")]


@given(st.binary(max_size=3000))
def test_noise_is_no_archive(data: bytes) -> None:
    scan = scanned(data)
    assert scan.members == []


@given(st.binary(min_size=1, max_size=60), st.integers(0, 3000))
def test_an_archive_that_was_tampered_with_ends_somewhere(noise: bytes, at: int) -> None:
    data = bytearray(archive({"a": b"x" * 700, "b/" + "c" * 200: b"y"}))
    data[at : at + len(noise)] = noise
    scanned(bytes(data))


def test_only_so_many_are_listed() -> None:
    one = archive({"x": b""})[:512]
    scan = scanned(one * (MEMBERS + 10), 1024**2)
    assert (len(scan.members), scan.is_complete) == (MEMBERS, False)


def test_a_bomb_is_not_unpacked() -> None:
    packed = archive({"zeros": b"\0" * 10_000_000}, mode="w:gz")
    unpacking = Unpacking(1_000_000)
    assert sum(map(len, unpacking.feed(packed))) == 1_000_000
    assert unpacking.is_over
    assert not unpacking.is_whole
    broken = Unpacking(1000)
    assert list(broken.feed(b"\x1f\x8bnonsense of some length")) == []
    assert not broken.is_sound
