"""How long after a paste was read a report says so, with every role in one node, against five seconds."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.harness import Case, Contest, WrongAnswer
from tests.scenarios.processes import NodeProcess, node_process

MOST_SECONDS = 5.0
_POLL_SECONDS = 0.02
_GIVE_UP_SECONDS = 60.0


class Visible:
    """One node, a reader, and what it took until the figures of the node's owner had each reading."""

    def __init__(self, node: NodeProcess, http: aiohttp.ClientSession, admin: str) -> None:
        self._node = node
        self._http = http
        self._headers = {"Authorization": f"Bearer {admin}"}
        self._taken: list[float] = []

    async def ours(self, seconds: float) -> float:
        """The inverse of the median."""
        taken = []
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            taken.append(await self._one())
        self._taken += taken
        return 1 / statistics.median(taken)

    async def reference(self, _seconds: float) -> float:
        return 1 / MOST_SECONDS

    async def check(self) -> None:
        """Not one came later."""
        slowest = max(self._taken)
        print(f"  p50 {statistics.median(self._taken):.2f} s, slowest {slowest:.2f} s", flush=True)
        if slowest > MOST_SECONDS:
            raise WrongAnswer(f"a reading was visible after {slowest:.2f} s")

    async def _one(self) -> float:
        async with self._http.post(f"{self._node.url}/api/v1/pastes", json={"content": "read me"}) as response:
            slug = (await response.json())["slug"]
        async with self._http.get(f"{self._node.url}/{slug}/raw") as response:
            await response.read()
        began = time.monotonic()
        while not await self._is_counted(slug):
            if time.monotonic() - began > _GIVE_UP_SECONDS:
                raise WrongAnswer(f"a reading was not visible after {_GIVE_UP_SECONDS:g} s")
            await asyncio.sleep(_POLL_SECONDS)
        return time.monotonic() - began

    async def _is_counted(self, slug: str) -> bool:
        query = {"since": "2h", "audience": "all", "limit": "1000"}
        address = f"{self._node.url}/api/v1/analytics/top"
        async with self._http.get(address, params=query, headers=self._headers) as response:
            report: dict[str, Any] = await response.json()
            if response.status != 200:
                raise WrongAnswer(f"a report answered {response.status}: {report}")
        return any(row["value"] == slug for row in report["rows"])


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    async with node_process(directory / "data", "--set=blobs.min_free_bytes=0") as node:
        admin = (directory / "data" / "admin-token").read_text(encoding="ascii").strip()
        async with aiohttp.ClientSession() as http:
            visible = Visible(node, http, admin)
            yield Contest(visible.ours, visible.reference, visible.check)


CASE = Case(
    name="visible",
    unit="readings/s of one reader who waits for the report",
    ours="a reading until a report counts it",
    reference=f"{MOST_SECONDS:g} s, for every one of them",
    goal=1.0,
    prepared=prepared,
)
