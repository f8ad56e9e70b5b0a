"""Purging again: what was fetched before a change may be stored after its purge; a later purge finds it.

Caches skip what they are just fetching; where one lies behind another the outer may refill from the inner before that
is purged (Fastly advises to purge again after 2 seconds, everything after 30: "Purging with shielding"); and the
origin may refill from a replica that has not seen the change yet, where a cache cannot ask for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from pastebin.cdn.targets import Batch, Equipment, Limits, Target, TargetBusy, TargetError, TargetRefused
from pastebin.loops import Loops

log = logging.getLogger(__name__)

KEYS_SECONDS = 2.0
FLUSH_SECONDS = 30.0

_REMEMBERED = 4096
_ATTEMPTS = 5
_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 60.0


def when_replicas_know(equipment: Equipment) -> float:
    """How long after a change every fetch that could have missed it is over, in seconds."""
    return equipment.lag_seconds + KEYS_SECONDS


class Repeated:
    """A target that sends what it has purged again, `keys_seconds` later and everything `flush_seconds` later.

    Nobody waits for that, and what is still to be repeated when the node ends is left out. A repetition is a batch of
    its own: its `epoch` says so.
    """

    def __init__(self, target: Target, keys_seconds: Sequence[float], flush_seconds: Sequence[float]) -> None:
        self._target = target
        self._lanes = {
            False: [_Lane(target, seconds) for seconds in keys_seconds],
            True: [_Lane(target, seconds) for seconds in flush_seconds],
        }

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, target: Target, loops: Loops, *, keys_seconds: Sequence[float], flush_seconds: Sequence[float]
    ) -> AsyncIterator[Repeated]:
        repeated = cls(target, keys_seconds, flush_seconds)
        async with AsyncExitStack() as stack:
            for lane in (*repeated._lanes[False], *repeated._lanes[True]):
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
        self._check_room(is_flush=batch.flush)
        try:
            await self._target.purge(batch)
        except TargetRefused:
            self._remember(batch)  # of which the others were taken
            raise
        self._remember(batch)

    async def purge_urls(self, urls: Sequence[str]) -> None:
        self._check_room(is_flush=False)
        await self._target.purge_urls(urls)
        self._remember(Batch(epoch="", previous=0, sequence=0, urls=tuple(urls)))

    async def push(self, urls: Sequence[str]) -> None:
        await self._target.push(urls)

    async def check(self) -> str | None:
        return await self._target.check()

    def _check_room(self, *, is_flush: bool) -> None:
        for lane in self._lanes[is_flush]:
            lane.check_room()

    def _remember(self, batch: Batch) -> None:
        for lane in self._lanes[batch.flush]:
            lane.add(batch)


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
            again = replace(batch, epoch=f"{batch.epoch} after {self._seconds:g} s")
            self._waiting.put_nowait((asyncio.get_running_loop().time() + self._seconds, again))

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
                log.info("cdn: a purge could not be repeated yet: %s: %s", self._target.name, error)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                return
            await asyncio.sleep(pause)
        log.warning("cdn: a purge was not repeated: %s", self._target.name, extra={"sequence": batch.sequence})
