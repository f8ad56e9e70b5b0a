"""Telling one target: a reader fills a bounded queue with batches, a sender empties it, and nobody else waits."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg

from pastebin.backoff import Backoff
from pastebin.cdn import parcels
from pastebin.cdn.parcels import Parcel
from pastebin.cdn.targets import (
    Batch,
    Target,
    TargetBehind,
    TargetBusy,
    TargetError,
    TargetRefused,
)
from pastebin.errors import PastebinError
from pastebin.metrics import Metrics
from pastebin.sections import CdnSection
from pastebin.services.purging import Purging
from pastebin.store.batching import Batcher
from pastebin.store.cursors import Claim, Confirmation, Cursors
from pastebin.store.dead_letters import DeadLetters, Letter
from pastebin.store.feed import Feed, Head

log = logging.getLogger(__name__)

_PARCELS = 4
_PUSHES = 64
_ROWS = (200, 4000)
FIRST_PAUSE_SECONDS = 0.1
_LETTERS_SECONDS = 2.0
# A lease of the edge begins with the second message: it has to hear what was asked after it had answered.
_QUICK_BEATS = 2
_IDLE_CONFIRM_SECONDS = 20.0
# Who was told for so long without being behind is as well as any other.
_STEADY_SECONDS = 60.0
_DATABASE = (PastebinError, asyncpg.PostgresError)


class ClaimLost(Exception):
    """Another worker has the target now."""


class Heads:
    """How far the feed reaches, as this process knows it; whoever wants to know more waits for the next one.

    Setting `wanted` has the database asked at once.
    """

    def __init__(self) -> None:
        self.latest: Head | None = None
        self.wanted = asyncio.Event()
        self._news = asyncio.Event()

    def show(self, head: Head) -> None:
        self.latest = head
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def next(self, seconds: float) -> None:
        """Return when there is another head, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()


@dataclass(frozen=True)
class Desk:
    """What all deliveries of a worker share."""

    feed: Feed
    heads: Heads
    cursors: Cursors
    confirms: Batcher[Confirmation, bool]
    letters: DeadLetters
    purging: Purging
    section: CdnSection
    beat_seconds: float
    metrics: Metrics


