"""Rendering workers: processes that are started on demand, bounded in time and memory, and killed without regret."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from pastebin.config import load_environment
from pastebin.sections import RenderingSection
from pastebin.services import jobs
from pastebin.services.jobs import Answer, Job, What

logger = logging.getLogger(__name__)

START_SECONDS = 20.0  # a bound for a machine in trouble; it takes a tenth of a second
END_SECONDS = 5.0
ANSWER_BYTES = 80 * 1024**2  # the HTML_CHARACTERS of jobs, each in up to 4 bytes, and then some
# What an interpreter may need. Nothing else of the node's environment, which may hold secrets.
_ENVIRONMENT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")


class NoWorker(Exception):
    """No worker was free in time, or none could be started; it says nothing about the job."""


class WorkerLost(Exception):
    """The worker ended, or spoke nonsense, while it had the job."""


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup that raises its body's own error as it is, not as a group of one: callers know it by its class."""
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as tasks:
        try:
            yield tasks
        except BaseException as error:  # raised again below, when every task has ended
            failure = error
    if failure is not None:
        raise failure


class Worker:
    """One process and the pipes to it. It is of no more use once `ask` has raised anything."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101  (for the type checker: they are pipes)
        assert process.stdout is not None  # noqa: S101  (for the type checker: it is a pipe)
        self._process = process
        self._requests = process.stdin
        self._answers = process.stdout
        self.pid = process.pid

    @classmethod
    async def start(cls, memory_mb: int) -> Worker:
        """Start a process and wait until it is ready. Raises NoWorker."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "pastebin.services.renderer", str(memory_mb)),
                stdin=PIPE,
                stdout=PIPE,
                env=environment(),
                start_new_session=True,  # Ctrl+C at the terminal is for the node
                limit=1024**2,
            )
        except OSError as error:
            raise NoWorker(f"no process can be started: {error.strerror}") from error
        worker = cls(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                await worker._read()
        except BaseException as error:
            await worker.end()
            if isinstance(error, WorkerLost | TimeoutError):
                raise NoWorker("a new worker does not become ready") from error
            raise
        return worker

    async def ask(self, job: Job, timeout_seconds: float) -> Answer:
        """Have the job done. Raises TimeoutError or WorkerLost."""
        try:
            async with asyncio.timeout(timeout_seconds):
                self._requests.write(jobs.frame(job))
                await self._requests.drain()
                return msgspec.msgpack.decode(await self._read(), type=Answer)
        except (ConnectionError, msgspec.DecodeError) as error:
            raise WorkerLost("the worker went away") from error

    async def end(self) -> None:
        """Kill the process and take leave of it."""
        with suppress(ProcessLookupError):
            self._process.kill()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.communicate()
        except TimeoutError:
            logger.warning("a killed rendering worker does not end", extra={"pid": self.pid})

    async def _read(self) -> bytes:
        try:
            (length,) = jobs.LENGTH.unpack(await self._answers.readexactly(jobs.LENGTH.size))
            if length > ANSWER_BYTES:
                raise WorkerLost("the answer is too long")
            return await self._answers.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise WorkerLost("the worker has ended") from error


class Seat:
    """A place for one worker, which is started when there is a job for it and replaced when it fails."""

    def __init__(self, section: RenderingSection) -> None:
        self._section = section
        self._starting = asyncio.Lock()
        self.worker: Worker | None = None
        self.free_since = 0.0

    async def ask(self, job: Job) -> Answer:
        """Ask the worker that sits here; a new one if that fails for what may be the fault of jobs before.

        Whatever is raised (NoWorker, WorkerLost, TimeoutError, a cancellation), the seat is empty afterwards.
        """
        async with self._starting:
            return await self._ask(job)

    async def warm(self) -> None:
        """Have a worker here before there is a job; one that comes meanwhile waits for it. Raises NoWorker."""
        async with self._starting:
            if self.worker is None:
                self.worker = await Worker.start(self._section.memory_mb)
                self.free_since = asyncio.get_running_loop().time()

    async def _ask(self, job: Job) -> Answer:
        try:
            if self.worker is not None:
                with suppress(WorkerLost):
                    answer = await self.worker.ask(job, self._section.timeout_seconds)
                    if answer.trouble != "memory":
                        return answer
                await self.clear()
            self.worker = await Worker.start(self._section.memory_mb)
            answer = await self.worker.ask(job, self._section.timeout_seconds)
        except BaseException:
            await self.clear()
            raise
        if answer.trouble == "memory":
            await self.clear()
        return answer

    async def clear(self) -> None:
        """End the worker; the seat can be used again from the first moment on."""
        worker, self.worker = self.worker, None
        if worker is not None:
            await worker.end()


class Workers:
    """`section.workers` seats and a bounded queue before them."""

    def __init__(self, section: RenderingSection) -> None:
        self._section = section
        self._seats = [Seat(section) for _ in range(section.workers)]
        self._free = list(self._seats)
        self._free_count = asyncio.Semaphore(section.workers)
        self._queued = 0

    @classmethod
    @asynccontextmanager
    async def running(cls, section: RenderingSection) -> AsyncIterator[Workers]:
        """Workers that are started when needed; those that are idle, and at the end all, are ended."""
        workers = cls(section)
        try:
            async with task_group() as tasks:
                reaper = tasks.create_task(workers._reap(), name="rendering-reaper")
                try:
                    yield workers
                finally:
                    reaper.cancel()
        finally:
            for seat in workers._seats:
                await seat.clear()

    @property
    def pids(self) -> list[int]:
        """The processes that live at the moment."""
        return [seat.worker.pid for seat in self._seats if seat.worker is not None]

    async def ask(self, content: bytes, syntax: str | None, what: What = "source") -> Answer:
        """Have a file highlighted or drawn; waits for a seat no longer than a worker may take for the file.

        Raises NoWorker, WorkerLost, or TimeoutError when the worker took too long. A cancelled caller costs a worker,
        because an answer without a reader would be taken for that of the next job.
        """
        seat = await self._acquire()
        try:
            return await seat.ask(Job(content, syntax, self._section.timeout_seconds + 1, what))
        finally:
            seat.free_since = asyncio.get_running_loop().time()
            self._free.append(seat)
            self._free_count.release()

    async def warm(self) -> None:
        """Have a worker that the next job finds; more than one only the jobs themselves are worth. Raises NoWorker."""
        if self._free and not self.pids:
            await self._free[-1].warm()

    async def _acquire(self) -> Seat:
        """The free seat that was used last, so that the others can be reaped."""
        if self._queued >= self._section.queue_size:
            raise NoWorker("the queue is full")
        self._queued += 1
        try:
            async with asyncio.timeout(self._section.timeout_seconds):
                await self._free_count.acquire()
        except TimeoutError:
            raise NoWorker("no worker became free in time") from None
        finally:
            self._queued -= 1
        return self._free.pop()

    async def _reap(self) -> None:
        idle_seconds = self._section.idle_seconds
        while True:
            await asyncio.sleep(idle_seconds / 4)
            now = asyncio.get_running_loop().time()
            for seat in list(self._free):
                if now - seat.free_since >= idle_seconds and seat in self._free:
                    await seat.clear()


def environment() -> dict[str, str]:
    """A worker finds modules where the node finds them, installed or not, and knows little else."""
    known = {name: value for name in _ENVIRONMENT if (value := load_environment(name))}
    return known | {"PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)}
