"""The cache of one edge: small answers in memory, large ones on disk, both bounded in bytes, found by one index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from multidict import CIMultiDictProxy, MultiMapping

from pastebin.cdn.admission import Admission
from pastebin.cdn.figures import Figures
from pastebin.cdn.generations import Generations
from pastebin.cdn.index import Index
from pastebin.cdn.objects import MOST_FREQUENT, DiskBody, Stored
from pastebin.cdn.variants import Variant
from pastebin.cdn.writer import Draft, Writer
from pastebin.positions import Position
from pastebin.sections import EdgeSection

if TYPE_CHECKING:
    from pastebin.cdn.freshness import Policy

_WRITERS_SHARE = 4  # writers hold a quarter of the memory at most


class Cache:
    """Stored responses by key and variant. Everything but bodies on disk is in memory and answered at once.

    A response that is purged, evicted, refreshed or replaced is found no more from that moment on, and its `alive` is
    False. Deliveries that have begun go on. Open it with `opened`.
    """

    def __init__(self, section: EdgeSection, generations: Generations, figures: Figures) -> None:
        self._section = section
        self._generations = generations
        self._figures = figures
        self._index = Index(section.max_variants)
        self._memory: Admission[Stored] = Admission(section.memory_bytes)
        figures.watch_tier("memory", lambda: len(self._memory), lambda: self._memory.used + self._memory.reserved)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, section: EdgeSection, directory: Path, generations: Generations, figures: Figures
    ) -> AsyncIterator[Cache]:
        """A cache whose disk tier is in `directory`. Raises DataDirectoryUnusable."""
        yield cls(section, generations, figures)

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
            memory_bytes=self._section.memory_object_bytes,
            max_bytes=self._section.max_object_bytes,
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
        tags = stored.tags if tags is None else tags
        if not stored.alive or self._is_overtaken(stored.key, stored.tags | tags, born):
            return None
        fresh = replace(
            stored, headers=headers, policy=policy, responded_at=responded_at, born=born, tags=tags, seen=seen,
            soft_purged=False, attached=None,
        )  # fmt: skip
        return fresh if self._exchange(stored, fresh) else None

    async def read(self, stored: Stored, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes of a body from `start` on. Raises StoredDamaged before any byte that is not what was written."""
        stop = stored.size if length is None else min(stored.size, start + length)
        if isinstance(stored.body, bytes) and start < stop:
            yield stored.body[start:stop]

    def purge(self, tags: Iterable[str], *, soft: bool = False) -> int:
        """Remove, or mark stale, whatever has one of these surrogate keys; the number of responses that were hit.

        Whoever calls has moved the purge clock in the same breath: `Generations.purge`.
        """
        found = self._index.of_tags(tags)
        for stored in found:
            if soft:
                self._exchange(stored, replace(stored, soft_purged=True, attached=None))
            else:
                self._bury(stored, remember=True)
        return len(found)

    def drop(self, key: str) -> int:
        """Remove every variant of an address (RFC 9111 section 4.4); nothing asked for before will be stored."""
        self._generations.purge((_mark(key),), None)
        found = self._index.of_key(key)
        for stored in found:
            self._bury(stored, remember=True)
        return len(found)

    def flush(self) -> None:
        """Remove everything, and let nothing be stored that was asked for before."""
        self._generations.flush()
        for stored in self._index:
            stored.alive = False
            stored.attached = None
        self._index.clear()
        self._memory.clear()

    def charge(self, stored: Stored, extra: int) -> None:
        """Count `extra` bytes of memory for what is attached to a response; they end with it."""
        self._evict(self._memory.recost(stored, extra))

    def reserve_memory(self, size: int) -> bool:
        """Set memory aside for a writer; False if writers hold as much as they may."""
        victims = self._memory.reserve(size, self._memory.capacity // _WRITERS_SHARE)
        self._evict(victims or ())
        return victims is not None

    def release_memory(self, size: int) -> None:
        """Give back what was set aside."""
        self._memory.release(size)

    def unkept(self, reason: str) -> None:
        """Count a response that could have been stored but was not."""
        self._figures.unkept.labels(reason).inc()

    async def publish(self, draft: Draft, body: bytes | DiskBody) -> Stored | None:
        """Make a finished response visible; None if a purge has overtaken it or there is no room."""
        if self._is_overtaken(draft.key, draft.tags, draft.born):
            self.unkept("overtaken")
            return None
        stored = draft.stored(body)
        return stored if self._enter(stored) else None

    def _enter(self, stored: Stored) -> bool:
        superfluous = self._index.superfluous(stored.key, stored.variant)
        if superfluous is not None:
            self._evict((superfluous,))
        old = self._index.get(stored.key, stored.variant)
        victims = self._memory.admit(stored) if old is None else self._memory.replace(old, stored)
        if victims is None:
            self.unkept("room")
            return False
        if old is not None:
            _die(old)
        self._index.add(stored)
        self._evict(victims)
        return stored.alive

    def _exchange(self, old: Stored, new: Stored) -> bool:
        """Let `new`, which has the same body, stand for `old`; if there is no room for it nothing stands there."""
        victims = self._memory.replace(old, new)
        if victims is None:
            self._bury(old)
            return False
        _die(old)
        self._index.add(new)
        self._evict(victims)
        return new.alive

    def _evict(self, victims: Iterable[Stored]) -> None:
        for stored in victims:
            self._figures.evictions.labels("memory").inc()
            self._bury(stored)

    def _bury(self, stored: Stored, *, remember: bool = False) -> None:
        self._index.remove(stored)
        self._memory.remove(stored, remember=remember)
        _die(stored)

    def _is_overtaken(self, key: str, tags: Collection[str], born: int) -> bool:
        return self._generations.is_overtaken({*tags, _mark(key)}, born)


def _die(stored: Stored) -> None:
    stored.alive = False
    stored.attached = None


def _mark(key: str) -> str:
    """How the purge clock knows an address: no surrogate key has a space in it."""
    return f" {key}"
