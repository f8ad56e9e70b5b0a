"""Batches of visits on their way from the spool to analytics: one at a time, as soon as there is one, with patience."""

from __future__ import annotations

import asyncio
import logging
import zlib
from typing import Literal

import orjson

from pastebin.backoff import Backoff
from pastebin.errors import Unavailable
from pastebin.metrics import Metrics
from pastebin.sections import VisitsSection
from pastebin.services.spool import Parcel, Spool
from pastebin.services.statistics import Answer, Statistics

log = logging.getLogger(__name__)

Verdict = Literal["taken", "refused", "failed", "away"]

FIRST_PAUSE_SECONDS = 0.25
# RFC 9110, 15.5: what the content itself is to blame for. Not 401 and 403: clocks and secrets can be put right.
_NEVER = frozenset({400, 409, 410, 411, 413, 415, 422, 431})
_BUSY = frozenset({429, 503, 507})
# A batch that alone is met with failures so often is given up.
_MOST_REFUSALS = 5


class Shipping:
    """Empties the spool. Whatever the other side does, or its code in this process, is met with patience."""

    def __init__(self, spool: Spool, statistics: Statistics, section: VisitsSection, metrics: Metrics) -> None:
        self._spool = spool
        self._statistics = statistics
        self._most_seconds = section.retry_max_seconds
        self._backoff = Backoff(FIRST_PAUSE_SECONDS, section.retry_max_seconds)
        self._outcomes = metrics.visit_batches
        self._failures = 0
        self._taken = 0
        self._is_failing = False

    async def run(self) -> None:
        """Never ends by itself."""
        while True:
            parcel = await self._spool.next()
            body = await asyncio.to_thread(packed, parcel)
            while (wait := await self._send(parcel, body)) is not None:
                await asyncio.sleep(wait)
                if parcel.segment.refusals:
                    break  # it has gone to the end of the queue

    async def _send(self, parcel: Parcel, body: bytes) -> float | None:
        """Send it once. None if it is dealt with, else for how long to wait."""
        answer, detail = Answer(0), ""
        try:
            answer = await self._statistics.send_batch(parcel.id, body)
        except Unavailable as error:
            detail = error.detail
        verdict = judged(answer.status)
        if verdict == "failed" and self._is_poison(parcel):
            verdict = "refused"
        self._outcomes.labels(verdict).inc()
        if verdict in ("taken", "refused"):
            await self._settle(parcel, verdict, answer.status)
            return None
        if verdict == "failed":
            await self._spool.postponed(parcel)
        self._note_failure(detail or f"it answers {answer.status}")
        self._failures += 1
        return max(self._backoff.pause_seconds(self._failures), min(answer.retry_after_seconds, self._most_seconds))

    async def _settle(self, parcel: Parcel, verdict: Verdict, status: int) -> None:
        self._failures = 0
        if verdict == "taken":
            self._taken += 1
            await self._spool.taken(parcel)
            if self._is_failing:
                self._is_failing = False
                log.info("analytics takes visits again")
            return
        log.warning("analytics will never take batch %s (it answers %d): set aside", parcel.id, status)
        await self._spool.refused(parcel)

    def _is_poison(self, parcel: Parcel) -> bool:
        """Whether it fails again and again while others are taken."""
        segment = parcel.segment
        if not segment.refusals or self._taken > segment.refused_at:
            segment.refusals += 1
            segment.refused_at = self._taken
        return segment.refusals > _MOST_REFUSALS

    def _note_failure(self, detail: str) -> None:
        """Say it once."""
        if not self._is_failing:
            self._is_failing = True
            log.warning("visits wait in the spool: %s", detail)


def packed(parcel: Parcel) -> bytes:
    """The batch as gzip of JSON, the same bytes whenever it is made."""
    head = b'{"id":%b,"node":%b,"visits":[' % (orjson.dumps(parcel.id), orjson.dumps(parcel.node))
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return b"".join((packer.compress(head), packer.compress(parcel.visits), packer.compress(b"]}"), packer.flush()))


def judged(status: int) -> Verdict:
    """What an answer means for the batch; 0: there was none."""
    if 200 <= status <= 299:
        return "taken"
    if status in _NEVER:
        return "refused"
    return "away" if not status or status in _BUSY else "failed"
