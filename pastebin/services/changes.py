"""Changes of pastes on their way from the primary to analytics: one node tells them, in the order of the feed."""

from __future__ import annotations

import asyncio
import gzip
import logging
import secrets

import asyncpg
import msgspec

from pastebin.backoff import Backoff
from pastebin.errors import PastebinError, Unavailable
from pastebin.metrics import Metrics
from pastebin.sections import VisitsSection
from pastebin.services.shipping import FIRST_PAUSE_SECONDS, judged
from pastebin.services.statistics import Statistics
from pastebin.store.changes import ChangeCursor, Stretch
from pastebin.store.database import Database
from pastebin.store.feed import Feed
from pastebin.visits import Batch, Change

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_LEASE_SECONDS = 30.0
_RELEASE_SECONDS = 1.0


class Telling:
    """Tells analytics of changes, while no other node does. Whatever analytics does, it is met with patience."""

    def __init__(self, database: Database, statistics: Statistics, section: VisitsSection, metrics: Metrics) -> None:
        self._feed = Feed(database)
        lease = max(_LEASE_SECONDS, 3 * section.request_timeout_seconds)
        self._cursor = ChangeCursor(database, secrets.token_hex(8), lease_seconds=lease, limit=section.batch_events)
        self._statistics = statistics
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, min(section.retry_max_seconds, lease / 3))
        self._changes = metrics.changes_told
        self._lost = metrics.changes_lost

    async def run(self) -> None:
        """Never ends by itself."""
        failures = 0
        try:
            while True:
                try:
                    seconds = 0.0 if await self.tell() else _POLL_SECONDS
                    failures = 0
                except (PastebinError, asyncpg.PostgresError) as error:
                    failures += 1
                    if failures == 1:
                        log.warning("analytics is not told of changes now: %s", error)
                    seconds = self._backoff.pause_seconds(failures)
                await asyncio.sleep(seconds)
        finally:
            await self._release()

    async def tell(self) -> bool:
        """Tell what is next; False where there is nothing to tell.

        Raises Unavailable if analytics did not take it, and as `Database.primary` does.
        """
        await self._feed.advance()
        stretch = await self._cursor.plan()
        if stretch is None:
            return False
        self._lost.set(stretch.lost)
        changes = await self._cursor.read(stretch)
        outcome = await self._send(stretch, changes) if changes else "taken"
        self._changes.labels(outcome).inc(len(changes))
        if outcome == "refused":
            log.warning("analytics will never take %d changes of pastes (batch %s)", len(changes), stretch.id)
        return await self._cursor.told(stretch)

    async def _send(self, stretch: Stretch, changes: list[Change]) -> str:
        body = await asyncio.to_thread(packed, Batch(stretch.id, stretch.node, changes=changes))
        answer = await self._statistics.send_batch(stretch.id, body)
        outcome = judged(answer.status)
        if outcome not in ("taken", "refused"):
            raise Unavailable(f"analytics answers {answer.status}")
        return outcome

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._cursor.release()
        except (PastebinError, asyncpg.PostgresError, TimeoutError) as error:
            log.info("somebody else tells of changes when the lease has ended: %s", error)


def packed(batch: Batch) -> bytes:
    """The batch on the wire, the same bytes whenever it is made."""
    return gzip.compress(msgspec.json.encode(batch), 1, mtime=0)
