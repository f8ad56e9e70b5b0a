"""One edge before one origin for the tests that only ask; a database and a blob directory for each of the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cdn.clauses import Client
from tests.cdn.edges import edge_before
from tests.cdn.origins import Origin, scripted
from tests.stored import Stored, opened


@pytest.fixture(scope="session")
async def origin() -> AsyncIterator[Origin]:
    """An origin that answers by script."""
    async with scripted() as served:
        yield served


@pytest.fixture(scope="session")
async def client(origin: Origin) -> AsyncIterator[Client]:
    """A client of the edge before it."""
    async with edge_before(origin.url) as asking:
        yield asking


@pytest.fixture
async def stored(database_dsn: str, tmp_path: Path) -> AsyncIterator[Stored]:
    async with opened(database_dsn, tmp_path / "blobs") as place:
        yield place
