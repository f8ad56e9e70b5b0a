"""Workers for tests, with targets of the test's choice on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
import msgspec

from pastebin.cdn.senders import Desk, Heads
from pastebin.cdn.targets import Equipment, Target
from pastebin.cdn.targets.edge import EdgeTarget, HttpCarrier
from pastebin.cdn.worker import Aimed, Worker
from pastebin.loops import Loops
from pastebin.metrics import Metrics
from pastebin.sections import CdnSection, DatabaseSection
from pastebin.services.purging import Purging
from pastebin.store import cursors as cursor_rows
from pastebin.store.batching import Batcher
from pastebin.store.cursors import Cursors
from pastebin.store.database import Database
from pastebin.store.dead_letters import DeadLetters
from pastebin.store.feed import Feed
from pastebin.store.partitions import Partitions
from tests.cdn.receivers import SECRET, EdgeProcess
from tests.stored import SECTION

QUICK = CdnSection(
    lease_seconds=0.5, poll_seconds=0.1, request_timeout_seconds=0.5, retry_max_seconds=0.2, confirm_seconds=30.0
)
# of a worker that loses no claim because the machine stands still for a moment, and says nothing twice
STEADY = msgspec.structs.replace(QUICK, lease_seconds=15.0)


@dataclass(frozen=True)
class Working:
    """A worker at work, and what belongs to it."""

    worker: Worker
    desk: Desk
    metrics: Metrics
    purging: Purging
    cursors: Cursors


@asynccontextmanager
async def working(
    dsn: str,
    targets: Mapping[str, Target],
    section: CdnSection = QUICK,
    *,
    node: str = "node",
    beat_seconds: float = 0.2,
    is_soft: bool = False,
    database_section: DatabaseSection = SECTION,
) -> AsyncIterator[Working]:
    """Run a worker while the block lasts."""
    metrics = Metrics()
    aimed = {name: Aimed(target, is_soft) for name, target in targets.items()}
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database.opened(database_section, dsn))
        cursors = Cursors(database)
        confirms = await stack.enter_async_context(Batcher.running("confirms", cursors.confirm, cursor_rows.BOUNDS))
        purging = await stack.enter_async_context(
            Purging.opened(cursors, seconds=section.confirm_seconds, gone_seconds=20.0)
        )
        letters = DeadLetters(database)
        desk = Desk(Feed(database), Heads(), cursors, confirms, letters, purging, section, beat_seconds, metrics)
        worker = Worker(node, lambda: aimed, desk, Partitions(database, section.retention_seconds), lambda: None)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(worker.run())
            try:
                yield Working(worker, desk, metrics, purging, cursors)
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


@asynccontextmanager
async def reaching(edges: list[EdgeProcess], seconds: float = 3.0) -> AsyncIterator[dict[str, EdgeTarget]]:
    """Targets for these edges, over HTTP. What takes an edge longer than `seconds` it is told again."""
    async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as client:
        equipment = Equipment(client, Loops(tasks), seconds, "node", "", SECRET)
        yield {
            f"edge-{number}": EdgeTarget(f"edge-{number}", HttpCarrier(edge.url, equipment), "node")
            for number, edge in enumerate(edges)
        }


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that shows by itself."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (nothing announces it)
            await asyncio.sleep(0.01)
