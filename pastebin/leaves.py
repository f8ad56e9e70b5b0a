"""The search tree of a database in MaxMind's format, from its first address to its last.

MaxMind DB File Format Specification 2.0, "Binary Search Tree Section".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from mmap import mmap

ELSEWHERE = -1  # where a tree of IPv6 holds the addresses of IPv4, most often at several places
_MOST_NODES = 1 << 26


class Damaged(Exception):
    """The tree has no end."""


class Leaves:
    """The leaves of a tree in memory. The arguments are what the database's metadata says of it."""

    def __init__(self, content: bytes | mmap, *, node_count: int, record_size: int, ip_version: int) -> None:
        self._nodes = node_count
        self._six = ip_version == 6
        self._read = _reading(content, record_size)
        self._four = 0
        for _ in range(96 if self._six else 0):
            if self._four >= node_count:
                break
            self._four = self._read(self._four)[0]

    def walk(self, bits: int) -> Iterator[tuple[int, int]]:
        """Where each leaf begins, and its record, for addresses of so many bits: equal numbers are equal records.

        Raises Damaged, IndexError.
        """
        if bits == 128 and not self._six:
            yield 0, self._nodes
            return
        root = self._four if bits == 32 else 0
        open_now = [(root, 0, bits)]
        for _ in range(_MOST_NODES):
            if not open_now:
                return
            record, start, free = open_now.pop()
            if record >= self._nodes:
                yield start, record
                continue
            if bits == 128 and record == self._four:
                yield start, ELSEWHERE
                continue
            if not free:
                break
            left, right = self._read(record)
            open_now.append((right, start | 1 << free - 1, free - 1))
            open_now.append((left, start, free - 1))
        raise Damaged


def _reading(content: bytes | mmap, record_size: int) -> Callable[[int], tuple[int, int]]:
    """A function for both records of a node."""
    size = record_size // 4
    half = record_size // 8

    def whole(node: int) -> tuple[int, int]:
        place = node * size
        both = int.from_bytes(content[place : place + size], "big")
        return both >> record_size, both & (1 << record_size) - 1

    def with_middle(node: int) -> tuple[int, int]:
        place = node * size
        both = content[place : place + size]
        left, right = int.from_bytes(both[:half], "big"), int.from_bytes(both[half + 1 :], "big")
        return both[half] >> 4 << 24 | left, (both[half] & 15) << 24 | right

    return with_middle if record_size == 28 else whole
