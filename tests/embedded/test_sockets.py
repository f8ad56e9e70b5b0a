from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pastebin.embedded import sockets
from pastebin.embedded.account import Account
from pastebin.errors import ResourceUnavailable


def test_one_directory_has_one_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert sockets.identity(tmp_path / "data") == sockets.identity(tmp_path / "link" / ".." / "data")
    assert sockets.identity(tmp_path / "data") == sockets.identity(tmp_path / "link")
    assert sockets.identity(tmp_path / "data") != sockets.identity(tmp_path)


def test_it_may_be_made_again(reachable_path: Path, postgres_account: Account) -> None:
    directory = reachable_path / "parent" / "leaf"
    for _ in range(2):
        sockets.make(directory, postgres_account)
    assert directory.stat().st_uid == postgres_account.uid
    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.parent.stat().st_mode & 0o022 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory away takes root")
@pytest.mark.parametrize("squatted", ["parent", "parent/leaf"])
def test_somebody_elses_directory_is_not_used(reachable_path: Path, postgres_account: Account, squatted: str) -> None:
    (reachable_path / squatted).mkdir(parents=True)
    shutil.chown(reachable_path / squatted, 65534)
    _refuses(reachable_path, postgres_account)


@pytest.mark.parametrize("squatted", ["parent", "parent/leaf"])
def test_one_that_others_may_change_is_not_used(reachable_path: Path, postgres_account: Account, squatted: str) -> None:
    (reachable_path / squatted).mkdir(parents=True)
    (reachable_path / squatted).chmod(0o777)
    _refuses(reachable_path, postgres_account)


@pytest.mark.parametrize("squatted", ["parent", "parent/leaf"])
def test_a_link_is_not_followed(reachable_path: Path, postgres_account: Account, squatted: str) -> None:
    (reachable_path / "elsewhere").mkdir()
    (reachable_path / squatted).parent.mkdir(exist_ok=True)
    (reachable_path / squatted).symlink_to(reachable_path / "elsewhere")
    _refuses(reachable_path, postgres_account)
    assert list((reachable_path / "elsewhere").iterdir()) == []


def _refuses(directory: Path, account: Account) -> None:
    with pytest.raises(ResourceUnavailable, match=r"is not a directory that only user id \d+ can change"):
        sockets.make(directory / "parent" / "leaf", account)


def test_a_path_that_is_too_long_is_refused(reachable_path: Path, postgres_account: Account) -> None:
    with pytest.raises(ResourceUnavailable, match="too long"):
        sockets.make(reachable_path / ("x" * 90) / "leaf", postgres_account)


def test_when_the_first_place_is_taken_there_is_another(
    reachable_path: Path, postgres_account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reachable_path / "taken").write_text("a file")
    places = [reachable_path / "taken", reachable_path / "free"]
    monkeypatch.setattr(sockets, "_parents", lambda _account: places)
    assert sockets.place(reachable_path, postgres_account).parent == reachable_path / "free"
    monkeypatch.setattr(sockets, "_parents", lambda _account: places[:1])
    with pytest.raises(ResourceUnavailable, match="there is no place for PostgreSQL's socket"):
        sockets.place(reachable_path, postgres_account)
