"""Where the lines of a large text are: how many line ends each block of it holds. Pure.

A line ends with LF and its end belongs to it, as in `?lines=`. Every text has at most MOST_BLOCKS blocks, so its index
is small and a line is found by reading one block: longer texts have larger blocks.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import add

SMALLEST_BLOCK_BYTES = 64 * 1024
MOST_BLOCKS = 16_384  # of 64 KiB each: 1 GiB


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `stop` of a text; behind the first `skip` line ends in there begins what is looked for."""

    start: int
    stop: int
    skip: int


@dataclass(frozen=True, slots=True)
class LineIndex:
    """`ends[k]` line ends stand before block k; behind the last block that are all of them."""

    size: int
    block_bytes: int
    ends: array[int]
    is_ended: bool

    @property
    def line_count(self) -> int:
        """What follows the last line end is a line too, unless it is nothing."""
        return self.ends[-1] + (1 if self.size and not self.is_ended else 0)

    def span(self, first: int, last: int | None) -> Span:
        """Where to read lines `first` to `last` (both included, None for all that follow); counted from 1.

        At most a block before the first and one behind the last of them is read in vain. What lies behind the text is
        an empty span at its end.
        """
        if first > self.line_count:
            return Span(self.size, self.size, 0)
        block = self._block_with(first - 1)
        stop = self.size
        if last is not None and last <= self.ends[-1]:
            stop = min((self._block_with(last) + 1) * self.block_bytes, self.size)
        return Span(block * self.block_bytes, stop, first - 1 - self.ends[block])

    def _block_with(self, end: int) -> int:
        """The block in which line end number `end` stands; the first block for none."""
        return max(bisect_left(self.ends, end) - 1, 0)

    @property
    def weight(self) -> int:
        """Bytes of memory, about."""
        return 8 * len(self.ends) + 256

    def encode(self) -> bytes:
        """The line ends of each block, for `decoded`."""
        counts = array("Q", [after - before for before, after in pairwise(self.ends)])
        return _little(counts).tobytes()


def decoded(counts: bytes, *, size: int, block_bytes: int, is_ended: bool) -> LineIndex:
    """The index that was encoded. Raises ValueError for what cannot be one of a text of `size` bytes."""
    blocks = array("Q")
    blocks.frombytes(counts)
    _little(blocks)
    if block_bytes < 1 or len(blocks) != -(-size // block_bytes):
        raise ValueError("the index is not of this text")
    return LineIndex(size, block_bytes, array("Q", accumulate(blocks, initial=0)), is_ended)


class LineCounter:
    """Makes the index of a text that arrives in chunks."""

    def __init__(self) -> None:
        self._counts = array("Q")
        self._block_bytes = SMALLEST_BLOCK_BYTES
        self._room = SMALLEST_BLOCK_BYTES
        self._open = 0
        self._size = 0
        self._is_ended = False

    def feed(self, chunk: bytes) -> None:
        """Count the next bytes."""
        position = 0
        while position < len(chunk):
            after = min(position + self._room, len(chunk))
            self._open += chunk.count(b"\n", position, after)
            self._room -= after - position
            position = after
            if not self._room:
                self._close_block()
        if chunk:
            self._size += len(chunk)
            self._is_ended = chunk[-1] == ord("\n")

    def _close_block(self) -> None:
        self._counts.append(self._open)
        self._open = 0
        if len(self._counts) == MOST_BLOCKS:
            self._counts = array("Q", map(add, self._counts[::2], self._counts[1::2]))
            self._block_bytes *= 2
        self._room = self._block_bytes

    def finish(self) -> LineIndex:
        """The index of everything that was fed."""
        counts = [*self._counts, self._open] if self._room < self._block_bytes else self._counts
        ends = array("Q", accumulate(counts, initial=0))
        return LineIndex(self._size, self._block_bytes, ends, self._is_ended)


def _little(counts: array[int]) -> array[int]:
    """The same numbers in the byte order of every stored index."""
    if sys.byteorder == "big":
        counts.byteswap()
    return counts
