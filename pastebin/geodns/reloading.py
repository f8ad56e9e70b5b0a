"""Another zone, other keys or another map are taken up while answers go on; what is wrong is not."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from pastebin.errors import ConfigError, Problem
from pastebin.geo import Geo
from pastebin.geodns.answers import Answers
from pastebin.geodns.responding import Responder
from pastebin.geodns.signing import Signatures, Signing, published
from pastebin.geodns.zone import Zone
from pastebin.geodns.zone import load as read_zone
from pastebin.sections_regions import GeodnsSection, RegionSection
from pastebin.steering import Steering

log = logging.getLogger(__name__)


class Source:
    """The files that answers are made of, and which they were at the last time. Blocks.

    Two files are the same if their bytes are: one that was written twice within a tick of the file system's clock has
    one size and one time for both. `wanted` are the regions that come with the next zone that can be served.
    """

    def __init__(self, section: GeodnsSection, regions: Mapping[str, RegionSection]) -> None:
        self.section = section
        self.regions = self.wanted = regions
        self._digests: list[bytes | None] = []

    def has_changed(self) -> bool:
        """Whether a file is another one than at the last `load`."""
        return self._digests != self._present()

    def load(self, regions: Mapping[str, RegionSection] | None = None) -> Answers:
        """With these regions from now on, or those that are wanted already.

        Raises ConfigError with every problem of the zone and its keys; until there is another the regions stay.
        """
        self.wanted = regions = self.wanted if regions is None else regions
        self._digests = self._present()  # before they are read: what is written meanwhile is seen the next time
        zone, signatures = load(self.section)
        for notice in zone.notices:
            log.warning("%s", notice)
        addresses = {name: table.addresses for name, table in regions.items()}
        answers = Answers(zone, addresses, self.section.ttl_seconds, signatures)
        if signatures is not None:
            answers.sign(time.time())
        self.regions = regions
        return answers

    def _present(self) -> list[bytes | None]:
        return [_digest(path) for path in (self.section.file, *self.section.dnssec_keys) if path]


def load(section: GeodnsSection) -> tuple[Zone, Signatures | None]:
    """The zone, and what signs it. Blocks. Raises ConfigError with every problem of either."""
    problems: list[Problem] = []
    zone = keys = None
    try:
        zone = read_zone(section)
    except ConfigError as error:
        problems += error.problems
    try:
        keys = read_keys(section)
    except ConfigError as error:
        problems += error.problems
    if zone is None or keys is None:
        raise ConfigError(problems)
    return (published(zone, keys), Signatures(zone.origin, keys)) if keys else (zone, None)


def read_keys(section: GeodnsSection) -> Sequence[Signing]:
    """The keys of the zone; none for a zone that is not signed. Raises ConfigError."""
    if not section.dnssec_keys:
        return ()
    found: Sequence[Signing] = keys_module().load(section.dnssec_keys)
    return found


def keys_module() -> Any:
    """What makes and reads keys; only those who have any need its library. Raises ConfigError without it."""
    try:
        return import_module("pastebin.geodns.keys")
    except ModuleNotFoundError as error:
        need = f"needs {error.name}, which is not installed; try: pip install 'pastebin[dnssec]'"
        raise ConfigError([Problem("geodns.dnssec_keys", need)]) from error


async def reloading(
    source: Source,
    geo: Geo,
    responder: Responder,
    called: asyncio.Event,
    reread: Callable[[], Mapping[str, RegionSection]],
    take: Callable[[Mapping[str, RegionSection]], None],
) -> None:
    """Look for another zone and another map for ever, at intervals and when `called`; renew signatures.

    When `called`, the regions are read again too, by `reread`, which blocks and raises ConfigError; `take` is given
    those that are others.
    """
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
        if is_called or await asyncio.to_thread(source.has_changed):
            await _load(source, responder, reread if is_called else lambda: source.wanted, take)
        responder.renew(time.time())


async def _load(
    source: Source,
    responder: Responder,
    reread: Callable[[], Mapping[str, RegionSection]],
    take: Callable[[Mapping[str, RegionSection]], None],
) -> None:
    before = source.regions
    try:
        regions = await asyncio.to_thread(reread)
        steering = Steering(regions) if regions != before else responder.facts.steering
        answers = await asyncio.to_thread(source.load, regions)
    except ConfigError as error:
        log.error("the previous zone and regions stay in use: %s", error)  # noqa: TRY400  (the operator's mistake, not ours)
        return
    responder.take(replace(responder.facts, answers=answers, steering=steering))
    if regions != before:
        take(regions)
        log.info("regions taken up anew: %s", ", ".join(regions))
    log.info("zone %s taken up anew", source.section.zone)


@contextmanager
def hangup() -> Iterator[asyncio.Event]:
    """An event that SIGHUP sets while the block lasts, where this process may have signals at all."""
    called = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGHUP, called.set)
    except (ValueError, RuntimeError, NotImplementedError):  # not the main thread
        yield called
        return
    try:
        yield called
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _digest(path: str) -> bytes | None:
    try:
        with Path(path).expanduser().open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None
