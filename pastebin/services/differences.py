"""What two texts have in common, line by line: a difference that is always right, and minimal where that is cheap.

Lines that occur once on both sides anchor the rest (patience diff, B. Cohen); between anchors the shortest edit script
is sought (E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", 1986). Both spend of one `Effort`. What is
left when it is spent counts as replaced, so no input makes this slow. Pure.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from sys import maxsize
from typing import Literal, NamedTuple

CONTEXT = 3
_EFFORT = 250_000  # a fifth of a second of a processor
_DEEPEST = 500  # of one search for a shortest script: its memory grows with the square

Tag = Literal["same", "removed", "added"]


class Block(NamedTuple):
    """So many lines from `old` and from `new` on are equal."""

    old: int
    new: int
    size: int


class Line(NamedTuple):
    """One line of a hunk with its numbers, which begin with 1; 0 on the side where it is not."""

    tag: Tag
    old: int
    new: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Hunk:
    """A stretch with changes, and the equal lines around it."""

    lines: tuple[Line, ...]
    old_start: int
    old_count: int
    new_start: int
    new_count: int

    @property
    def heading(self) -> str:
        """As unified diffs have it; a count of 1 is left out, and an empty side begins before its line."""
        return f"@@ -{_range(self.old_start, self.old_count)} +{_range(self.new_start, self.new_count)} @@"


class Effort:
    """Steps that are left."""

    __slots__ = ("left",)

    def __init__(self, left: int = _EFFORT) -> None:
        self.left = left


def lines_of(content: bytes) -> list[bytes]:
    """With the LF each ends with; only the last may lack one. Joined they are the content."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def hunks(
    old: Sequence[bytes],
    new: Sequence[bytes],
    equal: Sequence[Block],
    context: int = CONTEXT,
    most_lines: int = maxsize,
) -> Iterator[Hunk]:
    """The changes between these equal stretches; after `most_lines` lines the rest of them is left out."""
    close: list[tuple[int, int, int, int]] = []
    for change in _changes(len(old), len(new), equal):
        if close and change[0] - close[-1][1] > 2 * context:
            hunk = _hunk(old, new, close, context, most_lines)
            yield hunk
            most_lines -= len(hunk.lines)
            if most_lines <= 0:
                return
            close = []
        close.append(change)
    if close:
        yield _hunk(old, new, close, context, most_lines)


def blocks(old: Sequence[bytes], new: Sequence[bytes], effort: Effort) -> list[Block]:
    """The equal stretches, in order, none touching the next on both sides."""
    numbers: dict[bytes, int] = {}
    left = [numbers.setdefault(line, len(numbers)) for line in old]
    right = [numbers.setdefault(line, len(numbers)) for line in new]
    found = _Search(left, right, effort).run()
    found.sort()
    joined: list[Block] = []
    for block in found:
        if joined and joined[-1].old + joined[-1].size == block.old and joined[-1].new + joined[-1].size == block.new:
            joined[-1] = joined[-1]._replace(size=joined[-1].size + block.size)
        else:
            joined.append(block)
    return joined


