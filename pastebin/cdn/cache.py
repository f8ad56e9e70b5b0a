"""The cache of one edge: small answers in memory, large ones on disk, both bounded in bytes, found by one index."""

from __future__ import annotations

import errno
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from multidict import CIMultiDictProxy, MultiMapping

from pastebin.cdn.arrivals import Arrivals
from pastebin.cdn.burials import Burials
from pastebin.cdn.chores import FeedState
from pastebin.cdn.disk import Disk
from pastebin.cdn.figures import Figures
from pastebin.cdn.freshness import Policy
from pastebin.cdn.generations import Generations
from pastebin.cdn.index import Index
from pastebin.cdn.objects import MOST_FREQUENT, DiskBody, Stored
from pastebin.cdn.records import with_trailer
from pastebin.cdn.restart import Restart
from pastebin.cdn.restoring import Leftover
from pastebin.cdn.spool import ClosedFile, Damaged, Part
from pastebin.cdn.tiers import Tiers
from pastebin.cdn.variants import Variant
from pastebin.cdn.writer import Draft, Writer
from pastebin.errors import StoredDamaged
from pastebin.http.outlets import Piece
from pastebin.positions import Position
from pastebin.sections import EdgeSection

_CLOCK_SECONDS = 60.0  # what is from further in the future was written by another clock


