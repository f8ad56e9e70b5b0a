from __future__ import annotations

import os
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cli.failures import LocalFileError, UsageError
from pastebin.cli.sources import CHUNK_BYTES, HEAD_BYTES, Source, Stream, distinct_names, opened, plain_name

PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map("/".join),
    min_size=1,
    max_size=6,
    unique=True,
)


async def read(source: Source) -> bytes:
    return b"".join([chunk async for chunk in source.chunks()])


@given(PATHS)
def test_different_files_get_different_names(paths: list[str]) -> None:
    names = distinct_names(paths)
    assert len(set(names)) == len(paths)
    assert all(path == name or path.endswith(f"/{name}") for path, name in zip(paths, names, strict=True))


def test_names_are_no_longer_than_needed() -> None:
    assert distinct_names(["/x/one/a.txt", "/x/two/a.txt", "/x/b.txt", "-"]) == [
        "one/a.txt",
        "two/a.txt",
        "b.txt",
        "stdin",
    ]
    assert distinct_names(["a", "a"]) == ["a", "a"]


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_a_name_is_printable_text_whatever_its_bytes(name: bytes) -> None:
    plain = plain_name(os.fsdecode(name))
    assert plain.isprintable()
    plain.encode("utf-8")
    assert plain == "" or PurePath(plain).name == plain


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
async def test_a_file_is_read_as_often_as_needed(tmp_path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    with opened([str(tmp_path / "a")]) as (source,):
        await source.prepare()
        assert (source.name, source.size, source.is_replayable) == ("a", size, True)
        assert [await read(source), await read(source)] == [content, content]


async def test_a_file_that_grows_is_sent_as_it_was(tmp_path) -> None:
    (tmp_path / "log").write_bytes(b"before")
    with opened([str(tmp_path / "log")]) as (source,):
        with (tmp_path / "log").open("ab") as file:
            file.write(b" and after")
        assert await read(source) == b"before"


async def test_a_file_that_shrinks_is_an_error(tmp_path) -> None:
    (tmp_path / "log").write_bytes(b"before")
    with opened([str(tmp_path / "log")]) as (source,):
        (tmp_path / "log").write_bytes(b"b")
        with pytest.raises(LocalFileError, match="log: became shorter"):
            await read(source)


@pytest.mark.parametrize("size", [0, 1, HEAD_BYTES - 1])
async def test_a_short_stream_is_known_before_it_is_sent(tmp_path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "piped").write_bytes(content)
    with (tmp_path / "piped").open("rb") as file:
        source = Stream("pipe", file.fileno())
        await source.prepare()
        assert source.size == size
        assert [await read(source), await read(source)] == [content, content]
        assert source.is_replayable


async def test_a_long_stream_passes_once(tmp_path) -> None:
    content = os.urandom(2 * HEAD_BYTES)
    (tmp_path / "piped").write_bytes(content)
    with (tmp_path / "piped").open("rb") as file:
        source = Stream("pipe", file.fileno())
        await source.prepare()
        assert (source.size, source.is_replayable) == (None, True)
        assert await read(source) == content
        assert not source.is_replayable


def test_standard_input_comes_once() -> None:
    with pytest.raises(UsageError), opened(["-", "-"]):
        pass
