"""A database and a blob directory for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.stored import Stored, opened


@pytest.fixture
async def stored(database_dsn: str, tmp_path: Path) -> AsyncIterator[Stored]:
    async with opened(database_dsn, tmp_path / "blobs") as place:
        yield place
