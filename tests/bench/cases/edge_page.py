"""Pages of pastes with 4 KB of source out of the edge's memory, as a browser gets them: highlighted and compressed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench import edges
from tests.bench.edges import Traffic
from tests.bench.harness import Case, Contest

CONNECTIONS = 64
PASTES = 200
SIZE = 4096
_NAMES = ("total", "user", "count", "line", "result", "size", "path", "value", "items", "offset")


def content(number: int) -> bytes:
    """SIZE bytes of Python, different for every number."""
    chance = random.Random(number)  # noqa: S311  (the same in every run)
    lines: list[str] = []
    while sum(map(len, lines)) < SIZE:
        one, other, third = chance.sample(_NAMES, 3)
        lines.append(f"def {one}_{len(lines)}({other}: int, {third}: str) -> dict[str, int]:\n")
        lines.append(f'    """Number {chance.randrange(10**6)}."""\n')
        lines.append(
            f"    return {{{third}: {other} * {chance.randrange(100)} + len({third}) for {one} in range(9)}}\n\n"
        )
    return "".join(lines)[:SIZE].encode()


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    traffic = Traffic(
        [content(number) for number in range(PASTES)],
        edges.TEXT,
        lambda slug: f"/{slug}",
        CONNECTIONS,
        options={"syntax": "python"},
    )
    async with edges.contest(directory, traffic) as contest:
        yield contest


CASE = Case(
    name="edge_page",
    unit="requests/s",
    ours=f"GET /..., the page of {SIZE} bytes of source, {PASTES} pastes, {CONNECTIONS} connections, a browser's head",
    reference="one nginx worker with the same bodies in files, on the same processor",
    goal=1.0,
    prepared=prepared,
)
