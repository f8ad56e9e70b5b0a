"""Reads while pages of hostile content are asked for, each of which has to be there soon all the same.

Nothing is kept to one processor: that the work is done beside the node, wherever there is room, is what is measured.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import random
import tarfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.bench import edges, http_load
from tests.bench.cases import edge_raw
from tests.bench.harness import Case, Contest, WrongAnswer
from tests.bench.http_load import Request
from tests.bench.nodes import whole_node
from tests.scenarios.processes import NodeProcess

MOST_SECONDS = 2.0
CONNECTIONS = 2
PASTES = 100


def _archive(count: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x" * 40))
    return made.getvalue()[:512] * count + b"\0" * 1024


def _shuffled(seed: int) -> bytes:
    """Lines that occur once in each text, in another order: the search for what they share is at its worst."""
    numbers = random.Random(seed).sample(range(150_000), 150_000)  # noqa: S311  (the same in every run)
    return b"".join(b"%d\n" % number for number in numbers)


# Each has its own ending in every round, so that nothing of it has been made before: name, content, query of the page.
HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "a bomb for a lexer": ("x.feature", b"\t\n" * 5_000, ""),
    "another": ("x.fan", b"a" * 19_900, ""),
    "one long line": ("x.py", b"x" * 1_000_000, ""),
    "one long line of colours": ("x.log", b"\x1b[31mx\x1b[32my" * 80_000, ""),
    "an archive of 100,000 files": ("x.tar", _archive(100_000), ""),
    "deep JSON": ("x.json", b"[" * 500_000 + b"]" * 500_000, "?view=tree"),
    "deep Markdown": ("x.md", b"> " * 50_000 + b"x", ""),
    "Markdown of links": ("x.md", b"[a](" * 50_000, ""),
    "Markdown of emphasis": ("x.md", b"*a_ " * 50_000, ""),
}
_COMPARED = "two texts of 1 MiB"


class Hostile:
    """What is told is how many 99th percentiles of raw reads fit in a second, with such pages being made or without."""

    def __init__(self, node: NodeProcess, http: aiohttp.ClientSession) -> None:
        self._node = node
        self._http = http
        self._requests: list[Request] = []
        self._turns = itertools.count()
        self.slowest: dict[str, float] = {}

    async def publish(self) -> None:
        """The pastes that are read all the time."""
        for number in range(PASTES):
            content = edge_raw.content(number)
            path = f"/raw/{await self._sent('x.bin', content)}"
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._node.port}\r\nUser-Agent: bench\r\n\r\n"
            self._requests.append((head.encode(), lambda status, body, right=content: status == 200 and body == right))

    async def _sent(self, name: str, content: bytes) -> str:
        async with self._http.post(f"{self._node.url}/api/v1/pastes", params={"name": name}, data=content) as response:
            if response.status != 201:
                raise WrongAnswer(f"{response.status}: {await response.text()}")
            return str((await response.json())["slug"])

    async def ours(self, seconds: float) -> float:
        async with asyncio.TaskGroup() as tasks:
            attack = tasks.create_task(self._attack())
            rate = await self.reference(seconds)
            await attack
        return rate

    async def _attack(self) -> None:
        """All of them once, one after the other, as a reader would ask for them."""
        turn = b"\n%d\n" % next(self._turns)
        for what, (name, content, query) in HOSTILE.items():
            is_text = b"\0" not in content
            slug = await self._sent(name, content + turn if is_text and not query else content)
            await self._look(what, f"/{slug}{query}")
        slugs = [await self._sent("x.txt", _shuffled(seed) + turn) for seed in (1, 2)]
        await self._look(_COMPARED, f"/diff/{slugs[0]}/{slugs[1]}")

    async def _look(self, what: str, path: str) -> None:
        began = time.perf_counter()
        async with self._http.get(f"{self._node.url}{path}", headers=edges.BROWSER) as response:
            await response.read()
            if response.status != 200:
                raise WrongAnswer(f"{what}: {response.status}")
        self.slowest[what] = max(self.slowest.get(what, 0.0), time.perf_counter() - began)

    async def reference(self, seconds: float) -> float:
        order = itertools.cycle(random.sample(self._requests, len(self._requests)))
        tally = await http_load.drive(
            "127.0.0.1", self._node.port, lambda: next(order), connections=CONNECTIONS, seconds=seconds
        )
        latencies = sorted(tally.latencies)
        return 1 / latencies[len(latencies) * 99 // 100]

    async def check(self) -> None:
        """The slowest page of each kind. Raises WrongAnswer."""
        told = ", ".join(f"{what} {1000 * seconds:,.0f} ms" for what, seconds in self.slowest.items())
        print(f"  slowest pages: {told}", flush=True)
        if late := {what: seconds for what, seconds in self.slowest.items() if seconds > MOST_SECONDS}:
            raise WrongAnswer(f"pages after {late}, not {MOST_SECONDS:g} s")


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    async with whole_node(directory) as node, aiohttp.ClientSession() as http:
        hostile = Hostile(node, http)
        await hostile.publish()
        yield Contest(hostile.ours, hostile.reference, hostile.check)


CASE = Case(
    name="hostile_pages",
    unit="p99 answers in a row/s",
    ours=f"GET /raw/... of {PASTES} pastes, {CONNECTIONS} connections, while {len(HOSTILE) + 1} hostile pages are made",
    reference="the same node while nobody asks for such pages",
    goal=0.1,
    prepared=prepared,
)