class Cache:
    """Stored responses by key and variant. Everything but bodies on disk is in memory and answered at once.

    A response that is purged, evicted, refreshed or replaced is found no more from that moment on, and its `alive` is
    False. Deliveries that have begun go on. Open it with `opened`.
    """

    def __init__(self, section: EdgeSection, generations: Generations, figures: Figures, disk: Disk | None) -> None:
        self._section = section
        self._generations = generations
        self._figures = figures
        self._disk = disk
        self._identity = disk.identity if disk is not None else secrets.token_hex(4)
        self._index = Index(section.max_variants)
        self._tiers = Tiers(section, figures)
        self._arrivals = Arrivals(lambda stored: self._is_overtaken(stored, stored.born), self.unkept)
        self._restart = Restart(section, disk)
        self._burials = Burials(self._take_out)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, section: EdgeSection, directory: Path, generations: Generations, figures: Figures
    ) -> AsyncIterator[Cache]:
        """A cache whose disk tier is in `directory`; what an earlier process left there turns up bit by bit.

        That is found again as it was, but not what `generations` says was purged since. Raises DataDirectoryUnusable.
        """
        async with AsyncExitStack() as stack:
            disk = None
            if section.disk_bytes:
                disk = await stack.enter_async_context(Disk.opened(directory, section.min_free_bytes, figures))
            cache = cls(section, generations, figures, disk)
            try:
                cache._tiers.expect(await cache._restart.begin(generations.clock, cache._take_over))
                yield cache
            finally:
                cache._restart.end()

    def find(self, key: str, headers: MultiMapping[str]) -> Stored | None:
        """What is stored for a request with these headers, fresh or not; counts as a use."""
        stored = self._index.find(key, headers)
        if stored is not None and stored.frequency < MOST_FREQUENT:
            stored.frequency += 1
        return stored

    def peek(self, key: str) -> list[Stored]:
        """Everything that is stored under an address, without counting as a use."""
        return self._index.of_key(key)

    def watch(self, on_change: Callable[[str], object]) -> None:
        """Have `on_change` called with every address at which something else is found from now on."""
        self._index.on_change = on_change

    def writer(
        self,
        key: str,
        variant: Variant,
        status: int,
        headers: CIMultiDictProxy[str],
        policy: Policy,
        *,
        responded_at: float,
        tags: frozenset[str],
        born: int,
        size: int | None,
        seen: Position | None = None,
        sha256: bytes | None = None,
    ) -> Writer:
        """Begin to store a response; `size` and `sha256` of the body where they are known. Opens nothing yet."""
        draft = Draft(key, variant, status, headers, policy, responded_at, tags, born, size, seen, sha256)
        return Writer(
            draft,
            self,
            self._disk if self._restart.allows_writing else None,
            memory_bytes=self._section.memory_object_bytes,
            max_bytes=min(
                self._section.max_object_bytes,
                max(self._section.memory_object_bytes, self._tiers.largest_on_disk),
            ),
        )

    def refresh(
        self,
        stored: Stored,
        headers: CIMultiDictProxy[str],
        policy: Policy,
        responded_at: float,
        born: int,
        *,
        tags: frozenset[str] | None = None,
        seen: Position | None = None,
    ) -> Stored | None:
        """What stands for `stored` after a 304 to a request that began at clock `born`.

        None, and nothing changed, if a purge has overtaken that request, or `stored` is not what stands there any more.
        """
        changed = replace(
            stored,
            headers=headers,
            policy=policy,
            responded_at=responded_at,
            born=born,
            tags=stored.tags if tags is None else tags,
            seen=seen,
            soft_purged=False,
            attached=None,
        )
        if not stored.alive or self._is_overtaken(stored, born) or self._is_overtaken(changed, born):
            return None
        return self._exchange(stored, changed)

    async def read(self, stored: Stored, start: int = 0, length: int | None = None) -> AsyncGenerator[Piece, None]:
        """The bytes of a body from `start` on. Raises StoredDamaged before any byte that is not what was written.

        A damaged response is removed. It is also raised where the body on disk has gone since it was found.
        """
        stop = stored.size if length is None else min(stored.size, start + length)
        if isinstance(stored.body, bytes):
            if start < stop:
                yield stored.body if stop - start == stored.size else stored.body[start:stop]
            return
        if self._disk is None:
            raise StoredDamaged
        try:
            async with aclosing(self._disk.read(stored.body, start, stop, self._tiers.hot)) as chunks:
                async for chunk in chunks:
                    self._evict(self._tiers.balance())
                    yield chunk
        except OSError as error:
            self._lose(stored, stored.body, error)
            raise StoredDamaged from error

    def purge(self, tags: Iterable[str], *, soft: bool = False) -> int:
        """Remove, or mark stale, whatever has one of these surrogate keys; the number of responses that were hit.

        Whoever calls has moved the purge clock in the same breath: `Generations.purge`.
        """
        tags = frozenset(tags)
        found = [stored for stored in self._index.of_tags(tags) if stored.alive]
        if soft:
            for stored in found:
                if stored.alive:  # else it made room for one that was marked before it
                    self._exchange(stored, replace(stored, soft_purged=True, attached=None))
        else:
            self._end(found)
            self._burials.add(found)
        self._end([stored for stored in self._arrivals if not tags.isdisjoint(stored.tags)])
        return len(found)

    def drop(self, key: str) -> int:
        """Remove every variant of an address (RFC 9111 section 4.4); nothing asked for before will be stored."""
        self._generations.purge((_mark(key),), None)
        found = self._index.of_key(key)
        for stored in found:
            self._bury(stored, remember=True)
        return len(found)

    def overtaken_at(self, key: str, tags: Iterable[str], since: int) -> int | None:
        """The first purge clock after `since` that hit this address or one of these keys; None if none did."""
        return self._generations.overtaken_at((*tags, _mark(key)), since)

    def flush(self) -> None:
        """Remove everything; nothing asked for before will be stored."""
        self._generations.flush()
        everything = (*self._index, *self._arrivals)
        self._tiers.clear()
        self._index.clear()
        self._burials.clear()
        self._end(everything)

    def charge(self, stored: Stored, extra: int) -> None:
        """Count `extra` bytes of memory for what is attached to a response; they end with it."""
        self._evict(self._tiers.charge(stored, extra))

    @property
    def identity(self) -> str:
        """What tells this cache from those of other processes; the same after a restart if there is a disk tier."""
        return self._identity

    def feed_state(self) -> FeedState | None:
        """Up to where the purge feed is known to have been applied to what is stored, by an earlier process perhaps.

        None: nothing is stored that a purge could have missed.
        """
        return self._restart.feed_state

    def note_feed(self, epoch: str, sequence: int) -> None:
        """Everything up to `sequence` has been applied; soon the disk will know, after what was removed for it."""
        self._restart.note_feed(FeedState(epoch, sequence))

    async def restored(self) -> None:
        """Wait until what an earlier process left has been looked through."""
        await self._restart.finished()

    # What writers ask for, by pastebin.cdn.writer.Keeper.

    def reserve_memory(self, size: int) -> bool:
        """Set memory aside for a writer; False if writers hold as much as they may."""
        victims = self._tiers.reserve_memory(size)
        self._evict(victims or ())
        return victims is not None

    def release_memory(self, size: int) -> None:
        """Give back what was set aside."""
        self._tiers.release_memory(size)

    def reserve_disk(self, size: int) -> bool:
        """Set room on disk aside for a writer; False if writers hold as much as they may."""
        victims = self._tiers.reserve_disk(size)
        self._evict(victims or ())
        return victims is not None

    def release_disk(self, size: int) -> None:
        """Give back what was set aside."""
        self._tiers.release_disk(size)

    async def disk_settled(self) -> None:
        """Wait until files that were removed have really gone, if their room is needed."""
        if (
            self._disk is not None
            and self._tiers.disk_bytes + self._disk.chores.leaving_bytes > self._section.disk_bytes
        ):
            await self._disk.chores.settled()

    def unkept(self, reason: str) -> None:
        """Count a response that could have been stored but was not."""
        self._figures.unkept.labels(reason).inc()

    def publish(self, draft: Draft, body: bytes) -> Stored | None:
        """Make a finished response visible; None if a purge has overtaken it or there is no room."""
        stored = draft.stored(body)
        if self._is_overtaken(stored, stored.born):
            self.unkept("overtaken")
            return None
        return self._enter(stored)

    async def publish_part(self, draft: Draft, part: Part, reserved: int) -> Stored | None:
        """Likewise for a body in a file, for which `reserved` bytes were set aside."""
        if self._disk is None:
            return None
        try:
            stored = await self._arrivals.arrive(self._disk, draft, part)
        finally:
            self._tiers.release_disk(reserved)
        return None if stored is None else self._enter(stored)

    def _take_over(self, batch: Sequence[tuple[Leftover, Stored | None]]) -> None:
        for leftover, stored in batch:
            self._tiers.release_disk(leftover.size)
            if stored is not None and self._may_return(stored):
                self._enter(stored, is_known=True)
            elif self._disk is not None:
                self._disk.chores.remove((leftover.path,), leftover.size)

    def _may_return(self, stored: Stored) -> bool:
        return (
            self._index.get(stored.key, stored.variant) is None
            and not self._is_overtaken(stored, stored.born)
            and stored.responded_at <= time.time() + _CLOCK_SECONDS
        )

    def _enter(self, stored: Stored, *, is_known: bool = False) -> Stored | None:
        """Make it visible in place of whatever is there; None if there is no room: then nothing is there."""
        superfluous = self._index.superfluous(stored.key, stored.variant)
        if superfluous is not None:
            self._evict((superfluous,))
        old = self._index.get(stored.key, stored.variant)
        victims = self._tiers.admit(stored, old, is_known=is_known)
        if victims is None:
            self.unkept("room")
            self._end((stored,))
            if old is not None:
                self._bury(old)
            return None
        self._index.add(stored)
        if old is not None:
            self._bury(old)
        self._evict(victims)
        return stored if stored.alive else None

    def _exchange(self, old: Stored, new: Stored) -> Stored | None:
        """Let `new`, which has the same body, stand for `old`; None if there is no room for it: then nothing does."""
        trailer = b""
        if isinstance(new.body, DiskBody):
            new, trailer = with_trailer(new, new.body)
        victims = self._tiers.admit(new, old)
        if victims is None:
            self._bury(old)
            return None
        self._index.add(new)
        _die(old)
        if self._disk is not None and isinstance(new.body, DiskBody):
            self._disk.chores.rewrite(new.body.path, new.size, trailer)
        self._evict(victims)
        return new if new.alive else None

    def _evict(self, victims: Iterable[Stored]) -> None:
        for stored in victims:
            self._figures.evictions.labels("disk" if stored.on_disk else "memory").inc()
            self._bury(stored)

    def _bury(self, stored: Stored, *, remember: bool = False) -> None:
        self._take_out(stored, remember=remember)
        self._end((stored,))

    def _take_out(self, stored: Stored, *, remember: bool = True) -> None:
        self._index.remove(stored)
        self._tiers.remove(stored, remember=remember)
        if isinstance(stored.body, DiskBody):
            self._tiers.hot.forget(stored.body)

    def _end(self, ended: Sequence[Stored]) -> None:
        """They count no more, and their bodies go with them. What was ended before, or by a purge, is passed over."""
        bodies = [stored.body for stored in ended if stored.alive and isinstance(stored.body, DiskBody)]
        for stored in ended:
            _die(stored)
        if self._disk is not None and bodies:
            self._disk.chores.remove([body.path for body in bodies], sum(body.file_bytes for body in bodies))

    def _lose(self, stored: Stored, body: DiskBody, error: OSError) -> None:
        """A body could not be read: unless it went for good reasons, that is the end of whatever has it."""
        current = self._index.get(stored.key, stored.variant)
        if current is None or not isinstance(current.body, DiskBody) or current.body.path != body.path:
            return
        if isinstance(error, Damaged | FileNotFoundError):
            self._figures.damaged.inc()
            self._bury(current)
        elif self._disk is not None and not isinstance(error, ClosedFile):
            self._disk.note_error(error)
            if error.errno == errno.EIO:
                self._bury(current)

    def _is_overtaken(self, stored: Stored, born: int) -> bool:
        return self._generations.is_overtaken((*stored.tags, _mark(stored.key)), born)


def _die(stored: Stored) -> None:
    stored.alive = False
    stored.attached = None


def _mark(key: str) -> str:
    """How the purge clock knows an address: no surrogate key has a space in it."""
    return f" {key}"
