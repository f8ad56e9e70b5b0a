"""Processes, ours and adopted: start, signal, await their end, and recognise them in /proc."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pastebin.embedded import logfile
from pastebin.embedded.account import Account
from pastebin.errors import ResourceUnavailable

# Nothing of the node's own environment, which may hold secrets and PG* variables; messages are in English.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_POLL_SECONDS = 0.1
_CLEANING_SECONDS = 3.0


class Process:
    """A process held by a pidfd, so that a later process with its number is neither awaited nor signalled.

    It need not be a child of this process: an adopted server is not. Where pidfds are refused it is polled.
    """

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        """Raises ProcessLookupError when there is no such process."""
        self.pid = pid
        self._child = child
        self._fd: int | None = None
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise
        except OSError:
            with suppress(PermissionError):
                os.kill(pid, 0)

    def __del__(self) -> None:
        if self._fd is not None:
            os.close(self._fd)

    @property
    def has_ended(self) -> bool:
        if self._child is not None:
            return self._child.poll() is not None
        if self._fd is None:
            return look(self.pid) is None
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))

    @property
    def ending(self) -> str:
        """How it ended, in words, as far as a process that is not its parent can know."""
        status = self._child.poll() if self._child else None
        if status is None:
            return "it is gone"
        return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended is left in peace."""
        if self.has_ended:
            return
        with suppress(ProcessLookupError):
            if self._fd is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(self._fd, number)

    async def ended(self) -> None:
        """Wait for its end, however long it takes."""
        if self._fd is None:
            while not self.has_ended:  # noqa: ASYNC110  (there is nothing to be told by)
                await asyncio.sleep(_POLL_SECONDS)
            return
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        # one descriptor for each who waits: a loop has room for one reader of each
        fd = os.dup(self._fd)
        loop.add_reader(fd, done.set)
        try:
            await done.wait()
        finally:
            loop.remove_reader(fd)
            os.close(fd)
        if self._child is not None:
            self._child.wait()

    async def ended_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended()
        return self.has_ended


def spawn(argv: Sequence[str], account: Account, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start a program as the account, in a session of its own, which Ctrl-C in the terminal does not reach.

    Raises ResourceUnavailable when it cannot be started.
    """
    options: dict[str, Any] = account.spawning
    try:
        return subprocess.Popen(
            argv,
            cwd="/",
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **options,
        )
    except OSError as error:
        raise ResourceUnavailable(f"{argv[0]} cannot be started as {account.name}: {error.strerror}") from error


async def run(argv: Sequence[str], account: Account, *, seconds: float) -> None:
    """Run a program to its end.

    Raises ResourceUnavailable when it takes longer than `seconds` or fails, quoting its own complaint.
    """
    program = Path(argv[0]).name
    # in memory: the complaint may be that the disk is full
    with open(os.memfd_create(program), "w+b") as output:  # noqa: ASYNC230, PTH123  (a memory file never blocks)
        child = spawn(argv, account, output)
        process = Process(child.pid, child)
        try:
            ended = await process.ended_within(seconds)
        finally:
            process.signal(signal.SIGTERM)
            if not await process.ended_within(_CLEANING_SECONDS):
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if ended and child.returncode == 0:
            return
        output.seek(0)
        complaint = logfile.complaint(output.read().decode(errors="replace"))
        raise ResourceUnavailable(f"{program} failed: {complaint}" if ended else f"{program} took over {seconds:.0f} s")


@dataclass(frozen=True, slots=True)
class Sight:
    """A live process as /proc shows it."""

    pid: int
    uid: int
    argv: tuple[str, ...]


def look(pid: int) -> Sight | None:
    """The process with this number, unless there is none or it is only waiting to be buried (a zombie)."""
    directory = Path("/proc", str(pid))
    try:
        state = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        argv = (directory / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        uid = directory.stat().st_uid
    except OSError:
        return None
    return None if state in "ZX" else Sight(pid, uid, tuple(map(os.fsdecode, argv)))


def belonging_to(uid: int) -> Iterator[Sight]:
    """Every live process of a user."""
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with suppress(OSError):
                if entry.stat().st_uid == uid and (sight := look(int(entry.name))):
                    yield sight