@dataclass
class Delivery:
    """Tells one target everything, in order, for as long as this worker has it.

    Whatever the target does, or its code, is met with patience: only the loss of the claim ends a delivery.
    """

    target: Target
    claim: Claim
    desk: Desk
    soft: bool = False
    _pushes: asyncio.Queue[tuple[str, ...]] = field(init=False)
    _confirmed: tuple[str, int] = field(init=False)
    _is_failing: bool = field(init=False, default=True)  # an earlier worker may have noted so
    _behinds: int = field(init=False, default=0)
    _behind_at: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self._pushes = asyncio.Queue(_PUSHES)
        self._confirmed = (self.claim.epoch, self.claim.confirmed)

    async def run(self) -> None:
        """Return when the claim is lost."""
        name = self.target.name
        epoch, sequence = self._confirmed
        is_lost = False
        while not is_lost:
            try:
                await self._tell(epoch, sequence)
            except* ClaimLost:
                log.info("target %s has another worker", name)
                is_lost = True
            except* TargetBehind as group:
                behind = _first(group)
                log.info("target %s is behind: %s", name, behind)
                epoch, sequence = behind.epoch, behind.sequence
                await self._be_patient(behind)
            except* Exception:  # one target's trouble, even a mistake in its code, must not become that of the others
                log.exception("telling target %s failed", name)
                epoch, sequence = self._confirmed
                await asyncio.sleep(self.desk.section.retry_max_seconds)

    async def _be_patient(self, behind: TargetBehind) -> None:
        """Return at once the first time; who goes on lacking something may be several edges behind one address."""
        now = asyncio.get_running_loop().time()
        self._behinds = self._behinds + 1 if now - self._behind_at < _STEADY_SECONDS else 0
        if self._behinds:
            if self._behinds == 1:
                log.warning("target %s is behind again: %s", self.target.name, behind)
            self._count(behind)
            await self._note_failure(f"is behind again and again: {behind}")
            await asyncio.sleep(self._backoff(self._behinds))
        self._behind_at = asyncio.get_running_loop().time()

    async def _note_failure(self, reason: str) -> None:
        self._is_failing = True
        with suppress(*_DATABASE):
            await self.desk.cursors.fail(self.claim, reason)

    async def _tell(self, epoch: str, sequence: int) -> None:
        queue: asyncio.Queue[Parcel] = asyncio.Queue(_PARCELS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(queue, epoch, sequence), name=f"reading for {self.target.name}")
            tasks.create_task(self._send(queue), name=f"sending to {self.target.name}")
            tasks.create_task(self._repeat_letters(), name=f"letters to {self.target.name}")
            tasks.create_task(self._push(), name=f"pushing to {self.target.name}")

    async def _read(self, queue: asyncio.Queue[Parcel], epoch: str, position: int) -> None:
        """Put everything behind `position` into the queue, then what comes."""
        heads, beats, beat_at = self.desk.heads, 0, 0.0
        loop = asyncio.get_running_loop()
        began = loop.time()
        told = position  # what the last parcel reached; behind it there may be numbers of no interest
        heads.wanted.set()
        known_at = began
        while True:
            head = heads.latest
            if head is None or head.asked_at < began:  # another worker may have told more than we know of
                await heads.next(self.desk.section.poll_seconds)
                continue
            if epoch != head.epoch or position + 1 < head.floor or position > head.sequence:
                if epoch and head.asked_at < known_at:
                    # another worker has numbered more since, or begun another feed; that is no reason to flush
                    await heads.next(self.desk.section.poll_seconds)
                    continue
                await queue.put(parcels.flush(head))
                epoch, position, told = head.epoch, head.sequence, head.sequence
            elif head.told > position:
                found = await self._stretch(head, position, told)
                if found is None:
                    await heads.next(self.desk.section.poll_seconds)
                    continue
                position, known_at = found[0], loop.time()
                for parcel in found[1]:
                    await queue.put(parcel)
                    told = parcel.batch.sequence
            else:
                pause = beat_at - loop.time()
                if pause > 0 or not queue.empty():
                    await heads.next(max(pause, 0.01))
                    continue
                await queue.put(parcels.heartbeat(head, told))
                position = told = max(position, head.sequence)
                beats += 1
            beat_at = loop.time() + self._pause(beats)

    def _pause(self, beats: int) -> float:
        if not self.target.limits.wants_heartbeats:
            return _IDLE_CONFIRM_SECONDS
        return self.desk.section.poll_seconds if beats < _QUICK_BEATS else self.desk.beat_seconds

    async def _stretch(self, head: Head, position: int, told: int) -> tuple[int, Sequence[Parcel]] | None:
        """How far was read, and what to send; None if it cannot be told now."""
        keys = min(self.target.limits.keys_per_call, self.desk.section.batch_keys)
        least, most = _ROWS
        try:
            stretch = await self.desk.feed.read(position, min(max(least, 4 * keys), most))
        except _DATABASE as error:
            log.warning("the feed cannot be read: %s", error)
            return None
        if stretch.epoch != head.epoch or position + 1 < stretch.floor:
            return None  # the next head says so, too
        return stretch.until, parcels.cut(stretch, head, told, keys_per_call=keys, soft=self.soft)

    async def _send(self, queue: asyncio.Queue[Parcel]) -> None:
        while True:
            parcel = await queue.get()
            batch = parcel.batch
            if not batch.is_heartbeat or self.target.limits.wants_heartbeats:
                await self._deliver(batch)
            await self._confirm(batch)
            self.desk.metrics.purges_sent.labels(self.target.name).inc(len(batch.keys))
            if parcel.oldest is not None:
                seconds = max(time.time() - parcel.oldest.timestamp(), 0.0)
                self.desk.metrics.purge_latency.labels(self.target.name).observe(seconds)
            if parcel.pushes and not self._pushes.full():
                self._pushes.put_nowait(parcel.pushes)

    async def _deliver(self, batch: Batch) -> None:
        """Return when the target knows the batch, or what it refuses of it was put aside. Raises TargetBehind."""
        failures = 0
        while True:
            try:
                await self._call(batch)
            except TargetBehind:
                raise
            except TargetRefused as refusal:
                if refusal.keys and not batch.flush:
                    await self._put_aside(batch, refusal)
                    return
                failure: TargetError = refusal
            except TargetError as error:
                failure = error
            else:
                return
            self._count(failure)
            seconds = self._backoff(failures)
            if isinstance(failure, TargetBusy):
                seconds = max(seconds, failure.retry_after_seconds)
            if not failures:
                log.warning("target %s: %s", self.target.name, failure)
            failures += 1
            await self._note_failure(str(failure))
            await asyncio.sleep(seconds)

    async def _call(self, batch: Batch) -> None:
        """One attempt; whatever the target's own deadline is, it has an end."""
        try:
            async with asyncio.timeout(2 * self.desk.section.request_timeout_seconds):
                await self.target.purge(batch)
        except TimeoutError:
            raise TargetError("does not answer") from None

    async def _put_aside(self, batch: Batch, refusal: TargetRefused) -> None:
        """Let what was refused wait for itself. Raises ClaimLost."""
        self._count(refusal)
        log.warning("target %s refuses %d keys: %s", self.target.name, len(refusal.keys), refusal)
        keys = [key for key in refusal.keys if key in batch.keys]
        urls = [url for url in refusal.keys if url in batch.urls]
        while True:
            try:
                is_ours = await self.desk.letters.put_aside(
                    self.target.name,
                    self.claim.fence,
                    keys,
                    urls,
                    sequence=batch.sequence,
                    error=str(refusal),
                    delay_seconds=self._backoff(0),
                )
            except _DATABASE as error:
                log.warning("what target %s refuses cannot be kept yet: %s", self.target.name, error)
                await asyncio.sleep(self.desk.section.poll_seconds)
            else:
                break
        if not is_ours:
            raise ClaimLost

    async def _confirm(self, batch: Batch) -> None:
        """Move the cursor. Raises ClaimLost."""
        reached = (batch.epoch, batch.sequence)
        if reached == self._confirmed and not self._is_failing:
            return
        confirmation = Confirmation(self.target.name, self.claim.fence, *reached)
        while True:
            try:
                is_ours = await self.desk.confirms.submit(confirmation, 128)
            except _DATABASE as error:
                log.warning("what target %s knows cannot be noted yet: %s", self.target.name, error)
                await asyncio.sleep(self.desk.section.poll_seconds)
            else:
                break
        if not is_ours:
            raise ClaimLost
        self._confirmed, self._is_failing = reached, False
        self.desk.purging.moved()

    async def _repeat_letters(self) -> None:
        """Try again what was refused, until it is taken or has been refused too often."""
        while True:
            await asyncio.sleep(_LETTERS_SECONDS * (0.5 + random.random()))  # noqa: S311  (jitter, not a secret)
            try:
                for letter in await self.desk.letters.due(self.target.name):
                    await self._repeat(letter)
            except _DATABASE as error:
                log.warning("the dead letters cannot be read: %s", error)

    async def _repeat(self, letter: Letter) -> None:
        epoch, _ = self._confirmed
        batch = Batch(epoch, letter.sequence, letter.sequence, letter.keys, letter.urls)
        try:
            await self._call(batch)
        except TargetRefused as refusal:
            self._count(refusal)
            keys = [key for key in letter.keys if key in refusal.keys]
            urls = [url for url in letter.urls if url in refusal.keys]
            delay = self._backoff(letter.attempts)
            attempts = self.desk.section.attempts
            if await self.desk.letters.again(letter, keys, urls, str(refusal), delay, attempts):
                log.warning("target %s has refused %d keys for the last time", self.target.name, len(keys))
        except TargetError as error:
            self._count(error)
            await self.desk.letters.delay([letter], self._backoff(letter.attempts))
        else:
            await self.desk.letters.done(letter)
            self.desk.purging.moved()

    async def _push(self) -> None:
        """Have hot pastes fetched ahead. Nobody misses what fails: it is fetched when it is asked for."""
        while True:
            urls = await self._pushes.get()
            size = max(self.target.limits.urls_per_call, 1)
            for start in range(0, len(urls), size):
                try:
                    async with asyncio.timeout(2 * self.desk.section.request_timeout_seconds):
                        await self.target.push(urls[start : start + size])
                except (TargetError, TimeoutError) as error:
                    log.info("target %s was not pushed to: %s", self.target.name, error)

    def _backoff(self, failures: int) -> float:
        return Backoff(FIRST_PAUSE_SECONDS, self.desk.section.retry_max_seconds).pause_seconds(failures + 1)

    def _count(self, failure: TargetError) -> None:
        self.desk.metrics.purge_failures.labels(self.target.name, _outcome(failure)).inc()


def _outcome(failure: TargetError) -> str:
    if isinstance(failure, TargetRefused):
        return "refused"
    if isinstance(failure, TargetBehind):
        return "behind"
    return "busy" if isinstance(failure, TargetBusy) else "unreachable"


def _first(group: BaseExceptionGroup[TargetBehind]) -> TargetBehind:
    """One of those inside, however deep."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group is never empty")
