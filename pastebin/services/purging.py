"""Waiting until every cache knows of a change, for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from pastebin import surrogates
from pastebin.errors import PastebinError
from pastebin.models import Purge
from pastebin.store.batching import Batcher, Bounds
from pastebin.store.cursors import Cursors, Progress

log = logging.getLogger(__name__)

_BOUNDS = Bounds(flight_rows=1024, flight_bytes=1024**2, flights=1)
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class _Question:
    """How far everybody has come with one transaction, and who refuses the key of what it changed."""

    change: int
    key: str


class Purging:
    """Asks the database how far the caches have come, for all who wait at once; made by `Purging.opened`.

    `seconds` bounds the wait. A cache that lives in the process of a node counts until `gone_seconds` after the node
    was last heard of: by then it serves nothing any more without asking.
    """

    def __init__(self, progress: Batcher[_Question, Progress], seconds: float) -> None:
        self._progress = progress
        self._seconds = seconds
        self._moved = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def opened(cls, cursors: Cursors, *, seconds: float, gone_seconds: float) -> AsyncIterator[Purging]:
        async def ask(questions: Sequence[_Question]) -> Sequence[Progress | Exception]:
            changes = sorted({question.change for question in questions})
            keys = {question.key for question in questions}
            return [await cursors.progress(changes, keys, gone_seconds)] * len(questions)

        async with Batcher.running("purge confirmations", ask, _BOUNDS) as progress:
            yield cls(progress, seconds)

    def moved(self) -> None:
        """A worker in this process has just confirmed something: whoever waits should look at once."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def confirmed(self, change: int | None, slug: str) -> Purge:
        """Return when every cache has confirmed the transaction `change`, which concerns `slug`, or the time is over.

        Never raises for what the database does: the change itself is made.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        latest = Purge(0, 0, 0.0)
        target: int | None = None
        if change is None:
            return latest
        question = _Question(change, surrogates.of_paste(slug))
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    moved = self._moved
                    progress = await self._progress.submit(question, 64)
                    if target is None and change in progress.numbered:
                        target = progress.told
                    latest = _judge(progress, target, loop.time() - began)
                    if latest.is_confirmed:
                        return latest
                    await _either(moved)
        except TimeoutError:
            pass
        except (PastebinError, asyncpg.PostgresError) as error:  # the change is made, whatever this is
            log.warning("whether caches know of a change cannot be told: %s", error)
        return Purge(latest.confirmed, max(latest.known, latest.confirmed + 1), loop.time() - began)


def _judge(progress: Progress, target: int | None, seconds: float) -> Purge:
    """Everybody who knows everything up to `target` (None: not known yet) has confirmed, but for those who refuse."""
    knowing: Collection[str] = ()
    if target is not None:
        knowing = [name for name, confirmed in progress.confirmed.items() if confirmed >= target]
    return Purge(len(set(knowing) - progress.refusing), len(progress.confirmed), seconds)


async def _either(moved: asyncio.Event) -> None:
    """Wait for news, but not for long."""
    try:
        async with asyncio.timeout(_PAUSE_SECONDS):
            await moved.wait()
    except TimeoutError:
        return