class _Search:
    """The search for equal stretches within a gap, and within the gaps between those."""

    def __init__(self, old: list[int], new: list[int], effort: Effort) -> None:
        self._old = old
        self._new = new
        self._effort = effort
        self._found: list[Block] = []
        self._gaps: list[tuple[int, int, int, int]] = [(0, len(old), 0, len(new))]

    def run(self) -> list[Block]:
        while self._gaps:
            self._fill(*self._trimmed(*self._gaps.pop()))
        return self._found

    def _trimmed(self, low: int, high: int, first: int, last: int) -> tuple[int, int, int, int]:
        """The gap without what is equal at its ends."""
        old, new = self._old, self._new
        start = low
        while low < high and first < last and old[low] == new[first]:
            low, first = low + 1, first + 1
        if low > start:
            self._found.append(Block(start, first - (low - start), low - start))
        end = high
        while low < high and first < last and old[high - 1] == new[last - 1]:
            high, last = high - 1, last - 1
        if end > high:
            self._found.append(Block(high, last, end - high))
        return low, high, first, last

    def _fill(self, low: int, high: int, first: int, last: int) -> None:
        cost = high - low + last - first
        if low == high or first == last or self._effort.left < cost:
            return
        self._effort.left -= cost
        anchors = self._anchors(low, high, first, last)
        if not anchors:
            self._follow(low, high, first, last)
            return
        for i, j in anchors:
            self._found.append(Block(i, j, 1))
            self._gaps.append((low, i, first, j))
            low, first = i + 1, j + 1
        self._gaps.append((low, high, first, last))

    def _anchors(self, low: int, high: int, first: int, last: int) -> list[tuple[int, int]]:
        """Lines that occur once on each side, as many as keep their order."""
        there = _once(self._new, first, last)
        pairs = [(i, there[line]) for line, i in _once(self._old, low, high).items() if line in there]
        pairs.sort()
        return _rising(pairs)

    def _follow(self, low: int, high: int, first: int, last: int) -> None:
        """Take the shortest script, or the beginning of a good one if that is too long; what follows is a gap again."""
        trace, x, y = self._furthest(low, high, first, last)
        if 0 < x + y < high - low + last - first:
            self._gaps.append((low + x, high, first + y, last))
        for depth in range(len(trace), 0, -1):
            reached = trace[depth - 1]  # index 0 is the diagonal -depth
            diagonal = x - y
            is_down = _is_down(reached, depth, diagonal, depth)
            before = diagonal + 1 if is_down else diagonal - 1
            start = reached[before + depth]
            turn = start if is_down else start + 1
            if x > turn:
                self._found.append(Block(low + turn, first + turn - diagonal, x - turn))
            x, y = start, start - before
        if x:
            self._found.append(Block(low, first, x))

    def _furthest(self, low: int, high: int, first: int, last: int) -> tuple[list[array[int]], int, int]:
        """What was reached on each diagonal after each step but the last, and the end, or the furthest point found."""
        old, new = self._old, self._new
        width, height = high - low, last - first
        deepest = min(width + height, _DEEPEST)
        reached = array("l", [0]) * (2 * deepest + 3)
        middle = deepest + 1
        trace: list[array[int]] = []
        best, best_depth = (0, 0), 0
        for depth in range(deepest + 1):
            self._effort.left -= depth
            if self._effort.left < 0:
                break
            for diagonal in range(-depth, depth + 1, 2):
                if _is_down(reached, middle, diagonal, depth):
                    x = reached[middle + diagonal + 1]
                else:
                    x = reached[middle + diagonal - 1] + 1
                y = x - diagonal
                while x < width and y < height and old[low + x] == new[first + y]:
                    x, y = x + 1, y + 1
                reached[middle + diagonal] = x
                if x <= width and y <= height and x + y > sum(best):
                    best, best_depth = (x, y), depth
                    if x + y == width + height:
                        return trace, x, y
            trace.append(reached[middle - depth - 1 : middle + depth + 2])
        return trace[:best_depth], *best


def _is_down(reached: array[int], middle: int, diagonal: int, depth: int) -> bool:
    """Whether the furthest way to a diagonal comes from the one above it, so that a line of the new text is added."""
    if diagonal in (-depth, depth):
        return diagonal == -depth
    return reached[middle + diagonal - 1] < reached[middle + diagonal + 1]


def _once(lines: Sequence[int], first: int, last: int) -> dict[int, int]:
    """Where the lines stand that occur only once."""
    places: dict[int, int] = {}
    for place in range(first, last):
        line = lines[place]
        places[line] = -1 if line in places else place
    return {line: place for line, place in places.items() if place >= 0}


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of them whose second members rise as the first ones do."""
    ends: list[int] = []  # second members of the last pairs of rising parts, by their length
    lasts: list[int] = []
    before = [-1] * len(pairs)
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before[number] = lasts[length - 1] if length else -1
        ends[length : length + 1] = [place]
        lasts[length : length + 1] = [number]
    rising = []
    number = lasts[-1] if lasts else -1
    while number >= 0:
        rising.append(pairs[number])
        number = before[number]
    return rising[::-1]


def _changes(old_count: int, new_count: int, equal: Sequence[Block]) -> Iterator[tuple[int, int, int, int]]:
    """The stretches between the equal ones: from and to where in the old lines, and in the new ones."""
    low = first = 0
    for block in (*equal, Block(old_count, new_count, 0)):
        if block.old > low or block.new > first:
            yield low, block.old, first, block.new
        low, first = block.old + block.size, block.new + block.size


def _hunk(
    old: Sequence[bytes],
    new: Sequence[bytes],
    changes: Sequence[tuple[int, int, int, int]],
    context: int,
    most_lines: int,
) -> Hunk:
    """One hunk of changes that stand close to each other; its heading counts the lines that are left out, too."""
    low, _, first, _ = changes[0]
    _, high, _, last = changes[-1]
    before, after = min(context, low), min(context, len(old) - high)
    start, new_start = low - before, first - before
    old_count, new_count = high + after - start, last + after - new_start
    lines = islice(_lines(old, new, changes, start, new_start, after), most_lines)
    return Hunk(tuple(lines), start + bool(old_count), old_count, new_start + bool(new_count), new_count)


def _lines(
    old: Sequence[bytes], new: Sequence[bytes], changes: Sequence[tuple[int, int, int, int]], i: int, j: int, after: int
) -> Iterator[Line]:
    """The changes with what is equal between them, from these lines on, and so many equal ones after them."""
    for low, high, first, last in changes:
        for n in range(low - i):
            yield Line("same", i + n + 1, j + n + 1, old[i + n])
        for n in range(low, high):
            yield Line("removed", n + 1, 0, old[n])
        for n in range(first, last):
            yield Line("added", 0, n + 1, new[n])
        i, j = high, last
    for n in range(after):
        yield Line("same", i + n + 1, j + n + 1, old[i + n])


def _range(start: int, count: int) -> str:
    return str(start) if count == 1 else f"{start},{count}"
