"""Keeps the salts of today and yesterday in memory, and passes them on to nodes that have no database."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from pastebin.decoding import UNREADABLE
from pastebin.errors import PastebinError, Unavailable
from pastebin.services.statistics import Statistics
from pastebin.visitors import Salts
from pastebin.visits import SALTS, SaltsMessage

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
_REFRESH_SECONDS = 60.0
_RETRY_SECONDS = 5.0
_ASK_SECONDS = 10.0


class Source(Protocol):
    """Where salts are made: `store.salts`."""

    async def fetch(self) -> Salts:
        """The salts of today. Raises Unavailable."""


class Salting:
    """`salts` is what pseudonyms are made with now; None before there was any, and when they are too old.

    With a `source` they come from there, else, or if that is away, from the analytics service. `passes_on`: whatever
    came from the source is told to the service, which keeps it in memory for others.
    """

    def __init__(
        self,
        source: Source | None,
        statistics: Statistics | None,
        *,
        passes_on: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._statistics = statistics
        self._passes_on = passes_on
        self._clock = clock
        self.salts: Salts | None = None

    async def run(self) -> None:
        """Refresh by the minute, and as soon as a day begins."""
        was_fresh = True
        while True:
            is_fresh = await self.refresh()
            if not is_fresh and was_fresh:
                log.warning("there are no new salts now: visitors are told apart by old ones, or not at all")
            was_fresh = is_fresh
            longest = _REFRESH_SECONDS if is_fresh else _RETRY_SECONDS
            # a moment after midnight, for clocks differ; not all nodes at once
            to_midnight = DAY_SECONDS - self._clock() % DAY_SECONDS + random.random()  # noqa: S311  (jitter, not a secret)
            await asyncio.sleep(min(longest, to_midnight))

    async def refresh(self) -> bool:
        """Ask once. Whatever comes of it, afterwards nothing is held that is too old."""
        found = await self._found()
        if found is not None and (self.salts is None or found.period >= self.salts.period or not self._is_fresh()):
            self.salts = found
        self._destroy()
        return found is not None

    async def _found(self) -> Salts | None:
        if self._source is not None:
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    found = await self._source.fetch()
            except (PastebinError, TimeoutError) as error:
                log.debug("the database has no salts now: %s", error)
            else:
                if self._passes_on:
                    await self._pass_on(found)
                return found
        return await self._asked()

    async def _asked(self) -> Salts | None:
        """What the analytics service knows."""
        if self._statistics is None:
            return None
        try:
            answer = await self._statistics.send(SALTS, method="GET", seconds=_ASK_SECONDS)
        except Unavailable as error:
            log.debug("there are no salts: %s", error)
            return None
        if answer.status != 200:
            return None
        try:
            message = msgspec.json.decode(answer.body, type=SaltsMessage)
        except UNREADABLE:
            log.warning("the analytics service answers with something else than salts")
            return None
        return Salts(message.period, bytes.fromhex(message.current), bytes.fromhex(message.previous))

    async def _pass_on(self, salts: Salts) -> None:
        if self._statistics is None:
            return
        message = SaltsMessage(salts.period, salts.current.hex(), salts.previous.hex())
        try:
            await self._statistics.send(SALTS, msgspec.json.encode(message), seconds=_ASK_SECONDS)
        except Unavailable as error:
            log.debug("the salts are not passed on now: %s", error)

    def _is_fresh(self) -> bool:
        return self.salts is not None and self.salts.period >= self._today()

    def _destroy(self) -> None:
        """A salt lives in its own period and the next one, wherever it is."""
        salts, today = self.salts, self._today()
        if salts is None or salts.period >= today:
            return
        self.salts = Salts(salts.period, salts.current) if salts.period == today - 1 else None

    def _today(self) -> int:
        return int(self._clock() // DAY_SECONDS)
