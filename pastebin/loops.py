"""Background loops: named, supervised, and never gone unnoticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

log = logging.getLogger(__name__)


class LoopDied(Exception):
    """A background loop ended although nobody asked it to."""


class Loops:
    """Starts loops in one TaskGroup: the death of any of them ends the group, and with it the node."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks

    @asynccontextmanager
    async def running(self, work: Coroutine[Any, Any, None], *, name: str) -> AsyncIterator[None]:
        """Run `work` while the block lasts; leaving it cancels the loop and waits until it has ended."""
        task = self._tasks.create_task(self._watched(work, name), name=name)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _watched(self, work: Coroutine[Any, Any, None], name: str) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("background loop %s died", name)
            raise
        raise LoopDied(f"background loop {name} ended by itself")
