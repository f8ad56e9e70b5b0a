from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.cli.failures import LocalFileError
from pastebin.cli.sinks import FileSink, open_sink, safe_name


@given(st.text())
def test_a_strangers_name_stays_in_its_directory(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert "/" not in safe
    assert "\\" not in safe
    assert safe[0] not in ".-~ "
    assert safe.isprintable()
    assert len(safe.encode()) <= 255


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.py", "a.py"),
        ("../../etc/passwd", "_.._.._etc_passwd"),
        ("C:\\x\\y.txt", "C:_x_y.txt"),
        (".bashrc", "_.bashrc"),
        ("..", "_.."),
        ("-rf", "_-rf"),
        ("", "_"),
        ("ü b.txt", "ü b.txt"),
        ("a\nb\x1b[2J", "a_b_[2J"),
    ],
)
def test_good_names_stay_as_they_are(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")
    path.chmod(0o640)
    with open_sink(str(path), "ignored") as sink:
        sink.write(b"half")
        assert path.read_bytes() == b"before"
        assert sink.restart()
        sink.write(b"after")
        sink.complete()
    assert path.read_bytes() == b"after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_an_incomplete_file_leaves_nothing_behind(tmp_path: Path) -> None:
    with open_sink(str(tmp_path / "out"), "ignored") as sink:
        sink.write(b"half")
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_file_can_be_kept_under_another_name(tmp_path: Path) -> None:
    with open_sink(str(tmp_path / "out"), "ignored") as sink:
        sink.write(b"half")
        kept = sink.salvage()
    assert kept is not None
    assert Path(kept).read_bytes() == b"half"
    assert list(tmp_path.iterdir()) == [Path(kept)]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"before")
    (tmp_path / "link").symlink_to("target")
    with open_sink(str(tmp_path / "link"), "ignored") as sink:
        sink.write(b"after")
        sink.complete()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"after"


def test_a_device_is_written_to_and_stays_a_device() -> None:
    with open_sink(os.devnull, "ignored") as sink:
        sink.write(b"x")
        sink.complete()
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_strangers_name_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"mine")
    with pytest.raises(LocalFileError, match="exists already"), open_sink(str(tmp_path), "a.txt"):
        pass
    (tmp_path / "b.txt").symlink_to("/nowhere/at/all")
    with pytest.raises(LocalFileError, match="exists already"), open_sink(str(tmp_path), "b.txt"):
        pass
    assert (tmp_path / "a.txt").read_bytes() == b"mine"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="missing"):
        FileSink(tmp_path / "missing" / "out")
