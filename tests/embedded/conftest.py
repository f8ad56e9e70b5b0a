"""Directories and accounts for servers that tests break."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pastebin.embedded import account
from pastebin.embedded.account import Account
from pastebin.embedded.server import primary
from pastebin.sections import EmbeddedSection
from tests.embedded.servers import SECTION, execute
from tests.postgres import reachable_directory


@pytest.fixture(scope="session")
def section() -> EmbeddedSection:
    return SECTION


@pytest.fixture(scope="session")
def postgres_account() -> Account:
    return account.choose("")


@pytest.fixture(scope="session")
async def _made(section: EmbeddedSection) -> AsyncIterator[Path]:
    """The data of a server that has been made and stopped, to be copied: faster than making them each time."""
    with reachable_directory() as directory:
        async with primary(section, directory) as server:
            await execute(server, "create table notes (text text)")
        yield directory / "postgres"


@pytest.fixture
def data_dir(_made: Path, reachable_path: Path) -> Path:
    """A data directory in which PostgreSQL has run before; its database has the table `notes`."""
    subprocess.run(["cp", "-a", str(_made), str(reachable_path)], check=True, timeout=120)
    return reachable_path
