"""The client as a person runs it: a subprocess with a home of its own, against a server that a test can spoil."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

DEADLINE_SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """How a run of the client ended."""

    code: int
    out: bytes
    err: str

    @property
    def line(self) -> str:
        """The only line on standard output."""
        (line,) = self.out.decode().splitlines()
        return line


@dataclass(frozen=True)
class Client:
    """`pastebin`, with everything it keeps below `home`."""

    home: Path

    @property
    def ledger(self) -> Path:
        return self.home / "state" / "pastebin" / "pastes.jsonl"

    def environment(self, **variables: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return inherited | {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "PASTEBIN_SERVER": "http://127.0.0.1:9",
            **variables,
        }

    async def start(
        self, *arguments: str | Path, stdin: int = asyncio.subprocess.PIPE, **variables: str
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pastebin", *map(str, arguments)),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment(**variables),
            cwd=self.home,
        )

    async def run(self, *arguments: str | Path, stdin: bytes = b"", **variables: str) -> Outcome:
        process = await self.start(*arguments, **variables)
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin), DEADLINE_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Outcome(process.returncode, out, err.decode())


@pytest.fixture(autouse=True)
def _no_log_handlers_left() -> Iterator[None]:
    """A command that runs in this process sends the log to what pytest calls standard error during this one test."""
    logger = logging.getLogger()
    known, level = list(logger.handlers), logger.level
    yield
    for handler in set(logger.handlers).difference(known):
        logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    home = tmp_path / "home"
    home.mkdir()
    return Client(home)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
StartServer = Callable[[Handler], Awaitable[str]]


@asynccontextmanager
async def _serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application(client_max_size=64 * 1024**2)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Start a server that answers every request with one handler; returns its address."""
    async with AsyncExitStack() as stack:
        yield lambda handler: stack.enter_async_context(_serving(handler))
