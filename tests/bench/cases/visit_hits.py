"""What counting visits adds to a hit: two nodes, one of which counts, and the processor time of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench import edges
from tests.bench.cases import edge_raw
from tests.bench.edges import Traffic
from tests.bench.harness import Case, Contest

PASTES = 500
MOST_MICROSECONDS = 1.0


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    contents = [edge_raw.content(number) for number in range(PASTES)]
    traffic = Traffic(contents, edges.BINARY, lambda slug: f"/raw/{slug}", edge_raw.CONNECTIONS)
    async with edges.counted_contest(directory, traffic, MOST_MICROSECONDS) as contest:
        yield contest


CASE = Case(
    name="visit_hits",
    unit="hits/processor second",
    ours=f"the same as edge_raw with {PASTES} pastes; {MOST_MICROSECONDS:g} microsecond a hit is allowed",
    reference="a node with visits.count = false",
    goal=0.9,
    prepared=prepared,
)
