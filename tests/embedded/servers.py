"""Servers and nodes to kill, and questions to ask them."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from pastebin.embedded.server import Server
from pastebin.sections import EmbeddedSection

# `serving.py` uses the same: a server is adopted only with the settings it has
SECTION = EmbeddedSection(durable=False)

_SERVING = Path(__file__).with_name("serving.py")


@asynccontextmanager
async def node(data_dir: Path, *user: str) -> AsyncIterator[tuple[Process, int, str]]:
    """A process that runs `serving.py`, the number of its postmaster and its DSN; killed at the latest at the end."""
    process = await start_node(data_dir, *user)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(120):
            said = (await process.stdout.readline()).split()
        assert said, await process.communicate()
        yield process, int(said[1]), said[2].decode()
    finally:
        await kill(process)


async def start_node(data_dir: Path, *user: str) -> Process:
    """The process only: it may not have got far."""
    return await asyncio.create_subprocess_exec(
        sys.executable, str(_SERVING), str(data_dir), *user, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd="/"
    )


async def kill(process: Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    # closes its pipes as well
    await process.communicate()


async def end(process: Process) -> None:
    """Ask it to end in order."""
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(120):
        await process.communicate()


async def execute(server: Server, statement: str, *arguments: Any) -> None:
    connection = await asyncpg.connect(server.dsn, timeout=10)
    try:
        await connection.execute(statement, *arguments)
    finally:
        await connection.close()


async def fetchval(server: Server, query: str, *arguments: Any) -> Any:
    connection = await asyncpg.connect(server.dsn, timeout=10)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


async def eventually(server: Server, query: str, *arguments: Any) -> None:
    """Return when the query, asked again and again, says true; a server that is on its way may refuse."""

    async def is_true() -> bool:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return bool(await fetchval(server, query, *arguments))
        return False

    await until(is_true)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return when the condition, tried again and again, holds."""
    async with asyncio.timeout(120):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.01)
