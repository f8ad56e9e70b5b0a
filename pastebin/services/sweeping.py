"""Removing what has expired, ended or was never finished, and saying how much of it there is."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

import asyncpg

from pastebin.errors import PastebinError
from pastebin.metrics import Metrics
from pastebin.sections import BlobsSection, SweepingSection
from pastebin.services.reconciling import Findings, Pace, Reconciling
from pastebin.store.blobs import Blobs
from pastebin.store.leftovers import Leftovers
from pastebin.store.partitions import Partitions

log = logging.getLogger(__name__)

# Orphans are this node's for a while only: what takes longer is left to the next round.
_REMOVING_SECONDS = 30.0


class Sweeping:
    """One round after another; several nodes may sweep at once, they skip each other's rows."""

    def __init__(
        self,
        leftovers: Leftovers,
        blobs: Blobs,
        section: SweepingSection,
        blobs_section: BlobsSection,
        metrics: Metrics,
        partitions: Partitions | None = None,
    ) -> None:
        self._partitions = partitions
        self._leftovers = leftovers
        self._blobs = blobs
        self._section = section
        self._grace_seconds = blobs_section.grace_seconds
        self._metrics = metrics
        self._pace = Pace(section.max_removals_per_second)
        self._reconciling = Reconciling(
            leftovers,
            blobs,
            self._pace,
            grace_seconds=self._grace_seconds,
            abandoned_seconds=section.abandoned_seconds,
            metrics=metrics,
        )

    async def run(self) -> None:
        """Sweep and reconcile for ever, apart from each other: a large store must not delay what has expired."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat("sweeping", self.sweep, self._section.interval_seconds), name="sweep")
            tasks.create_task(self._reconcile_for_ever(), name="reconcile")
            if self._partitions is not None:  # workers of the purge queue do the same, but there may be none
                keeping = self._repeat("keeping room", self._partitions.keep, self._section.interval_seconds)
                tasks.create_task(keeping, name="partitions")

    async def _reconcile_for_ever(self) -> None:
        # what a node that was killed has left is older than its restart, but for the last hour
        await self._once("removing what was abandoned", self._remove_abandoned)
        # so that nodes started together do not list the store together
        await asyncio.sleep(self._section.reconcile_seconds * (0.5 + random.random() / 2))  # noqa: S311  (jitter, not a secret)
        await self._repeat("reconciling", self._reconcile, self._section.reconcile_seconds)

    async def _repeat(self, name: str, work: Callable[[], Awaitable[None]], pause_seconds: float) -> None:
        while True:
            await self._once(name, work)
            await asyncio.sleep(pause_seconds)

    async def _once(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """What fails now (database away, disk trouble) is logged and tried again in the next round.

        So is what the database says and nobody has foreseen: content must not stay because of it, nor the node end.
        """
        try:
            await work()
            self._metrics.background_success.labels(name).set_to_current_time()
        except PastebinError as error:
            log.warning("%s stopped early: %s", name, error)
        except asyncpg.PostgresError:
            log.exception("%s stopped early", name)

    async def _remove_abandoned(self) -> None:
        await self._blobs.remove_abandoned(self._section.abandoned_seconds)

    async def _reconcile(self) -> None:
        await self.reconcile()

    async def sweep(self) -> None:
        """Everything that is due, in batches; blobs for one interval at most, so that the rest has its turn again."""
        batch = self._section.batch_size
        rounds: tuple[tuple[str, Callable[[], Awaitable[int]]], ...] = (
            ("expired", lambda: self._leftovers.expire(batch)),
            ("revision", lambda: self._leftovers.strip(batch)),
            ("tombstone", lambda: self._leftovers.bury(self._section.tombstone_seconds, batch)),
            ("idempotency-key", lambda: self._leftovers.forget_idempotency(batch)),
        )
        for kind, step in rounds:
            while count := await step():
                self._metrics.swept.labels(kind).inc(count)
        ends = time.monotonic() + self._section.interval_seconds
        failure = None
        while time.monotonic() < ends:
            count, failure = await self._remove_blobs(batch)
            if not count:
                break
            self._metrics.swept.labels("blob").inc(count)
        await self.measure()
        if failure is not None:
            raise failure

    async def measure(self) -> None:
        figures = await self._leftovers.figures()
        self._metrics.expired_but_present.set(figures.present)
        self._metrics.expired_oldest_age.set(figures.oldest_seconds)
        self._metrics.orphan_blobs.set(figures.orphans)

    async def _remove_blobs(self, limit: int) -> tuple[int, PastebinError | None]:
        """How many were removed, and why not all that were tried: one that resists does not keep the others."""
        removed: list[str] = []
        failure: PastebinError | None = None
        pending = self._section.abandoned_seconds
        async with self._leftovers.orphans(self._grace_seconds, limit, pending_seconds=pending) as keys:
            ends = time.monotonic() + _REMOVING_SECONDS
            for key in keys:
                if time.monotonic() >= ends:
                    break
                await self._pace.turn()
                try:
                    await self._blobs.remove(key)
                    removed.append(key)
                except PastebinError as error:
                    log.warning("blob %s cannot be removed now: %s", key, error)
                    failure = error
            keys[:] = removed
        return len(removed), failure

    async def due(self) -> list[str]:
        """Some of the blobs that a round would remove now because nothing refers to them any more."""
        batch, pending = self._section.batch_size, self._section.abandoned_seconds
        return await self._leftovers.due(self._grace_seconds, batch, pending_seconds=pending)

    async def reconcile(self, *, dry_run: bool = False) -> Findings:
        """Compare the store with the rows both ways; see `Reconciling`."""
        batch = self._section.batch_size
        while not dry_run and (await self._leftovers.disown(batch) or await self._leftovers.revive(batch)):
            pass
        return await self._reconciling.reconcile(dry_run=dry_run)
