"""Raw pastes of 1 KiB out of the edge's memory, 10,000 of them, some much more popular than others."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench import edges
from tests.bench.edges import Traffic
from tests.bench.harness import Case, Contest

CONNECTIONS = 64
PASTES = 10_000
SIZE = 1024


def content(number: int) -> bytes:
    """Different for every number, and of SIZE bytes for browsers, too: nothing makes it smaller."""
    return random.Random(number).randbytes(SIZE)  # noqa: S311  (the same in every run)


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    traffic = Traffic(
        [content(number) for number in range(PASTES)], edges.BINARY, lambda slug: f"/raw/{slug}", CONNECTIONS
    )
    async with edges.contest(directory, traffic) as contest:
        yield contest


CASE = Case(
    name="edge_raw",
    unit="requests/s",
    ours=f"GET /raw/... of {SIZE} bytes, {PASTES} pastes by Zipf's law, {CONNECTIONS} connections, a browser's head",
    reference="one nginx worker with the same bodies in files, on the same processor",
    goal=1.0,
    prepared=prepared,
)
