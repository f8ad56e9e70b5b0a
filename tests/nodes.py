"""Real nodes for tests: in this process for speed, on free ports, with databases of their own."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from pastebin import node
from pastebin.config import Config, load
from pastebin.node import Running, Stopping

SECRET = "a secret of thirty-two characters, or more"


@dataclass(frozen=True)
class Node:
    """A node that is ready, and a client for it."""

    running: Running
    config: Config
    http: aiohttp.ClientSession
    stopping: Stopping
    dsn: str

    @property
    def url(self) -> str:
        return self.running.url()

    @property
    def internal(self) -> str:
        return self.running.url("internal")

    async def sql(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """What the database itself says."""
        connection = await asyncpg.connect(self.dsn, timeout=60)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    async def paste(self, content: str | bytes = "hello\n", **options: Any) -> dict[str, Any]:
        """Make a paste by JSON (text) or as a raw body (bytes); the decoded answer."""
        if isinstance(content, bytes):
            request = self.http.post(f"{self.url}/api/v1/pastes", data=io.BytesIO(content), params=options)
        else:
            request = self.http.post(f"{self.url}/api/v1/pastes", json={"content": content, **options})
        async with request as response:
            assert response.status == 201, await response.text()
            created: dict[str, Any] = await response.json()
            return created


@asynccontextmanager
async def started(dsn: str, directory: Path, **settings: Any) -> AsyncIterator[Node]:
    """Run a node on the database `dsn` while the block lasts; `settings` are `section__key=value`."""
    overrides = {
        "database.primary": dsn,
        "node.secret": SECRET,
        "node.data_dir": str(directory),
        # what is asked of these is for the origin itself to answer, unless a test wants more
        "node.roles": ["web", "read", "write"],
        "doors.origin": "127.0.0.1:0",
        "doors.internal": "127.0.0.1:0",
        "blobs.min_free_bytes": 0,
        # a busy machine is no overload that anybody has to be protected from
        "doors.max_delay_seconds": 0.0,
        # colours are there at once: how long a page waits for them must not depend on how busy the machine is
        "rendering.page_seconds": 30.0,
        "rendering.timeout_seconds": 30.0,
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    config = load(None, overrides)
    async with running(config) as (ready, stopping), plain_client() as http:
        yield Node(ready, config, http, stopping, dsn)


@asynccontextmanager
async def running(
    config: Config, reread: Callable[[], Config] | None = None
) -> AsyncIterator[tuple[Running, Stopping]]:
    """Run any node while the block lasts: where it is, and how it is asked to stop."""
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    stopping = Stopping()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(node.run(config, stopping=stopping, on_ready=ready.set_result, reread=reread))
        await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield ready.result(), stopping
        stopping.ask()
        await task


def plain_client() -> aiohttp.ClientSession:
    """Takes bytes as they are sent, and asks for no coding."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=120), auto_decompress=False, headers={"Accept-Encoding": "identity"}
    )


@asynccontextmanager
async def directory() -> AsyncIterator[Path]:
    """A directory that is gone afterwards and that the account of PostgreSQL can reach."""
    with tempfile.TemporaryDirectory(prefix="pastebin-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
