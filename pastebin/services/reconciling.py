"""Comparing the blobs that are stored with those that the database knows, both ways."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from pastebin.metrics import Metrics
from pastebin.store.blobs import BlobEntry, Blobs
from pastebin.store.leftovers import Known, Leftovers

log = logging.getLogger(__name__)

_PAGE = 1000
# So many strangers and not one acquaintance: this is the database of another installation, or an empty one.
_SUSPICIOUS = 100


class Pace:
    """Lets so many things happen in a second, evenly."""

    def __init__(self, per_second: float) -> None:
        self._gap_seconds = 1 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Return when one more may happen."""
        now = time.monotonic()
        self._next = max(self._next + self._gap_seconds, now)
        # what is due within a moment need not be slept for
        if self._next - now > 0.01:
            await asyncio.sleep(self._next - now)


@dataclass(slots=True)
class Findings:
    """What a comparison found: blobs that no row knows (removed, unless it was a dry run), rows without their blob."""

    unknown: list[BlobEntry] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    compared: int = 0
    matched: int = 0
    abandoned: int = 0


async def differences(
    entries: AsyncIterator[BlobEntry], known: AsyncIterator[Known]
) -> AsyncIterator[tuple[BlobEntry | None, Known | None]]:
    """Both sides of everything that is on either, where both come in the order of their keys.

    The sides are read at different moments, so a difference is only a candidate until somebody has looked again.
    """
    entry = await anext(entries, None)
    row = await anext(known, None)
    while entry is not None or row is not None:
        if row is None or (entry is not None and entry.key < row.key):
            yield entry, None
            entry = await anext(entries, None)
        elif entry is None or row.key < entry.key:
            yield None, row
            row = await anext(known, None)
        else:
            yield entry, row
            entry = await anext(entries, None)
            row = await anext(known, None)


class Reconciling:
    """Finds what a crash between store and database has left.

    Both are listed in order, page by page; only what differs costs a question of its own.
    """

    def __init__(
        self,
        leftovers: Leftovers,
        blobs: Blobs,
        pace: Pace,
        *,
        grace_seconds: float,
        abandoned_seconds: float,
        metrics: Metrics,
    ) -> None:
        self._leftovers = leftovers
        self._blobs = blobs
        self._pace = pace
        self._grace_seconds = grace_seconds
        self._abandoned_seconds = abandoned_seconds
        self._metrics = metrics

    async def reconcile(self, *, dry_run: bool = False) -> Findings:
        """Compare everything once; remove objects that no row knows after the grace period.

        A row without its object means lost content: it is counted and logged, never hidden. The lists of the findings
        are bounded by what is wrong, not by what is stored.
        """
        found = Findings()
        if not dry_run:
            found.abandoned = await self._blobs.remove_abandoned(self._abandoned_seconds)
        oldest = time.time() - self._grace_seconds
        unknown: list[BlobEntry] = []
        missing: list[str] = []
        async for entry, row in differences(self._blobs.entries(), self._known()):
            found.compared += 1
            found.matched += entry is not None and row is not None
            if row is None and entry is not None and entry.modified_at.timestamp() < oldest:
                unknown.append(entry)
            elif entry is None and row is not None and row.is_live:
                missing.append(row.key)
            if len(unknown) >= _PAGE:
                found.unknown += await self._remove_unknown(unknown, found, dry_run=dry_run)
                unknown = []
            if len(missing) >= _PAGE:
                found.missing += await self._look_for(missing)
                missing = []
        found.unknown += await self._remove_unknown(unknown, found, dry_run=dry_run)
        found.missing += await self._look_for(missing)
        self._metrics.missing_blobs.set(len(found.missing))
        return found

    async def _known(self) -> AsyncIterator[Known]:
        after = ""
        while page := await self._leftovers.known(after, _PAGE):
            after = page[-1].key
            for row in page:
                yield row

    async def _remove_unknown(self, candidates: list[BlobEntry], found: Findings, *, dry_run: bool) -> list[BlobEntry]:
        if not found.matched and len(candidates) >= _SUSPICIOUS:
            log.error("the database knows none of %d blobs: not removing them; is it the right one?", len(candidates))
            return []
        keys = set(await self._leftovers.unknown([entry.key for entry in candidates]))
        unknown = [entry for entry in candidates if entry.key in keys]
        for entry in unknown if not dry_run else ():
            await self._pace.turn()
            log.warning("removing blob %s of %d bytes: no row knows it", entry.key, entry.size)
            await self._blobs.remove(entry.key)
            self._metrics.swept.labels("unknown-blob").inc()
        return unknown

    async def _look_for(self, candidates: list[str]) -> list[str]:
        absent = [key for key in candidates if not await self._blobs.exists(key)]
        lost = await self._leftovers.still_live(absent)
        for key in lost:
            log.error("blob %s is missing although a paste points to it", key)
        return lost
