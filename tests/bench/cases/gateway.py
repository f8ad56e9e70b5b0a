"""Pages of 4 KB through a gateway, as a browser asks for them, and what the gateway adds to the time of one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench import edges, gateways
from tests.bench.cases.edge_page import PASTES, SIZE, content
from tests.bench.edges import Traffic
from tests.bench.harness import Case, Contest

CONNECTIONS = 64
_SAMPLES = 2000


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    contents = [content(number) for number in range(PASTES)]
    traffic = Traffic(contents, edges.TEXT, lambda slug: f"/{slug}", CONNECTIONS)
    async with gateways.contest(directory, traffic, _SAMPLES) as contest:
        yield contest


CASE = Case(
    name="gateway",
    unit="requests/s",
    ours=f"GET /..., {SIZE} bytes through the gateway, {CONNECTIONS} connections, a browser's head",
    reference="one nginx worker as a reverse proxy before the same upstream, on the same processor",
    goal=0.5,
    prepared=prepared,
)
