from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from pastebin.embedded.claims import claim
from pastebin.errors import DataDirectoryUnusable
from tests.embedded.servers import end, kill, node, start_node


def test_two_claims_exclude_each_other(tmp_path: Path) -> None:
    data_dir = tmp_path / "a" / "b"
    message = re.escape(f"the data directory {data_dir} is in use by the pastebin with process id {os.getpid()}")
    with claim(data_dir):
        with pytest.raises(DataDirectoryUnusable, match=message), claim(data_dir):
            pass
        with pytest.raises(DataDirectoryUnusable, match=message), claim(data_dir):
            pass
    with claim(data_dir):
        pass


def test_a_new_directory_is_for_its_owner(tmp_path: Path) -> None:
    with claim(tmp_path / "data"):
        # root's may be passed through, because PostgreSQL has another owner
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)


async def test_a_killed_node_holds_nothing_back(data_dir: Path) -> None:
    async with node(data_dir) as (first, pid, _):
        second = await start_node(data_dir)
        _, errors = await second.communicate()
        assert errors.decode().strip().endswith(f"is in use by the pastebin with process id {first.pid}")
        assert second.returncode == 1
        await kill(first)
        # the server lives on and has not inherited the claim
        os.kill(pid, 0)
        with claim(data_dir):
            pass
    async with node(data_dir) as (third, adopted, _):
        assert adopted == pid
        await end(third)


@pytest.mark.parametrize("path", ["file/data", "file"])
def test_what_cannot_be_a_directory_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DataDirectoryUnusable, match="cannot be used: (Not a directory|File exists)"),
        claim(tmp_path / path),
    ):
        pass


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "node.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataDirectoryUnusable), claim(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()
