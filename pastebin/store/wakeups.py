"""Calling those who wait for changes, so that they need not look all the time; whoever misses a call looks anyway.

A transaction that notifies takes a lock that every other such commit of the whole cluster waits for (PostgreSQL,
`PreCommit_Notify`), so changes themselves never do: a connection of its own calls for all of them, 20 times a second at
most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from pastebin.errors import PastebinError
from pastebin.store.connections import REFUSALS, Link
from pastebin.store.database import Database

log = logging.getLogger(__name__)

# What there is to look at: new rows in the outbox, new numbers in the feed, or more of a paste that is being written.
Channel = Literal["pastebin_outbox", "pastebin_feed", "pastebin_live"]

_PAUSE_SECONDS = 0.05
_RECONNECT_SECONDS = 1.0
_HEARTBEAT_SECONDS = 5.0
_ANSWER_SECONDS = 2.0
_NOTIFY = "select pg_notify(c, p) from unnest($1::text[], $2::text[]) n (c, p)"


class Notifier:
    """Between processes: calls are collected while the last one is under way, and for a moment after it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._calls: set[tuple[Channel, str]] = set()
        self._wanted = asyncio.Event()

    def call(self, channel: Channel, what: str = "") -> None:
        """Call soon, and say `what` in a few characters. A call that is lost with its connection is not repeated:
        everybody looks now and then.
        """
        self._calls.add((channel, what))
        self._wanted.set()

    async def run(self) -> None:
        """Call for ever. There is a connection from the first call on."""
        while True:
            await self._wanted.wait()
            try:
                async with self._database.dedicated() as link:
                    await self._serve(link)
            except (PastebinError, *REFUSALS) as error:
                log.info("calling the workers failed; they look by themselves: %s", error)
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _serve(self, link: Link) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            calls, self._calls = sorted(self._calls), set()
            channels, words = zip(*calls, strict=True)
            await link.execute(_NOTIFY, channels, words, timeout=_ANSWER_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)


class Listener:
    """Hears the calls on some channels, on a connection that is asked now and then whether it still lives.

    `told`, if given, gets what was said with a call, in the place of `call`.
    """

    def __init__(
        self,
        database: Database,
        channels: tuple[Channel, ...],
        call: Callable[[], None],
        told: Callable[[str], None] | None = None,
    ) -> None:
        self._database = database
        self._channels = channels
        self._call = call
        self._told = told

    async def run(self) -> None:
        """Listen for ever; whenever it begins to listen it calls once, because of what was said before."""
        while True:
            try:
                async with self._database.dedicated() as link:
                    await self._listen(link)
            except (PastebinError, *REFUSALS) as error:
                log.info("listening failed; looking by ourselves meanwhile: %s", error)
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _heard(self, _link: object, _pid: int, _channel: str, what: object) -> None:
        if self._told is None:
            self._call()
        else:
            self._told(str(what))

    async def _listen(self, link: Link) -> None:
        gone = asyncio.Event()
        link.add_termination_listener(lambda _: gone.set())
        for channel in self._channels:
            await link.add_listener(channel, self._heard)
        self._call()
        while not (gone.is_set() or link.is_replica):
            with suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await gone.wait()
            # a connection whose other end has vanished looks alive until it is asked
            await link.fetchval("select 1", timeout=_ANSWER_SECONDS)
