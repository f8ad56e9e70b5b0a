"""Real edges for tests: nodes with that role alone, before any HTTP origin, without a purge feed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from pastebin import node
from pastebin.config import load
from pastebin.node import Running, Stopping
from tests.cdn.clauses import Client
from tests.nodes import SECRET, directory


@asynccontextmanager
async def edge_before(*origins: str, **settings: Any) -> AsyncIterator[Client]:
    """Run an edge before these origins while the block lasts; `settings` are `section__key=value`."""
    async with directory() as path:
        overrides = {
            "node.roles": ["edge"],
            "node.secret": SECRET,
            "node.data_dir": str(path),
            "doors.edge": "127.0.0.1:0",
            "doors.internal": "127.0.0.1:0",
            "edge.origin": list(origins),
            "edge.lease_seconds": 0.0,
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        config = load(None, overrides)
        ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
        stopping = Stopping()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(node.run(config, stopping=stopping, on_ready=ready.set_result))
            await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), auto_decompress=False) as http:
                yield Client(http, ready.result().url("edge"))
            stopping.ask()
            await task
