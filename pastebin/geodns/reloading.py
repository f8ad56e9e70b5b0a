"""Another zone file or another map is taken up while answers go on; one that is wrong is not."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pastebin.errors import ConfigError
from pastebin.geo import Geo
from pastebin.geodns.responding import Responder
from pastebin.geodns.zone import Zone, load
from pastebin.sections import GeodnsSection

log = logging.getLogger(__name__)


class Source:
    """The zone file, and which one was read last. Blocks.

    Two files are the same if their bytes are: one that was written twice within a tick of the file system's clock has
    one size and one time for both.
    """

    def __init__(self, section: GeodnsSection) -> None:
        self.section = section
        self._digest: bytes | None = None

    def has_changed(self) -> bool:
        """Whether the file is another one than at the last `load`."""
        return bool(self.section.file) and self._digest != _digest(self.section.file)

    def load(self) -> Zone:
        """Raises ConfigError with every problem of the zone."""
        if self.section.file:  # before it is read: what is written meanwhile is seen the next time
            self._digest = _digest(self.section.file)
        return load(self.section)


async def reloading(source: Source, geo: Geo, responder: Responder, take: Callable[[Zone], None]) -> None:
    """Look for another zone and another map for ever, at intervals and when SIGHUP says so; `take` gets the zones."""
    called = asyncio.Event()
    with _hangup(called):
        while True:
            try:
                async with asyncio.timeout(source.section.reload_seconds):
                    await called.wait()
            except TimeoutError:
                pass
            is_called = called.is_set()
            called.clear()
            if await asyncio.to_thread(geo.check):
                responder.forget()
            if source.section.file and (is_called or await asyncio.to_thread(source.has_changed)):
                await _load(source, take)


async def _load(source: Source, take: Callable[[Zone], None]) -> None:
    try:
        zone = await asyncio.to_thread(source.load)
    except ConfigError as error:
        log.error("the previous zone stays in use: %s", error)  # noqa: TRY400  (the operator's mistake, not ours)
        return
    take(zone)
    log.info("zone %s taken up anew", source.section.zone)


@contextmanager
def _hangup(called: asyncio.Event) -> Iterator[None]:
    """SIGHUP sets the event while the block lasts, where this process may have signals at all."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGHUP, called.set)
    except (ValueError, RuntimeError, NotImplementedError):  # not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _digest(path: str) -> bytes | None:
    try:
        with Path(path).expanduser().open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None
