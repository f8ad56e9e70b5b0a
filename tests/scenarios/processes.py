"""A real node as a process of its own, as a person starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import aiohttp

from tests.nodes import SECRET
from tests.ports import free_port

# For nodes whose tests bear no refusals: a machine that is busy with tests is no overload to protect them from.
CALM = "--set=doors.max_delay_seconds=0"

_START_SECONDS = 120.0
_STOP_SECONDS = 120.0


class NodeProcess:
    """`pastebin serve` on free ports; `start` may be called again after a stop or a kill."""

    def __init__(self, data_dir: Path, *options: str, log: Path | None = None) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.internal_port = free_port()
        self._options = options
        self._log = log or data_dir.with_suffix(".log")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def internal(self) -> str:
        return f"http://127.0.0.1:{self.internal_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def postmaster_pid(self) -> int:
        return int((self.data_dir / "postgres" / "postmaster.pid").read_text(encoding="ascii").split()[0])

    @property
    def dsn(self) -> str:
        """Where its embedded database is: postmaster.pid names port and socket directory on its 4th and 5th line."""
        lines = (self.data_dir / "postgres" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return f"postgresql://pastebin@/pastebin?host={quote(lines[4], safe='')}&port={lines[3]}"

    @property
    def log_text(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    async def start(self) -> float:
        """Start and wait for the first 200; returns the seconds that took."""
        began = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "pastebin",
                "serve",
                f"--data-dir={self.data_dir}",
                f"--port={self.port}",
                f"--internal-port={self.internal_port}",
                *self._options,
                stdout=log,
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
            )
        try:
            await self._until_ready(self._process)
        except BaseException:
            await self.stop()  # nobody else knows of it
            raise
        return time.perf_counter() - began

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        async with aiohttp.ClientSession() as http, asyncio.timeout(_START_SECONDS):
            while True:
                if process.returncode is not None:
                    raise AssertionError(f"the node ended with {process.returncode}:\n{self.log_text[-4000:]}")
                try:
                    async with http.get(f"{self.url}/api/v1/limits") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.01)  # there is no event to await in a process that does not listen yet

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        return await self.wait()

    async def wait(self) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)

    @property
    def was_killed(self) -> bool:
        """Whether it ended without having stopped its database."""
        return self._process is not None and (self._process.returncode or 0) < 0

    async def kill(self, *, database: bool = False) -> None:
        """kill -9 of the node, and of its database at the same moment if asked."""
        assert self._process is not None
        postmaster = self.postmaster_pid if database else None
        self._process.kill()
        if postmaster is not None:
            os.kill(postmaster, signal.SIGKILL)
        await self._process.wait()

    def rss_bytes(self, *, peak: bool = False) -> int:
        """Resident memory of the node process, without its children."""
        word = "VmHWM" if peak else "VmRSS"
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(word):
                return int(line.split()[1]) * 1024
        raise AssertionError("the node is not running")

    def forget_peak(self) -> None:
        """Let VmHWM begin again from now (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")


@asynccontextmanager
async def node_process(data_dir: Path, *options: str) -> AsyncIterator[NodeProcess]:
    """A node that has been started; stopped, with its database, when the block ends."""
    process = NodeProcess(data_dir, *options)
    await process.start()
    try:
        yield process
    finally:
        if process.was_killed:
            await process.start()  # so that it adopts and stops the database it left behind
        await process.stop()


class AnalyticsProcess:
    """`pastebin serve --role=analytics`, to be killed and started again."""

    def __init__(self, directory: Path, url: str) -> None:
        self.port = free_port()
        self._config = directory / "node.toml"
        self._config.touch(mode=0o600)
        self._log = directory / "node.log"
        self._config.write_text(
            f'[node]\nsecret = "{SECRET}"\nroles = ["analytics"]\ndata_dir = "{directory}"\n'
            f'[doors]\norigin = "127.0.0.1:{free_port()}"\ninternal = "127.0.0.1:{self.port}"\n'
            f'[database]\nprimary = "postgresql://127.0.0.1:1/none"\n'
            f'[analytics]\ndatabase = "{url}"\nbatches_per_second = 1000.0\n'
        )
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pastebin", "serve", f"--config={self._config}"), stdout=log, stderr=log
            )
        async with aiohttp.ClientSession() as http, asyncio.timeout(_START_SECONDS):
            while True:
                assert self._process.returncode is None, self._log.read_text()[-4000:]
                try:
                    async with http.get(f"http://127.0.0.1:{self.port}/readyz") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.02)  # there is no event to await in a process that does not listen yet

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def analytics_process(directory: Path, url: str) -> AsyncIterator[AnalyticsProcess]:
    """A node that does nothing but analytics, on the database `url`; killed when the block ends."""
    process = AnalyticsProcess(directory, url)
    try:
        await process.start()
        yield process
    finally:
        await process.kill()
