"""What an earlier process left in the disk tier: found in a thread, taken over by the cache bit by bit."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from threading import Event

from pastebin.cdn.objects import Stored
from pastebin.cdn.records import Unreadable, read_record

_NAME = re.compile(r"([0-9a-f]{8})-[0-9a-f]{1,16}\.(object|part)")
_BATCH = 32
_MOST = 65_536
_LISTING_SECONDS = 3.0
_SECONDS = 30.0
_LOOK_SECONDS = 0.1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file that may hold a response."""

    written_at: float
    path: str
    size: int


Take = Callable[[Sequence[tuple[Leftover, Stored | None]]], None]


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of earlier processes: `kept`, oldest first, may hold responses; `superfluous` are to go.

    There may be more that nobody has looked at unless it `is_complete`.
    """

    kept: list[Leftover]
    superfluous: list[str]
    is_complete: bool


def listed(directory: Path, run: str, capacity: int, *, may_keep: bool) -> Listing:
    """Look at the names that processes other than `run` left, for a bounded time; the newest up to `capacity` are kept.

    Names that no process can have given are left alone. Raises OSError.
    """
    deadline = time.monotonic() + _LISTING_SECONDS
    found: list[Leftover] = []
    superfluous: list[str] = []
    is_complete = True
    with os.scandir(directory) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None or match[1] == run:
                continue
            if len(found) >= _MOST or time.monotonic() > deadline:
                is_complete = False
                break
            if match[2] == "part" or not may_keep or not entry.is_file(follow_symlinks=False):
                superfluous.append(entry.path)
                continue
            status = entry.stat(follow_symlinks=False)
            found.append(Leftover(status.st_mtime, entry.path, status.st_size))
    found.sort(key=lambda leftover: leftover.written_at, reverse=True)
    sizes = accumulate(leftover.size for leftover in found)
    fitting = sum(size <= capacity for size in sizes)
    superfluous += [leftover.path for leftover in found[fitting:]]
    return Listing(found[fitting - 1 :: -1] if fitting else [], superfluous, is_complete)


class Restoring:
    """One pass over what was listed. `run` is for a thread, everything else for the event loop.

    `take` is called in the event loop with a few files at a time, and what each holds; None: it is to be removed.
    """

    def __init__(self, listing: Listing, directory: Path, run: str, born: int, take: Take) -> None:
        self.listing = listing
        self.is_done = False
        self._directory = directory
        self._run = run
        self._born = born
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._is_stopped = Event()

    def stop(self) -> None:
        """End early; what has not been looked at stays for the next process."""
        self._is_stopped.set()

    def work(self) -> None:
        """Look into every file, for a bounded time; then remove what was listed too late."""
        deadline = time.monotonic() + _SECONDS
        for start in range(0, len(self.listing.kept), _BATCH):
            batch = self.listing.kept[start : start + _BATCH]
            is_late = time.monotonic() > deadline
            self._hand_over([(leftover, None if is_late else self._read(leftover)) for leftover in batch])
            if self._is_stopped.is_set():
                return
        if not self.listing.is_complete:
            self._remove_others()
        self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        self.is_done = True

    def _read(self, leftover: Leftover) -> Stored | None:
        try:
            return read_record(leftover.path, self._born)
        except (Unreadable, OSError) as reason:
            logger.warning("edge: a cached file is given up: %s", reason)
            return None

    def _hand_over(self, batch: list[tuple[Leftover, Stored | None]]) -> None:
        """Wait until the event loop has dealt with it, so that not much is ever under way."""
        is_taken = Event()

        def take() -> None:
            try:
                self._take(batch)
            finally:
                is_taken.set()

        self._loop.call_soon_threadsafe(take)
        while not is_taken.wait(_LOOK_SECONDS):
            if self._is_stopped.is_set():
                return

    def _remove_others(self) -> None:
        known = {leftover.path for leftover in self.listing.kept}
        with os.scandir(self._directory) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                if match is not None and match[1] != self._run and entry.path not in known:
                    Path(entry.path).unlink(missing_ok=True)
                if self._is_stopped.is_set():
                    return
