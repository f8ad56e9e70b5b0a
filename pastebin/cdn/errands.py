"""Work of the edge that nobody waits for: revalidation behind a stale answer, the rest of a body."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from pastebin.deadlines import DUE

log = logging.getLogger(__name__)


class Errands:
    """Runs so many at once, `most`, and cancels what is left at the end. A failure is logged and ends nothing else."""

    def __init__(self, tasks: asyncio.TaskGroup, most: int) -> None:
        self._tasks = tasks
        self._most = most
        self._running: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def running(cls, most: int) -> AsyncIterator[Errands]:
        async with asyncio.TaskGroup() as tasks:
            errands = cls(tasks, most)
            try:
                yield errands
            finally:
                for task in list(errands._running):
                    task.cancel()

    @property
    def has_room(self) -> bool:
        """Whether one more would be run."""
        return len(self._running) < self._most

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run it; who calls has made sure that there is room."""
        task = self._tasks.create_task(self._guarded(work, name), name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        DUE.set(None)  # whoever gave the errand does not wait for it
        try:
            await work()
        except Exception:  # one of many answers; the edge goes on with the others
            log.exception("unforeseen error in %s", name)
