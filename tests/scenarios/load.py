"""Clients that read or write all the time while something else happens."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: when it came, how long it took, and whether a refusal said when to come back."""

    at: float
    seconds: float
    status: int
    retry_after: str | None = None


@dataclass(slots=True)
class Replies:
    """What clients were told, in order."""

    made: list[Reply] = field(default_factory=list)

    def statuses(self, since: float = 0.0) -> Counter[int]:
        return Counter(reply.status for reply in self.made if reply.at >= since)

    def percentile(self, share: float, since: float = 0.0, until: float = float("inf")) -> float:
        """How long the slowest but the rest took, in seconds."""
        taken = sorted(reply.seconds for reply in self.made if since <= reply.at < until)
        return taken[min(int(len(taken) * share), len(taken) - 1)]

    def longest_pause(self, status: int) -> float:
        """The longest time without such an answer, in seconds."""
        times = [reply.at for reply in self.made if reply.status == status]
        return max((after - before for before, after in itertools.pairwise(times)), default=float("inf"))


@asynccontextmanager
async def reading(urls: Sequence[str], clients: int = 8, pause_seconds: float = 0.01) -> AsyncIterator[Replies]:
    """Clients that get one address after the other while the block lasts."""
    replies = Replies()

    async def client(http: aiohttp.ClientSession, number: int) -> None:
        while True:
            number += 1
            began = time.monotonic()
            async with http.get(urls[number % len(urls)]) as response:
                await response.read()
            now = time.monotonic()
            replies.made.append(Reply(now, now - began, response.status, response.headers.get("Retry-After")))
            await asyncio.sleep(pause_seconds)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http, asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(client(http, number)) for number in range(clients)]
        yield replies
        for task in running:
            task.cancel()


@dataclass(slots=True)
class Written:
    """What was acknowledged: the slug for each key, and every answer on the way."""

    slugs: dict[str, str] = field(default_factory=dict)
    replies: Replies = field(default_factory=Replies)


@asynccontextmanager
async def writing(url: str, per_second: float = 50.0) -> AsyncIterator[Written]:
    """Make a new paste every so often; what is refused is sent again with its key until it is acknowledged."""
    written = Written()
    over = asyncio.Event()

    async def client(http: aiohttp.ClientSession, key: str) -> None:
        while key not in written.slugs:
            began = time.monotonic()
            body = {"content": f"content of {key}\n"}
            async with http.post(f"{url}/api/v1/pastes", json=body, headers={"Idempotency-Key": key}) as response:
                answer = await response.json()
            now = time.monotonic()
            reply = Reply(now, now - began, response.status, response.headers.get("Retry-After"))
            written.replies.made.append(reply)
            if response.status in (200, 201):
                written.slugs[key] = answer["slug"]
            else:
                assert response.status == 503, answer
                await asyncio.sleep(0.2)

    async def source(http: aiohttp.ClientSession, clients: asyncio.TaskGroup) -> None:
        number = 0
        while not over.is_set():
            number += 1
            clients.create_task(client(http, f"idempotency-key-{number}"))
            await asyncio.sleep(1 / per_second)

    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=120)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
        asyncio.timeout(240),
        asyncio.TaskGroup() as clients,
    ):
        clients.create_task(source(http, clients))
        yield written
        over.set()
