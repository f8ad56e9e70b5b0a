"""The role `analytics`: events in, statistics out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.analytics.reports import StatsAnswers
from pastebin.analytics.showing import showing
from pastebin.http.offer import Offer
from pastebin.resources import Resources
from pastebin.services.statistics import Answer
from pastebin.visits import STATISTICS


class _Local:
    def __init__(self, stats: StatsAnswers) -> None:
        self._stats = stats

    async def carry(self, method: str, path: str, body: bytes) -> Answer:
        return await self._stats.answer(body) if path == STATISTICS else Answer(404)


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Take events from every node, and answer questions about them."""
    section = resources.config.analytics
    if not section.database:
        yield Offer()
        return
    async with (
        PostgresEngine.opened(section, section.database.reveal()) as engine,
        showing(resources, engine) as shown,
    ):
        resources.local_analytics = _Local(shown.stats)
        try:
            yield Offer(shown.routes)
        finally:
            resources.local_analytics = None
