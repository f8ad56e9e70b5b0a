"""Removing what has expired, ended or was never finished, and saying how much of it there is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from pastebin.errors import PastebinError
from pastebin.metrics import Metrics
from pastebin.sections import BlobsSection, SweepingSection
from pastebin.store.blobs import Blobs
from pastebin.store.leftovers import Leftovers

log = logging.getLogger(__name__)

_LISTING = 500


class Sweeping:
    """One round after another; several nodes may sweep at once, they skip each other's rows."""

    def __init__(
        self,
        leftovers: Leftovers,
        blobs: Blobs,
        section: SweepingSection,
        blobs_section: BlobsSection,
        metrics: Metrics,
    ) -> None:
        self._leftovers = leftovers
        self._blobs = blobs
        self._section = section
        self._grace_seconds = blobs_section.grace_seconds
        self._metrics = metrics

    async def run(self) -> None:
        """Sweep for ever. What fails now (database away, disk trouble) is logged and tried again in the next round."""
        reconciled = time.monotonic()
        while True:
            try:
                await self.sweep()
                if time.monotonic() - reconciled >= self._section.reconcile_seconds:
                    await self.reconcile()
                    reconciled = time.monotonic()
                self._metrics.background_success.labels("sweeping").set_to_current_time()
            except PastebinError as error:
                log.warning("sweeping stopped early: %s", error)
            await asyncio.sleep(self._section.interval_seconds)

    async def sweep(self) -> None:
        """Everything that is due, in batches."""
        batch = self._section.batch_size
        rounds: tuple[tuple[str, Callable[[], Awaitable[int]]], ...] = (
            ("expired", lambda: self._leftovers.expire(batch)),
            ("revision", lambda: self._leftovers.strip(batch)),
            ("blob", lambda: self._remove_blobs(batch)),
            ("tombstone", lambda: self._leftovers.bury(self._section.tombstone_seconds, batch)),
            ("idempotency-key", lambda: self._leftovers.forget_idempotency(batch)),
        )
        for kind, step in rounds:
            while count := await step():
                self._metrics.swept.labels(kind).inc(count)
        await self.measure()

    async def measure(self) -> None:
        figures = await self._leftovers.figures()
        self._metrics.expired_but_present.set(figures.present)
        self._metrics.expired_oldest_age.set(figures.oldest_seconds)
        self._metrics.orphan_blobs.set(figures.orphans)

    async def _remove_blobs(self, limit: int) -> int:
        async with self._leftovers.orphans(self._grace_seconds, limit) as keys:
            for key in keys:
                await self._blobs.remove(key)
        return len(keys)

    async def reconcile(self) -> None:
        """Compare the store with the rows both ways.

        An object that no row knows is removed after the grace period. A row without its object means lost content:
        it is counted and logged, never hidden.
        """
        while await self._leftovers.disown(self._section.batch_size):
            pass
        await self._blobs.remove_abandoned(self._grace_seconds)
        page: list[str] = []
        now = time.time()
        async for entry in self._blobs.entries():
            if now - entry.modified_at.timestamp() > self._grace_seconds:
                page.append(entry.key)
            if len(page) >= _LISTING:
                await self._remove_unknown(page)
                page = []
        await self._remove_unknown(page)
        await self._count_missing()

    async def _remove_unknown(self, keys: list[str]) -> None:
        for key in await self._leftovers.unknown(keys):
            log.warning("removing blob %s: no row knows it", key)
            await self._blobs.remove(key)
            self._metrics.swept.labels("unknown-blob").inc()

    async def _count_missing(self) -> None:
        missing = 0
        after = ""
        while keys := await self._leftovers.live_keys(after, _LISTING):
            after = keys[-1]
            for key in keys:
                if not await self._blobs.exists(key):
                    log.error("blob %s is missing although a paste points to it", key)
                    missing += 1
        self._metrics.missing_blobs.set(missing)
