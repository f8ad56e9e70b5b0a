"""Purging twice: what was fetched before a change may be stored after its purge; the second purge finds it.

Caches skip what they are just fetching, and where one cache lies behind another the outer may refill from the inner
before that is purged. Fastly advises to purge again after 2 seconds, everything after 30 ("Purging with shielding").
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from pastebin.cdn.targets import Batch, Limits, Target, TargetBusy, TargetError, TargetRefused
from pastebin.loops import Loops

log = logging.getLogger(__name__)

KEYS_SECONDS = 2.0
FLUSH_SECONDS = 30.0

_REMEMBERED = 4096
_ATTEMPTS = 5
_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0


class Repeated:
    """A target that sends what it has purged once more; nobody waits for that.

    What is still to be repeated when the node ends is left out.
    """

    def __init__(self, target: Target, keys_seconds: float, flush_seconds: float) -> None:
        self._target = target
        self._lanes = {False: _Lane(target, keys_seconds), True: _Lane(target, flush_seconds)}

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, target: Target, loops: Loops, *, keys_seconds: float = KEYS_SECONDS, flush_seconds: float = FLUSH_SECONDS
    ) -> AsyncIterator[Repeated]:
        repeated = cls(target, keys_seconds, flush_seconds)
        async with AsyncExitStack() as stack:
            for lane in repeated._lanes.values():
                await stack.enter_async_context(loops.running(lane.repeat(), name=f"cdn-repeats-{target.name}"))
            yield repeated

    @property
    def name(self) -> str:
        return self._target.name

    @property
    def limits(self) -> Limits:
        return self._target.limits

    async def purge(self, batch: Batch) -> None:
        if batch.is_heartbeat:
            return
        lane = self._lanes[batch.flush]
        lane.check_room()
        try:
            await self._target.purge(batch)
        except TargetRefused:
            lane.add(batch)  # of which the others were taken
            raise
        lane.add(batch)

    async def purge_urls(self, urls: Sequence[str]) -> None:
        lane = self._lanes[False]
        lane.check_room()
        await self._target.purge_urls(urls)
        lane.add(Batch(epoch="", previous=0, sequence=0, urls=tuple(urls)))

    async def push(self, urls: Sequence[str]) -> None:
        await self._target.push(urls)

    async def check(self) -> str | None:
        return await self._target.check()


class _Lane:
    """Batches that are repeated after the same time, so the first in is the first due."""

    def __init__(self, target: Target, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._waiting: asyncio.Queue[tuple[float, Batch]] = asyncio.Queue(_REMEMBERED)

    def check_room(self) -> None:
        if self._waiting.full():
            raise TargetBusy(f"{self._target.name}: too much is to be repeated", retry_after_seconds=self._seconds)

    def add(self, batch: Batch) -> None:
        """Several may have seen the same last place; the later of them does without."""
        if not self._waiting.full():
            self._waiting.put_nowait((asyncio.get_running_loop().time() + self._seconds, batch))

    async def repeat(self) -> None:
        while True:
            due, batch = await self._waiting.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._again(batch)

    async def _again(self, batch: Batch) -> None:
        pause = _PAUSE_SECONDS
        for _ in range(_ATTEMPTS):
            try:
                await self._target.purge(batch)
            except TargetRefused:
                return
            except TargetBusy as busy:
                pause = min(max(busy.retry_after_seconds, _PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
            except TargetError as error:
                log.info("cdn: a purge could not be repeated yet: %s", error)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                return
            await asyncio.sleep(pause)
        log.warning("cdn: a purge was not repeated: %s", self._target.name, extra={"sequence": batch.sequence})
