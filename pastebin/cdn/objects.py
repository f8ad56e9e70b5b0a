"""What the edge keeps: one stored response, where its body lies, and whether it still counts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from multidict import CIMultiDictProxy

from pastebin.cdn.freshness import Policy
from pastebin.cdn.variants import Variant
from pastebin.positions import Position

MOST_FREQUENT = 3  # the counter of S3-FIFO has two bits

# Bytes of memory beside the text itself, measured on CPython 3.11 (a test compares the sum with tracemalloc).
_OBJECT_OVERHEAD = 1600
_HEADER_OVERHEAD = 192
_TAG_OVERHEAD = 360


@dataclass(slots=True, eq=False)
class DiskBody:
    """A body in a file: `checksums` are the CRC-32 of its blocks, 4 bytes each, the last block may be short."""

    path: str
    size: int
    checksums: bytes
    file_bytes: int  # the body and what is kept about it


@dataclass(slots=True, eq=False)
class Stored:
    """One stored response. It never changes but for `alive`, `frequency` and what is attached to it.

    Identity is equality: a response that is refreshed, marked stale or replaced is another object from then on, and
    `alive` of the old one is False for ever. Whoever prepares something from it may keep that while `alive` holds.
    """

    key: str
    variant: Variant
    status: int
    headers: CIMultiDictProxy[str]
    policy: Policy
    responded_at: float  # wall clock, seconds
    tags: frozenset[str]
    born: int  # Generations.clock when its fetch, or its last revalidation, began
    size: int  # of the body, bytes
    body: bytes | DiskBody = field(repr=False)
    soft_purged: bool = False
    seen: Position | None = None  # whoever is there has seen all that it shows; None: the origin did not say

    alive: bool = True
    frequency: int = 0  # of S3-FIFO: 0 to 3
    attached: Any = None  # belongs to the short cut; given up when the object dies
    ticket: int = 0  # its place in the queues of S3-FIFO; 0: none
    cost: int = 0  # bytes that it is counted with in its tier
    footprint: int = 0  # bytes of memory it takes whatever the tier
    ghost: int = field(default=0, repr=False)  # how S3-FIFO remembers it when it is gone

    def __post_init__(self) -> None:
        self.ghost = hash((self.key, self.variant))
        self.footprint = footprint(self.key, self.variant, self.headers, self.tags)
        if isinstance(self.body, DiskBody):
            self.footprint += len(self.body.checksums) + len(self.body.path)
            self.cost = self.body.file_bytes
        else:
            self.cost = self.footprint + len(self.body)

    @property
    def on_disk(self) -> bool:
        """Whether the body lies in a file."""
        return isinstance(self.body, DiskBody)


def touch(stored: Stored) -> None:
    """Count one use for admission; `Cache.find` does so by itself."""
    if stored.frequency < MOST_FREQUENT:
        stored.frequency += 1


def footprint(key: str, variant: Variant, headers: CIMultiDictProxy[str], tags: frozenset[str]) -> int:
    """Bytes of memory that a stored response takes beside its body, index entries and ghost included."""
    size = _OBJECT_OVERHEAD + sys.getsizeof(key)
    for name, wanted in variant:
        size += _HEADER_OVERHEAD + len(name) + len(wanted or "")
    for name, value in headers.items():
        size += _HEADER_OVERHEAD + sys.getsizeof(name) + sys.getsizeof(value)
    for tag in tags:
        size += _TAG_OVERHEAD + sys.getsizeof(tag)
    return size
