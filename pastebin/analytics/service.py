"""The role `analytics`: events in, statistics out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pastebin.http.offer import Offer
from pastebin.resources import Resources


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Take events from every node, and answer questions about them."""
    yield Offer()
