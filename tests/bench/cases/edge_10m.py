"""Answers of 10 MiB out of the edge's disk tier."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench import edges
from tests.bench.edges import Traffic
from tests.bench.harness import Case, Contest

CONNECTIONS = 16
PASTES = 4
SIZE = 10 * 1024**2


def content(number: int) -> bytes:
    """Different for every number; nothing makes it smaller."""
    return random.Random(number).randbytes(SIZE)  # noqa: S311  (the same in every run)


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    traffic = Traffic(
        [content(number) for number in range(PASTES)],
        edges.BINARY,
        lambda slug: f"/raw/{slug}",
        CONNECTIONS,
        in_bytes=True,
    )
    async with edges.contest(directory, traffic) as contest:
        yield contest


CASE = Case(
    name="edge_10m",
    unit="MB/s",
    ours=f"GET /raw/... of {SIZE} bytes, {PASTES} pastes, {CONNECTIONS} connections",
    reference="one nginx worker with the same bodies in files, on the same processor",
    goal=0.9,
    prepared=prepared,
)
