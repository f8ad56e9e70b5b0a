"""Noticing pastes that become hot, so that the other edges get them before anybody asks there.

Readers are answered by edges, so what arrives here is mostly fills: one for each edge that has just been asked. Two
edges asking for the same address within a moment are therefore as good a sign as many readers without an edge.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from pastebin.allowance import Allowance
from pastebin.errors import PastebinError
from pastebin.metrics import Metrics
from pastebin.sections import CdnSection

log = logging.getLogger(__name__)

MOST_ADDRESSES = 2048
LONGEST_ADDRESS = 1024
REST_SECONDS = 60.0
_QUEUE = 64
_PUSHES_PER_SECOND = 5.0
_PUSHES_BURST = 50.0
_ENQUEUE_SECONDS = 5.0


class Pushes(Protocol):
    """Where pushes are enqueued: the outbox."""

    async def enqueue_push(self, slug: str, region: str, urls: Sequence[str]) -> bool:
        """Have every edge fetch these addresses of a paste that is hot in `region`.

        False where some node has asked the same within REST_SECONDS. Raises Unavailable, StorageFull.
        """


class Heat:
    """Which names came up so often within a window; remembers `most` names, the latest ones.

    `reads` reads within `window_seconds` make a name hot, or `fills` fills, or a mixture. A window begins when a name
    comes up, so nothing is hot that did not come up so often; what comes up twice as often is, unless `most` others
    come between two of its times.
    """

    def __init__(self, *, reads: int, fills: int, window_seconds: float, most: int = MOST_ADDRESSES) -> None:
        self._window_seconds = window_seconds
        self._most = most
        # in common units, so that nothing is lost to rounding
        self._of_read, self._of_fill, self._hot = fills, reads, reads * fills
        self._known: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def rises(self, name: str, now: float, *, is_fill: bool) -> bool:
        """Note one time; whether that makes the name hot. What is hot begins anew."""
        since, weight = self._known.pop(name, (now, 0))
        if now - since > self._window_seconds:
            since, weight = now, 0
        weight += self._of_fill if is_fill else self._of_read
        if weight >= self._hot:
            return True
        self._known[name] = (since, weight)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return False


class Rest:
    """Names that were served and rest for a while; remembers `most`, the latest ones."""

    def __init__(self, seconds: float, most: int = MOST_ADDRESSES) -> None:
        self._seconds = seconds
        self._most = most
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def begins(self, name: str, now: float) -> bool:
        """Whether the name was not resting; it is from now on."""
        if self._until.get(name, now) > now:
            return False
        self._until.pop(name, None)
        self._until[name] = now + self._seconds
        if len(self._until) > self._most:
            self._until.popitem(last=False)
        return True


class Warming:
    """Counts readings and enqueues pushes, without ever holding a reader up.

    `site_url` makes addresses out of paths. Without it there is nothing to push: what a request says about the host is
    not to be trusted with making others fetch.
    """

    def __init__(
        self, section: CdnSection, region: str, site_url: str, pushes: Pushes | None, metrics: Metrics
    ) -> None:
        self.is_on = section.push and bool(site_url) and pushes is not None
        self._region = region
        self._site_url = site_url.rstrip("/")
        self._pushes = pushes
        self._heat = Heat(
            reads=section.push_reads, fills=section.push_fills, window_seconds=section.push_window_seconds
        )
        self._rest = Rest(REST_SECONDS)
        self._allowance = Allowance(_PUSHES_PER_SECOND, _PUSHES_BURST)
        self._queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(_QUEUE)
        self._outcomes = metrics.pushes

    def note(self, slug: str, path: str, *, is_fill: bool) -> None:
        """Somebody read the paste at that path, which is as it came over the wire, without a query."""
        if not self.is_on or len(path) > LONGEST_ADDRESS:
            return
        now = time.monotonic()
        if not self._heat.rises(path, now, is_fill=is_fill) or not self._rest.begins(slug, now):
            return
        if not self._allowance.take() or self._queue.full():
            self._outcomes.labels("dropped").inc()
            return
        self._queue.put_nowait((slug, f"{self._site_url}{path}"))

    async def run(self) -> None:
        """Enqueue what `note` has found, for ever."""
        while True:
            slug, url = await self._queue.get()
            self._outcomes.labels(await self._push(slug, url)).inc()

    async def _push(self, slug: str, url: str) -> str:
        assert self._pushes is not None  # noqa: S101  (else nothing gets into the queue)
        try:
            async with asyncio.timeout(_ENQUEUE_SECONDS):
                is_first = await self._pushes.enqueue_push(slug, self._region, (url,))
        except (PastebinError, TimeoutError) as error:
            # a push is a favour: the edges fetch the paste themselves when somebody asks
            log.warning("a push could not be enqueued: %s", error or "the database did not answer in time")
            return "failed"
        return "enqueued" if is_first else "repeated"
