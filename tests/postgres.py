"""PostgreSQL for tests: one real server for the session, a fresh database for each test that asks.

A pytest plugin: `pytest_plugins = ["tests.postgres"]` in the topmost conftest.py.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest

from pastebin.embedded import account, binaries
from pastebin.embedded.cluster import Cluster
from pastebin.embedded.server import Server, primary
from pastebin.sections import EmbeddedSection
from pastebin.store import schema

_PREFIX = "pastebin-tests-"
_TEMPLATE = "pastebin_template"
_ROOM_BYTES = 1024**3


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """A directory that the account of PostgreSQL can reach; pytest's own are for their owner only.

    In memory where there is room: copying a template database takes 15 ms there, and 150 on some disks.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place()))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def reachable_path() -> Iterator[Path]:
    """`reachable_directory` for one test."""
    with reachable_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[Server]:
    """The server of the session. Tests that stop, kill or configure a server start their own."""
    section = EmbeddedSection(durable=False, max_connections=200)
    await _remove_leftovers()
    with reachable_directory() as directory:
        async with primary(section, directory) as server:
            yield server


@pytest.fixture(scope="session")
async def _template(postgres: Server) -> str:
    """A database with the schema and no rows; nobody connects to it again, which copying requires."""
    async with _connected(postgres) as connection:
        await connection.execute(f"create database {_TEMPLATE}")
    await schema.migrate(postgres.dsn_for(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture
async def database_dsn(postgres: Server, _template: str) -> AsyncIterator[str]:
    """Where a fresh, migrated database is."""
    async with fresh_database(postgres, _template) as dsn:
        yield dsn


@pytest.fixture
async def empty_database_dsn(postgres: Server) -> AsyncIterator[str]:
    """The same without the schema."""
    async with fresh_database(postgres, "template1") as dsn:
        yield dsn


@pytest.fixture(scope="session")
async def session_database_dsn(postgres: Server, _template: str) -> AsyncIterator[str]:
    """A migrated database that tests share; they leave each other's rows alone."""
    async with fresh_database(postgres, _template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def module_database_dsn(postgres: Server, _template: str) -> AsyncIterator[str]:
    """The same for one module: what it leaves behind, such as targets of purges that are no more, concerns nobody."""
    async with fresh_database(postgres, _template) as dsn:
        yield dsn


@asynccontextmanager
async def fresh_database(server: Server, template: str) -> AsyncIterator[str]:
    """A copy of `template`, dropped afterwards, whoever is still connected."""
    name = f"test_{secrets.token_hex(6)}"
    async with _connected(server) as connection:
        await connection.execute(f"create database {name} template {template} strategy file_copy")
    try:
        yield server.dsn_for(name)
    finally:
        async with _connected(server) as connection:
            await connection.execute(f"drop database {name} with (force)")


@asynccontextmanager
async def _connected(server: Server) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(server.dsn_for("postgres"), timeout=60)
    try:
        yield connection
    finally:
        await connection.close()


def place() -> Path | None:
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES
    return memory if has_room else None


async def _remove_leftovers() -> None:
    """A test run that was killed leaves its servers running: end them and remove their files."""
    for directory in (place() or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*-*"):
        owner = directory.name.removeprefix(_PREFIX).partition("-")[0]
        # another run may end, or do the same, at the same time
        with suppress(OSError):
            if directory.stat().st_uid == os.geteuid() and not Path("/proc", owner).exists():
                await _remove(directory)


async def _remove(directory: Path) -> None:
    for data in directory.glob("**/postgres/PG_VERSION"):
        cluster = Cluster(data.parent.parent.resolve(), account.choose(""), binaries.find())
        if running := cluster.postmaster():
            running[0].signal(signal.SIGQUIT)
            await running[0].ended_within(10)
    shutil.rmtree(directory, ignore_errors=True)
