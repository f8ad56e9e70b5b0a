"""Caches in a directory, and what is put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy
from prometheus_client import CollectorRegistry

from pastebin.cdn.cache import Cache
from pastebin.cdn.figures import Figures
from pastebin.cdn.freshness import Policy
from pastebin.cdn.generations import Generations
from pastebin.cdn.objects import DiskBody, Stored
from pastebin.cdn.variants import Variant
from pastebin.cdn.writer import Writer
from pastebin.sections import EdgeSection

HOUR = Policy(lifetime=3600.0, initial_age=0.0)
NOTHING: CIMultiDict[str] = CIMultiDict()


@dataclass
class Shelf:
    """A cache, and everything around it that a test looks at."""

    cache: Cache
    generations: Generations
    registry: CollectorRegistry
    directory: Path

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"pastebin_edge_{name}", labels) or 0.0

    def writer(
        self,
        key: str,
        size: int | None,
        *,
        tags: Iterable[str] = (),
        variant: Variant = (),
        headers: dict[str, str] | None = None,
        responded_at: float = 1_000_000.0,
        born: int | None = None,
        sha256: bytes | None = None,
    ) -> Writer:
        return self.cache.writer(
            key,
            variant,
            200,
            CIMultiDictProxy(CIMultiDict({"Content-Type": "text/plain"} if headers is None else headers)),
            HOUR,
            responded_at=responded_at,
            tags=frozenset(tags),
            born=self.generations.clock if born is None else born,
            size=size,
            sha256=sha256,
        )

    async def put(self, key: str, body: bytes, **options: Any) -> Stored | None:
        """Store a response whose size is known and whose body comes in pieces."""
        async with self.writer(key, len(body), **options) as writer:
            for start in range(0, len(body), 50_000):
                await writer.write(body[start : start + 50_000])
            return await writer.commit()

    async def kept(self, key: str, body: bytes, **options: Any) -> Stored:
        """Store a response that has to be stored."""
        stored = await self.put(key, body, **options)
        assert stored is not None
        return stored

    def find(self, key: str, **headers: str) -> Stored | None:
        return self.cache.find(key, CIMultiDict(headers))

    async def body(self, stored: Stored, start: int = 0, length: int | None = None) -> bytes:
        return b"".join([bytes(chunk) async for chunk in self.cache.read(stored, start, length)])

    def purge(self, *tags: str, soft: bool = False) -> int:
        self.generations.purge(tags, None)
        return self.cache.purge(tags, soft=soft)

    async def settled(self) -> None:
        """Wait until removed files are gone."""
        assert self.cache._disk is not None
        await self.cache._disk.chores.settled()

    def files(self) -> list[Path]:
        return sorted((self.directory / "objects").iterdir())

    def taken(self) -> int:
        """Bytes in its files. They come and go meanwhile."""
        total = 0
        for path in self.files():
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total


def path_of(stored: Stored) -> Path:
    """Where a body on disk lies."""
    assert isinstance(stored.body, DiskBody)
    return Path(stored.body.path)


@asynccontextmanager
async def opened(directory: Path, **options: Any) -> AsyncIterator[Shelf]:
    """A cache with little room for which everything beyond 1000 bytes is large."""
    limits = {"memory_bytes": 4 * 1024**2, "memory_object_bytes": 1000, "disk_bytes": 16 * 1024**2, "min_free_bytes": 0}
    section = EdgeSection(**{**limits, **options})
    generations = Generations(section.tombstone_seconds)
    registry = CollectorRegistry()
    async with Cache.opened(section, directory, generations, Figures(registry)) as cache:
        yield Shelf(cache, generations, registry, directory)
