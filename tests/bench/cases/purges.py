"""How long a DELETE takes until four edges have confirmed it, at 100 of them a second, against 150 ms."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from pastebin.embedded.server import Server
from pastebin.store import schema
from tests.bench.harness import Case, Contest, WrongAnswer, durable_postgres
from tests.cdn.edge_process import edge_process
from tests.nodes import SECRET
from tests.scenarios.processes import NodeProcess, node_process

# without an edge of its own, which would be one more
_ROLES = 'roles = ["web", "read", "write", "cdn-worker"]'
EDGES = 4
PER_SECOND = 100
MEDIAN_SECONDS = 0.15
SLOWEST_SECONDS = 1.0


class Purges:
    """One node with a worker, and what its answers to DELETE took."""

    def __init__(self, server: Server, node: NodeProcess, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._node = node
        self._http = http
        self._taken: list[float] = []
        self._purges: list[str] = []

    async def ours(self, seconds: float) -> float:
        """The inverse of the median. Requests begin at their time, whether or not others have ended."""
        pastes = [await self._paste() for _ in range(round(PER_SECOND * seconds))]
        taken: list[float] = []
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number, (slug, token) in enumerate(pastes):
                await asyncio.sleep(began + number / PER_SECOND - loop.time())
                tasks.create_task(self._delete(slug, token, taken))
        self._taken += taken
        return 1 / statistics.median(taken)

    async def reference(self, _seconds: float) -> float:
        return 1 / MEDIAN_SECONDS

    async def check(self) -> None:
        """Everything was confirmed by everybody, and of a hundred at most one took longer than a second."""
        wrong = [purge for purge in self._purges if not purge.startswith(f"confirmed; edges={EDGES};")]
        if wrong:
            raise WrongAnswer(f"{len(wrong)} of {len(self._purges)} purges were not confirmed: {wrong[0]}")
        slowest = statistics.quantiles(self._taken, n=100)[98]
        print(f"  p50 {statistics.median(self._taken) * 1000:.0f} ms, p99 {slowest * 1000:.0f} ms", flush=True)
        if slowest > SLOWEST_SECONDS:
            raise WrongAnswer(f"1 % took longer than {slowest:.2f} s")

    async def _paste(self) -> tuple[str, str]:
        async with self._http.post(f"{self._node.url}/api/v1/pastes", json={"content": "short"}) as response:
            made = await response.json()
            return made["slug"], made["token"]

    async def _delete(self, slug: str, token: str, taken: list[float]) -> None:
        began = time.perf_counter()
        address, headers = f"{self._node.url}/api/v1/pastes/{slug}", {"Authorization": f"Bearer {token}"}
        async with self._http.delete(address, headers=headers) as response:
            taken.append(time.perf_counter() - began)
            if response.status != 204:
                raise WrongAnswer(f"DELETE answered {response.status}")
            self._purges.append(response.headers["Pastebin-Purge"])


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(durable_postgres(directory))
        await schema.migrate(server.dsn)
        urls = [await stack.enter_async_context(edge_process()) for _ in range(EDGES)]
        targets = [f'[[cdn.targets]]\nname = "edge-{number}"\nurl = "{url}"\n' for number, url in enumerate(urls)]
        config = directory / "node.toml"
        config.write_text(
            f'[node]\nsecret = "{SECRET}"\n{_ROLES}\n[database]\nprimary = "{server.dsn}"\n{"".join(targets)}',
            encoding="utf-8",
        )
        config.chmod(0o600)
        node = await stack.enter_async_context(node_process(directory / "node", f"--config={config}"))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        purges = Purges(server, node, http)
        yield Contest(purges.ours, purges.reference, purges.check)


CASE = Case(
    name="purges",
    unit="deletes/s of one client",
    ours=f"DELETE confirmed by {EDGES} edges, {PER_SECOND} begun a second",
    reference=f"{MEDIAN_SECONDS * 1000:.0f} ms; p99 at most {SLOWEST_SECONDS:g} s",
    goal=1.0,
    prepared=prepared,
)
