"""Archives as others read them: the standard library, and the programs of the system where there are any."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
import zipfile
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pastebin.services.archives import Archives, Entry
from tests.programs import require

AT = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)
FILES = {
    "empty": b"",
    "a.txt": b"hello\n",
    "folder/ü/b.bin": bytes(range(256)) * 3000,
    "block": b"x" * 512,
    f"{'long-' * 40}.txt": b"long\n",
}


def entries(files: Mapping[str, bytes], at: datetime = AT, chunk_bytes: int = 70_000) -> list[Entry]:
    async def chunks(content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), chunk_bytes):
            yield content[start : start + chunk_bytes]

    return [Entry(path, len(body), at, lambda body=body: chunks(body)) for path, body in files.items()]  # type: ignore[misc]


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    made = [piece async for piece in pieces]
    assert all(made), "an empty piece would be the end to some"
    return b"".join(made)


def unzipped(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def untarred(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        members = opened.getmembers()
        assert all(member.isfile() and member.mode == 0o644 and member.uid == 0 for member in members)
        return {member.name: opened.extractfile(member).read() for member in members}  # type: ignore[union-attr]


async def test_what_goes_in_comes_out() -> None:
    assert unzipped(await whole(Archives().zipped(entries(FILES)))) == FILES
    assert untarred(await whole(Archives().tarred(entries(FILES)))) == FILES


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.from_regex(r"[a-zü]{1,9}(/[a-z]{1,120}){0,2}", fullmatch=True), st.binary(max_size=2000), max_size=6
    ),
    st.integers(1, 600),
)
def test_whatever_goes_in_comes_out(files: dict[str, bytes], chunk_bytes: int) -> None:
    async def both() -> tuple[bytes, bytes]:
        archives = Archives()
        made = entries(files, chunk_bytes=chunk_bytes)
        return await whole(archives.zipped(made)), await whole(archives.tarred(made))

    archive, tape = asyncio.run(both())
    assert unzipped(archive) == files
    assert untarred(tape) == files


async def test_the_same_files_make_the_same_archive() -> None:
    for make in (Archives().zipped, Archives().tarred):
        assert await whole(make(entries(FILES))) == await whole(make(entries(FILES)))


@pytest.mark.parametrize("year", [1970, 2107])
async def test_times_that_a_format_does_not_know(year: int) -> None:
    at = AT.replace(year=year)
    assert unzipped(await whole(Archives().zipped(entries(FILES, at)))) == FILES
    assert untarred(await whole(Archives().tarred(entries(FILES, at)))) == FILES


async def test_what_is_left_early_is_closed() -> None:
    closed = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(range(256)) * 4096
        finally:
            closed.append(True)

    for make in (Archives().zipped, Archives().tarred):
        pieces = make([Entry("endless", 10**12, AT, endless)])
        assert await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]
    assert closed == [True, True]


async def test_a_reading_that_fails_fails_the_archive() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        raise OSError("the disk is gone")

    for make in (Archives().zipped, Archives().tarred):
        with pytest.raises(OSError, match="the disk is gone"):
            await whole(make([Entry("broken", 200_000, AT, broken)]))


async def test_programs_read_them(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(await whole(Archives().tarred(entries(FILES))))
    tar = require("tar")
    subprocess.run([tar, "-xzf", "a.tar.gz"], cwd=tmp_path, check=True, timeout=120)
    assert {path: (tmp_path / path).read_bytes() for path in FILES} == FILES
    modified = datetime.fromtimestamp((tmp_path / "a.txt").stat().st_mtime, UTC)
    assert abs(modified - AT) < timedelta(seconds=2)
