"""What a node without an edge has to know of changes: which pastes it may not read from a replica that is behind.

A replica shows a change a moment after it was acknowledged. Before an edge that is no matter, for it asks with the
position of the purge; a reader that asks the node itself has none. So the node is told of changes like an edge, and
remembers for each paste what a replica must have replayed. Once it has heard nothing for the length of a lease it
reads from the primary.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from pastebin import surrogates
from pastebin.cdn.feed import Feed
from pastebin.cdn.generations import Generations, Requirement
from pastebin.http.offer import Offer
from pastebin.http.signing import SignedRoutes
from pastebin.resources import Resources


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Take the messages of workers on the internal door, and have every lookup obey them."""
    section = resources.config.edge
    generations = Generations(section.tombstone_seconds)
    feed = Feed(_Nothing(), generations, resources.metrics, lease_seconds=section.lease_seconds)
    verifier = resources.verifier(section.clock_skew_seconds)
    signed = SignedRoutes(verifier, resources.metrics, section.purges_per_second, resources.strangers)

    def required(slug: str) -> Requirement:
        if not feed.is_held(time.monotonic()):
            return "primary"
        return generations.position_of((surrogates.of_paste(slug),))

    resources.local_edge = feed
    resources.pastes.mark(required)
    try:
        yield Offer([], feed.routes(signed))
    finally:
        resources.local_edge = None


class _Nothing:
    """What is stored where there is no cache."""

    def purge(self, tags: Iterable[str], *, soft: bool = False) -> int:
        return 0

    def flush(self) -> None:
        pass

    def note_feed(self, epoch: str, sequence: int) -> None:
        pass
