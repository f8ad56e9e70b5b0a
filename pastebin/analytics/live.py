"""What happens now: one message a second for whoever listens, as server-sent events (HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import orjson

from pastebin.errors import Overloaded, Unavailable
from pastebin.visits import Batch

MEDIA_TYPE = "text/event-stream"
MOST_LISTENERS = 64
# Then a listener has to ask again, and to be the administrator still.
LONGEST_SECONDS = 3600.0
_LATEST = 10
_SECOND = 1.0


class Live:
    """Counts what this node takes, for one second at a time.

    Every listener gets the same bytes, also in a second without visits, so that a dead connection is noticed. Who reads
    too slowly misses seconds; nothing is kept for him.
    """

    def __init__(self, draining: asyncio.Event) -> None:
        self._draining = draining
        self._tick = asyncio.Event()
        self._message = b""
        self._people = self._bots = self._hits = 0
        self._changes: deque[dict[str, str]] = deque(maxlen=_LATEST)
        self._listeners = 0

    def taken(self, batch: Batch) -> None:
        """Count a batch that was kept for the first time."""
        for visit in batch.visits:
            if visit.is_bot:
                self._bots += visit.weight
            else:
                self._people += visit.weight
            if visit.cache in ("hit", "stale"):
                self._hits += visit.weight
        for change in batch.changes[-_LATEST:]:
            at = datetime.fromtimestamp(change.at_ms / 1000, UTC).isoformat(timespec="seconds")
            self._changes.append({"at": at, "kind": change.kind, "slug": change.slug})

    async def run(self) -> None:
        """Tell everybody, every second, until the node drains."""
        while not self._draining.is_set():
            try:
                async with asyncio.timeout(_SECOND):
                    await self._draining.wait()
            except TimeoutError:
                self._tell()
        self._tell()
        await asyncio.Event().wait()

    async def listen(self) -> AsyncGenerator[bytes, None]:
        """Events, until the node drains. Raises Overloaded before the first one if too many listen already."""
        if self._draining.is_set():
            raise Unavailable("This node is about to stop; ask again.")
        if self._listeners >= MOST_LISTENERS:
            raise Overloaded(f"{MOST_LISTENERS} listen already, which is all that may.")
        self._listeners += 1
        try:
            yield b"retry: 2000\n\n"
            ends = time.monotonic() + LONGEST_SECONDS
            while not self._draining.is_set() and time.monotonic() < ends:
                await self._tick.wait()
                yield self._message
        finally:
            self._listeners -= 1

    def _tell(self) -> None:
        counts = {"people": self._people, "bots": self._bots, "hits": self._hits, "changes": [*self._changes]}
        self._people = self._bots = self._hits = 0
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._message = b"data: " + orjson.dumps({"at": at, **counts}) + b"\n\n"
        told, self._tick = self._tick, asyncio.Event()
        told.set()
