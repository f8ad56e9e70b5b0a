"""From one process to the next: what is on disk is taken over, and up to where the purge feed was applied to it."""

from __future__ import annotations

import asyncio
from functools import partial

from pastebin.cdn.chores import FeedState
from pastebin.cdn.disk import Disk
from pastebin.cdn.restoring import Restoring, Take, listed
from pastebin.errors import DataDirectoryUnusable
from pastebin.sections import EdgeSection

_NOTE_SECONDS = 1.0


class Restart:
    """The start and the end of a disk tier, and the feed state on it.

    Without a feed state nobody can tell which purges were missed, so what is on disk is dropped then, unless the origin
    has no feed (a lease of 0). The state is written only when everything on disk has been looked through, because
    purges come to what is not known yet through the purge clock alone.
    """

    def __init__(self, section: EdgeSection, disk: Disk | None) -> None:
        self.feed_state = disk.feed_state if disk is not None else None
        self._section = section
        self._disk = disk
        self._restoring: Restoring | None = None
        self._work: asyncio.Future[OSError | None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def allows_writing(self) -> bool:
        """False while there may be files that nobody has counted."""
        restoring = self._restoring
        return restoring is not None and (restoring.is_done or restoring.listing.is_complete)

    async def begin(self, born: int, take: Take) -> int:
        """Begin to hand over to `take`, as of purge clock `born`, what is there; the bytes that it may come to.

        Raises DataDirectoryUnusable.
        """
        disk = self._disk
        if disk is None:
            return 0
        may_keep = disk.feed_state is not None or not self._section.lease_seconds
        look = partial(listed, disk.objects, disk.run, self._section.disk_bytes, may_keep=may_keep)
        try:
            listing = await disk.in_writers(look)
        except OSError as error:
            raise DataDirectoryUnusable(f"{disk.objects}: cannot be read: {error.strerror}") from error
        disk.chores.remove(listing.superfluous)
        self._restoring = Restoring(listing, disk.objects, disk.run, born, take)
        self._work = disk.submit(self._restoring.work)
        return sum(leftover.size for leftover in listing.kept)

    def end(self) -> None:
        """Stop looking, and leave the feed state."""
        if self._timer is not None:
            self._timer.cancel()
            self._write()
        if self._restoring is not None:
            self._restoring.stop()

    async def finished(self) -> None:
        """Wait until everything has been looked through."""
        if self._work is not None:
            await asyncio.shield(self._work)

    def note_feed(self, state: FeedState) -> None:
        """Have it written soon."""
        self.feed_state = state
        if self._disk is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_NOTE_SECONDS, self._note)

    def _note(self) -> None:
        self._timer = None
        if not self._write() and self.feed_state is not None:
            self.note_feed(self.feed_state)

    def _write(self) -> bool:
        if self._disk is None or self._restoring is None or not self._restoring.is_done or self.feed_state is None:
            return False
        self._disk.chores.note(self.feed_state)
        return True
