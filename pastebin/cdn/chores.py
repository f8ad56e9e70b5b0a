"""What changes names in the disk tier: one thread does it, in the order in which it was asked for.

The order is what makes a crash harmless: the feed state on disk never says more than what has been removed. A purge
asks for its removals first and notes the feed's sequence after them; what is published was checked against the purge
clock before, and whatever purges it meanwhile is behind it in the same line.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import msgspec
import orjson

from pastebin.cdn.spool import rewrite

_LARGEST_STATE = 4096
_IDENTITY = re.compile(r"[0-9a-f]{8}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FeedState:
    """Up to where the purge feed has been applied."""

    epoch: str
    sequence: int


class Chores:
    """The line and its thread. `on_error` hears, in that thread, of everything that the disk refuses."""

    def __init__(self, directory: Path, on_error: Callable[[OSError], None]) -> None:
        self._directory = directory
        self._on_error = on_error
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edge-chores")
        self._lock = Lock()
        self._leaving_bytes = 0
        self._has_removed = True  # removals of an earlier process may not have reached the disk
        self._is_sound = True

    @property
    def leaving_bytes(self) -> int:
        """What is to be removed but still takes room."""
        return self._leaving_bytes

    async def publish(self, source: str, target: str) -> None:
        """Give a file its name. Raises OSError; once asked for it is done, whoever still waits."""
        await asyncio.shield(asyncio.wrap_future(self._thread.submit(os.rename, source, target)))

    def remove(self, paths: Iterable[str], size: int = 0) -> None:
        """Remove files, which take `size` bytes until then."""
        with self._lock:
            self._leaving_bytes += size
        paths = list(paths)
        try:
            self._thread.submit(self._remove, paths, size)
        except RuntimeError:  # the thread is gone: a writer that outlived the cache is closing
            self._remove(paths, size)

    def rewrite(self, path: str, body_size: int, trailer: bytes) -> None:
        """Put another trailer behind a body; if that cannot be, remove the file."""
        self._thread.submit(self._rewrite, path, body_size, trailer)

    def note(self, state: FeedState) -> None:
        """Keep the feed state for the next process: everything asked for so far is on the disk before it."""
        self._thread.submit(self._note, state)

    async def settled(self) -> None:
        """Wait until everything asked for so far is done."""
        await asyncio.shield(asyncio.wrap_future(self._thread.submit(lambda: None)))

    def shutdown(self) -> None:
        """Do what is still in the line, and end the thread."""
        self._thread.shutdown()

    def _remove(self, paths: list[str], size: int) -> None:
        for path in paths:
            try:
                with suppress(FileNotFoundError):
                    Path(path).unlink()
                    self._has_removed = True
            except OSError as error:
                self._give_up_noting(error)
        with self._lock:
            self._leaving_bytes -= size

    def _rewrite(self, path: str, body_size: int, trailer: bytes) -> None:
        try:
            rewrite(path, body_size, trailer)
        except FileNotFoundError:
            pass  # removed while it waited in the line
        except OSError as error:
            self._on_error(error)
            self._remove([path], 0)

    def _note(self, state: FeedState) -> None:
        if not self._is_sound:
            return
        try:
            if self._has_removed:
                _sync(self._directory / "objects")
                self._has_removed = False
            write_state(self._directory, state)
        except OSError as error:
            self._on_error(error)

    def _give_up_noting(self, error: OSError) -> None:
        """What should be gone is still there: the next process must hear of its purge again, or drop everything."""
        self._is_sound = False
        logger.error("edge: cannot remove a cached file: %s", error.strerror)
        self._on_error(error)
        with suppress(OSError):
            (self._directory / "feed").unlink(missing_ok=True)


def write_state(directory: Path, state: FeedState) -> None:
    """Replace the feed state on disk."""
    part = directory / "feed.part"
    with os.fdopen(
        os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb"
    ) as file:
        file.write(orjson.dumps(state))
        file.flush()
        os.fsync(file.fileno())
    part.replace(directory / "feed")


def read_state(directory: Path) -> FeedState | None:
    """The feed state that an earlier process left; None if it left none that can be read."""
    try:
        with (directory / "feed").open("rb") as file:
            return msgspec.convert(orjson.loads(file.read(_LARGEST_STATE)), FeedState)
    except (OSError, ValueError, msgspec.MsgspecError):
        return None


def identify(directory: Path) -> str:
    """What tells this directory from every other: drawn once, and kept there. For this process only if it cannot be."""
    path, drawn = directory / "identity", secrets.token_hex(4)
    with suppress(OSError):
        kept = path.read_bytes()[:8].decode("latin-1")
        if _IDENTITY.fullmatch(kept):
            return kept
    part = directory / "identity.part"
    with suppress(OSError):
        part.write_bytes(drawn.encode())
        part.replace(path)
    return drawn


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
