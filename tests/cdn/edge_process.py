"""An edge that only remembers, as a process of its own: `python -m tests.cdn.edge_process PORT`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.cdn.receivers import EdgeProcess
from tests.nodes import SECRET
from tests.ports import free_port

_START_SECONDS = 60.0


@asynccontextmanager
async def edge_process() -> AsyncIterator[str]:
    """Where its door is, while the block lasts."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.cdn.edge_process", str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"{url}/cdn/state"):
                        break  # refused, but there is somebody
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        yield url
    finally:
        process.kill()
        await process.wait()


async def _serve(port: int) -> None:
    async with EdgeProcess(secret=SECRET.encode()).open(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
