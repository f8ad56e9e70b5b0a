from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from pastebin.sections import RenderingSection
from pastebin.services.workers import NoWorker, Workers, task_group

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through pidfd and /proc")

BOMB = b"\t\n" * 100_000


@asynccontextmanager
async def hired(**options: float) -> AsyncIterator[Workers]:
    section = RenderingSection(**{"workers": 1, "timeout_seconds": 30.0, **options})  # type: ignore[arg-type]
    async with Workers.running(section) as workers:
        yield workers


async def ended(pid: int) -> None:
    """Wait until a process is gone, whoever its parent is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(handle, gone.set)
    try:
        async with asyncio.timeout(60):
            await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def test_workers_are_started_when_needed_and_used_again() -> None:
    async with hired(workers=3) as workers:
        assert workers.pids == []
        await workers.ask(b"x = 1\n", "python")
        (pid,) = workers.pids
        await workers.ask(b"x = 2\n", "python")
        assert workers.pids == [pid], "the one that is there goes before one to be started"
        await asyncio.gather(*(workers.ask(b"x = 3\n", "python") for _ in range(9)))
        assert pid in workers.pids
        assert len(workers.pids) <= 3
        pids = workers.pids
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


async def test_idle_workers_are_ended() -> None:
    async with hired(idle_seconds=0.1) as workers:
        await workers.ask(b"x = 1\n", "python")
        (pid,) = workers.pids
        await ended(pid)
        assert workers.pids == []
        assert (await workers.ask(b"x = 2\n", "python")).html == 'x = <span class="m">2</span>'


async def test_a_caller_who_leaves_in_the_middle_takes_the_worker_along() -> None:
    async with hired() as workers:
        await workers.ask(b"x = 1\n", "python")
        (pid,) = workers.pids
        async with asyncio.TaskGroup() as tasks:
            job = tasks.create_task(workers.ask(BOMB, "gherkin"))
            await asyncio.sleep(0)
            job.cancel()
        assert not psutil.pid_exists(pid)
        assert (await workers.ask(b"x = 2\n", "python")).html == 'x = <span class="m">2</span>'


async def test_who_leaves_the_queue_makes_room_in_it() -> None:
    async with hired(queue_size=1) as workers:
        async with asyncio.TaskGroup() as tasks:
            busy = tasks.create_task(workers.ask(BOMB, "gherkin"))
            waiting = tasks.create_task(workers.ask(b"x = 1\n", "python"))
            await asyncio.sleep(0)
            with pytest.raises(NoWorker):
                await workers.ask(b"x = 2\n", "python")
            waiting.cancel()
            await asyncio.sleep(0)
            next_one = tasks.create_task(workers.ask(b"x = 3\n", "python"))
            await asyncio.sleep(0)
            busy.cancel()
        assert next_one.result().html == 'x = <span class="m">3</span>'


async def test_a_worker_has_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "geheim")
    async with hired(memory_mb=300) as workers:
        await workers.ask(b"x = 1\n", "python")
        process = psutil.Process(workers.pids[0])
        assert "geheim" not in Path(f"/proc/{process.pid}/environ").read_text()
        assert process.rlimit(psutil.RLIMIT_AS) == (300 * 1024**2, 300 * 1024**2)
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        assert process.rlimit(psutil.RLIMIT_NOFILE)[1] <= 64
        assert process.rlimit(psutil.RLIMIT_CPU)[0] <= 33
        assert process.nice() > psutil.Process().nice() or process.nice() == 19


async def test_a_stopped_worker_is_killed_in_time() -> None:
    async with hired(timeout_seconds=3.0) as workers:
        await workers.ask(b"x = 1\n", "python")
        (pid,) = workers.pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await workers.ask(b"x = 2\n", "python")
        assert not psutil.pid_exists(pid)


async def test_the_group_lets_errors_through_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError):
        async with task_group():
            raise ZeroDivisionError

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        async with task_group() as tasks:
            tasks.create_task(fail())
            await asyncio.Event().wait()


NODE = """
import asyncio, sys
from pastebin.sections import RenderingSection
from pastebin.services.workers import Workers

async def main():
    async with Workers.running(RenderingSection(timeout_seconds=600)) as workers:
        await workers.ask(b"x = 1\\n", "python")
        print(*workers.pids, flush=True)
        if sys.argv[1] == "busy":
            await workers.ask(b"\\t\\n" * 100_000, "gherkin")
        await asyncio.Event().wait()

if sys.argv[2] == "uvloop":
    import uvloop
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="uses pidfd")
@pytest.mark.parametrize(("state", "loop"), [("busy", "uvloop"), ("idle", "asyncio")])
async def test_workers_end_with_a_killed_node(state: str, loop: str) -> None:
    node = subprocess.Popen([sys.executable, "-c", NODE, state, loop], stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        readable, _, _ = await asyncio.to_thread(select.select, [node.stdout], [], [], 120)
        assert readable
        worker = int(node.stdout.readline())
        os.kill(worker, 0)
    finally:
        node.kill()
        node.wait(timeout=20)
        node.stdout.close()  # type: ignore[union-attr]
    await ended(worker)


async def test_a_worker_that_is_expected_is_there_before_its_job() -> None:
    async with hired(workers=2) as workers:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(workers.warm())
            await asyncio.sleep(0)
            job = tasks.create_task(workers.ask(b"x = 1\n", "python"))
        assert job.result().html == 'x = <span class="m">1</span>'
        (pid,) = workers.pids
        await workers.warm()
        assert workers.pids == [pid], "who comes meanwhile waits for it, and one is enough"
