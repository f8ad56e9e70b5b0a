"""A box of a lab: one process, started again within a second whenever it ends unasked, as systemd would."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.lab.plan import Kind, Site

RESTART_SECONDS = 0.5
_STOP_SECONDS = 15.0


class Box:
    """A site with what runs on it. `prepare` is awaited before every start."""

    def __init__(
        self,
        site: Site,
        argv: Sequence[str],
        *,
        directory: Path,
        log: Path,
        environment: Mapping[str, str],
        check: Callable[[], Awaitable[str]],
        stop_signal: signal.Signals = signal.SIGTERM,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.site = site
        self.argv = list(argv)
        self.log = log
        self.pid: int | None = None
        self.starts = 0
        self.is_frozen = False
        self.is_wanted = False
        self.started_at = 0.0
        self.check = check
        self._directory = directory
        self._environment = dict(environment)
        self._stop_signal = stop_signal
        self._options = dict(options or {})
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.site.name

    @property
    def kind(self) -> Kind:
        return self.site.kind

    @property
    def region(self) -> str:
        return self.site.region

    @property
    def address(self) -> str:
        return self.site.address

    @property
    def doors(self) -> dict[str, str]:
        """Door -> URL, or address:port of what speaks no HTTP."""
        return {
            door: self.site.url(door) if door not in ("dns", "postgres") else f"{host}:{port}"
            for door, (host, port) in self.site.doors.items()
        }

    @property
    def state(self) -> str:
        if self.is_frozen:
            return "frozen"
        return "up" if self.pid is not None else ("starting" if self.is_wanted else "stopped")

    def start(self) -> None:
        """Keep it running from now on."""
        self.is_wanted = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep(), name=f"keeping {self.name}")

    def kill(self) -> None:
        """SIGKILL; who is wanted comes again."""
        self._signal(signal.SIGKILL)

    async def stop(self, number: signal.Signals | None = None) -> None:
        """End it in order, or as `number` says, and leave it down."""
        self.is_wanted = False
        self.thaw()
        self._signal(number or self._stop_signal)
        if self._task is None:
            return
        done, _ = await asyncio.wait([self._task], timeout=_STOP_SECONDS)
        if not done:
            self._signal(signal.SIGKILL)
            await self._task
        self._task = None

    def freeze(self) -> None:
        """SIGSTOP to it and all that it has started: it is there, and says nothing."""
        for process in self._family():
            with suppress(psutil.Error):
                process.suspend()
        self.is_frozen = self.pid is not None

    def thaw(self) -> None:
        if self.is_frozen:
            self.is_frozen = False
            for process in self._family():
                with suppress(psutil.Error):
                    process.resume()

    def memory_bytes(self) -> int:
        """Proportional set size, with all that it has started."""
        return sum(self.memory_of_each())

    def memory_of_each(self) -> list[int]:
        """Its own, and that of each process that it has started."""
        return [_proportional(process.pid) for process in self._family()]

    def last_words(self) -> str:
        """The end of its log."""
        with suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return "\n".join(lines[-8:])
        return ""

    def _family(self) -> list[psutil.Process]:
        if self.pid is None:
            return []
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        return []

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            if number == signal.SIGKILL:
                self.is_frozen = False

    async def _keep(self) -> None:
        while self.is_wanted:
            process = await self._spawn()
            self.pid, self.started_at = process.pid, time.time()
            self.starts += 1
            try:
                await process.wait()
            finally:
                # whatever it has started goes with it
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                self.pid, self.is_frozen = None, False
            if self.is_wanted:
                await asyncio.sleep(RESTART_SECONDS)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self.argv,
                cwd=self._directory,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._options,
            )


def _proportional(pid: int) -> int:
    """Who ends meanwhile has none, and nobody else's may be seen."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)
    return 0
