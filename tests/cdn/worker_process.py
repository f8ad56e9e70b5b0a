"""A worker as a process of its own, forked from one that has everything imported, so that it starts in a moment."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing.context import ForkServerProcess

import aiohttp
import msgspec

from pastebin.cdn.targets import Equipment
from pastebin.cdn.targets.edge import EdgeTarget, HttpCarrier
from pastebin.loops import Loops
from pastebin.sections import CdnSection
from tests.cdn.receivers import SECRET
from tests.cdn.workers import working

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


class WorkerProcess:
    """Tells the edges at `urls`, called `edge-0` and so on."""

    def __init__(self, dsn: str, urls: Sequence[str], section: CdnSection, node: str) -> None:
        self.node = node
        self._process: ForkServerProcess = _CONTEXT.Process(
            target=_main, args=(dsn, list(urls), msgspec.to_builtins(section), node), daemon=True
        )

    def start(self) -> None:
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """kill -9, stopped or not."""
        self._process.kill()
        await asyncio.to_thread(self._process.join, 60)
        self._process.close()


@asynccontextmanager
async def worker_process(dsn: str, urls: Sequence[str], section: CdnSection, node: str) -> AsyncIterator[WorkerProcess]:
    """One while the block lasts."""
    process = WorkerProcess(dsn, urls, section, node)
    await asyncio.to_thread(process.start)
    try:
        yield process
    finally:
        await process.kill()


def _main(dsn: str, urls: list[str], options: dict[str, object], node: str) -> None:
    asyncio.run(_work(dsn, urls, CdnSection(**options), node))


async def _work(dsn: str, urls: list[str], section: CdnSection, node: str) -> None:
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        client = await stack.enter_async_context(aiohttp.ClientSession())
        equipment = Equipment(client, Loops(tasks), section.request_timeout_seconds, node, "", SECRET)
        targets = {
            name: EdgeTarget(name, HttpCarrier(url, equipment), node)
            for name, url in ((f"edge-{number}", url) for number, url in enumerate(urls))
        }
        await stack.enter_async_context(working(dsn, targets, section, node=node))
        await asyncio.Event().wait()
