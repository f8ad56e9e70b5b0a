"""Pastes that are read while they are written: what arrives is kept at once, and becomes an ordinary paste at its end.

However a writer ends, what has arrived by then is the paste: whoever has it in hand makes the paste of it, and if his
node dies with him another one does as soon as his lease is over.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from pastebin import slugs
from pastebin.errors import (
    InvalidPaste,
    PastebinError,
    PasteNotFound,
    SlugTaken,
    Unavailable,
    UploadTooSlow,
)
from pastebin.loops import Loops
from pastebin.models import File, Options, Published
from pastebin.sections import LiveSection
from pastebin.services import judging, syntaxes
from pastebin.services.publishing import Publishing
from pastebin.services.purging import Purging
from pastebin.store.blobs import Blobs
from pastebin.store.database import Database
from pastebin.store.lives import Appends, Lives, Piece, Unfinished
from pastebin.store.wakeups import Notifier

log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
# What arrives in so short a time travels together, unless it is much.
_PAUSE_SECONDS = 0.05
_PIECE_BYTES = 64 * 1024
# After so many small pieces they are made one.
_SMALL_PIECES = 256
# So long is a database waited for that cannot be asked; the client waits as well.
_OUTAGE_SECONDS = 60.0
# To make a paste of what has arrived: then somebody else tries.
_ENDING_SECONDS = 120.0
_BATCH = 16
_SLUG_TRIES = 8
_EMPTY = File(0, None, "text/plain", None, 0, hashlib.sha256(b"").digest(), body=b"")

Receive = Callable[[], Awaitable[bytes]]


@dataclass(slots=True)
class _Writer:
    """How far one writer has come."""

    unfinished: Unfinished
    size: int = 0
    small: int = 0
    merged: int = 0  # up to there pieces are large


class Living:
    """The write side of live pastes, for one node."""

    def __init__(
        self,
        publishing: Publishing,
        blobs: Blobs,
        lives: Lives,
        appends: Appends,
        notifier: Notifier,
        purging: Purging | None,
        section: LiveSection,
        most_bytes: int,
        draining: asyncio.Event,
    ) -> None:
        self._publishing = publishing
        self._blobs = blobs
        self._lives = lives
        self._appends = appends
        self._notifier = notifier
        self._purging = purging
        self._section = section
        self._most_bytes = min(section.max_bytes, most_bytes)
        self._draining = draining

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        publishing: Publishing,
        blobs: Blobs,
        database: Database,
        notifier: Notifier,
        purging: Purging | None,
        section: LiveSection,
        most_bytes: int,
        draining: asyncio.Event,
        loops: Loops,
    ) -> AsyncIterator[Living]:
        """Take writers while the block lasts, and end what others have left."""
        async with Appends.opened(database, section.lease_seconds) as appends:
            living = cls(publishing, blobs, Lives(database), appends, notifier, purging, section, most_bytes, draining)
            async with loops.running(living.run(), name="ending live pastes"):
                yield living

    async def start(self, options: Options) -> Published:
        """A paste that is being written from now on.

        Raises InvalidPaste with all problems, SlugTaken, StorageFull, Unavailable.
        """
        if self._draining.is_set():
            raise Unavailable("This node is about to stop; ask again.")
        if problems := await self._publishing.problems(options) + judging.unfit_for_live(options):
            raise InvalidPaste(problems)
        await self._blobs.require_room()
        (file,) = judging.named([_EMPTY], options)
        if file.syntax is None and options.name:
            guessed = syntaxes.guess(options.name, b"")
            file = replace(file, syntax=guessed.name if guessed else None)
        draft, token = self._publishing.drafted((file,), options, None)
        for _ in range(_SLUG_TRIES):
            try:
                paste = await self._lives.start(draft, self._section.lease_seconds)
            except SlugTaken:
                if draft.is_named:
                    raise
                protected = len(draft.slug) == slugs.PROTECTED_LENGTH
                draft = replace(draft, slug=slugs.generate(protected=protected))
            else:
                await self._purged(paste.change if draft.is_named else None, paste.slug)
                return Published(paste, token)
        raise SlugTaken

    async def take(self, unfinished: Unfinished, receive: Receive) -> str:
        """Keep what `receive` gives until it gives nothing more, then end the paste; returns why too early, if it was.

        `receive` returns what has arrived, empty at the end, and raises a PastebinError where the end is none.
        """
        writer = _Writer(unfinished)
        try:
            reason = await self._kept(writer, receive)
        except PasteNotFound:
            await self._lives.forget(unfinished.paste_id)
            self._call(unfinished.paste_id)
            return "The paste is gone."
        except PastebinError as error:
            reason = error.detail
        try:
            await self._end(unfinished)
        except PastebinError as error:  # nothing is lost: it is tried again when the lease is over
            log.warning("a live paste could not be ended: %s", error)
        return reason

    async def run(self) -> None:
        """End what its writers have left, for ever."""
        pause = self._section.lease_seconds / 3
        while True:
            try:
                for unfinished in await self._lives.claim(_ENDING_SECONDS, _BATCH):
                    await self._end(unfinished)
                await asyncio.sleep(pause)
            except PastebinError as error:
                log.warning("ending live pastes stopped early: %s", error)
                # writers that were cut off from the database as well come first
                await asyncio.sleep(self._section.lease_seconds + pause)

    async def _kept(self, writer: _Writer, receive: Receive) -> str:
        """Everything until the end, which has a reason if it is too early."""
        section, now = self._section, time.monotonic
        began = heard = told = now()
        while True:
            if self._draining.is_set():
                return "The server is about to stop."
            if now() - began >= section.max_seconds:
                return f"A live paste is written for {section.max_seconds:g} seconds at most here."
            try:
                async with asyncio.timeout(_TICK_SECONDS):
                    data = await receive()
            except TimeoutError:
                if now() - heard >= section.idle_seconds:
                    raise UploadTooSlow(f"Nothing arrived for {section.idle_seconds:g} seconds.") from None
                if now() - told >= section.lease_seconds / 3:
                    told = now()
                    await self._append(writer, b"")
                continue
            if not data:
                return ""
            heard = told = now()
            room = self._most_bytes - writer.size
            for start in range(0, min(len(data), room), _PIECE_BYTES):
                await self._append(writer, data[start : min(start + _PIECE_BYTES, room)])
            if len(data) > room:
                return f"A live paste holds at most {self._most_bytes} bytes here; what came behind them is lost."
            if len(data) < _PIECE_BYTES:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _append(self, writer: _Writer, body: bytes) -> None:
        """Make it durable, however long the database takes to be there again. Raises PasteNotFound, Unavailable."""
        piece = Piece(writer.unfinished.paste_id, writer.size, body)
        ends = time.monotonic() + _OUTAGE_SECONDS
        while True:
            try:
                await self._appends.take(piece)
                break
            except Unavailable:
                if time.monotonic() >= ends:
                    raise
                await asyncio.sleep(_TICK_SECONDS)
        if not body:
            return
        writer.size += len(body)
        self._call(piece.paste_id)
        writer.small += len(body) < _PIECE_BYTES // 2
        if writer.small >= _SMALL_PIECES:
            writer.small = 0
            with suppress(PastebinError):  # they say the same as they are
                await self._lives.merge(piece.paste_id, writer.merged, writer.size)
                writer.merged = writer.size

    async def _end(self, unfinished: Unfinished) -> None:
        """Make an ordinary paste of what has arrived, unless it is gone."""
        paste_id = unfinished.paste_id
        if not unfinished.is_live:
            await self._lives.forget(paste_id)
            return
        await self._lives.close(paste_id, _ENDING_SECONDS)
        try:
            async with self._publishing.intake() as taken:
                await taken.add(self._content(paste_id), name=unfinished.name, syntax=unfinished.syntax)
                with taken.committing():
                    ended = await self._lives.finish(paste_id, taken.files[0])
        except PasteNotFound:
            await self._lives.forget(paste_id)
        else:
            await self._purged(ended.change, ended.slug)
        self._call(paste_id)

    async def _content(self, paste_id: int) -> AsyncIterator[bytes]:
        """Everything that has arrived. Raises PasteNotFound if somebody else has ended it."""
        at = 0
        while True:
            arrived = await self._lives.read(paste_id, at, from_primary=True)
            if arrived is None:
                raise PasteNotFound
            if not arrived.body:
                return
            yield arrived.body
            at += len(arrived.body)

    def _call(self, paste_id: int) -> None:
        self._notifier.call("pastebin_live", str(paste_id))

    async def _purged(self, change: int | None, slug: str) -> None:
        if self._purging is not None and change is not None:
            await self._purging.confirmed(change, slug)
