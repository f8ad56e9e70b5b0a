"""Real edges for tests: nodes with that role alone, before any HTTP origin, without a purge feed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from pastebin.config import load
from tests.cdn.clauses import Client
from tests.nodes import SECRET, directory, running


@asynccontextmanager
async def edge_before(*origins: str, **settings: Any) -> AsyncIterator[Client]:
    """Run an edge before these origins while the block lasts; `settings` are `section__key=value`."""
    async with directory() as path:
        overrides = {
            "node.roles": ["edge"],
            "doors.max_delay_seconds": 0.0,
            "node.secret": SECRET,
            "node.data_dir": str(path),
            "doors.edge": "127.0.0.1:0",
            "doors.internal": "127.0.0.1:0",
            "edge.origin": list(origins),
            "edge.lease_seconds": 0.0,
            **{key.replace("__", "."): value for key, value in settings.items()},
        }
        config = load(None, overrides)
        async with (
            running(config) as (ready, _),
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120), auto_decompress=False) as http,
        ):
            yield Client(http, ready.url("edge"))
