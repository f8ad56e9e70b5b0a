"""One edge before one origin, for all the tests that only ask."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.cdn.clauses import Client
from tests.cdn.edges import edge_before
from tests.cdn.origins import Origin, scripted


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
