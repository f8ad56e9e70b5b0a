"""Addresses in ranges that have something in common: what an address has, and how far around it that holds."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, MutableSequence
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeVar

V = TypeVar("V")

# Where something else begins: the first address, and what holds from there on. Sorted; the first one begins at 0.
Stretches = Iterable[tuple[int, V]]


class Ranges(Generic[V]):
    """Stretches that follow each other, those that are alike as one; `bits` is 32 or 128."""

    def __init__(self, bits: int, stretches: Stretches[V]) -> None:
        self._bits = bits
        self._starts: MutableSequence[int] = array("L") if bits == 32 else []
        self._values: list[V] = []
        for start, value in stretches:
            if self._starts and self._starts[-1] == start:
                self._starts.pop()
                self._values.pop()
            if not self._values or self._values[-1] != value:
                self._starts.append(start)
                self._values.append(value)

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, address: int) -> tuple[V, int]:
        """The value, and the fewest bits that tell of nothing but addresses with the same value.

        A block that is larger would hold the last address before the range, or the first one after it.
        """
        place = bisect_right(self._starts, address)
        prefix = 0
        if place > 1:
            prefix = self._bits - (address ^ self._starts[place - 1] - 1).bit_length() + 1
        if place < len(self._starts):
            prefix = max(prefix, self._bits - (address ^ self._starts[place]).bit_length() + 1)
        return self._values[place - 1], prefix


def flattened(networks: Mapping[IPv4Network | IPv6Network, V], bits: int) -> Iterator[tuple[int, V | None]]:
    """Stretches of those networks that have so many bits: the longest that holds an address counts, else None."""
    yield 0, None
    ends: list[tuple[int, V]] = []  # networks that hold the present address, the longest last
    fitting = [network for network in networks if network.max_prefixlen == bits]
    for network in sorted(fitting, key=lambda each: (int(each.network_address), each.prefixlen)):
        start = int(network.network_address)
        yield from _closed(ends, start)
        yield start, networks[network]
        ends.append((start + network.num_addresses, networks[network]))
    for end, value in _closed(ends, 1 << bits):
        if end < 1 << bits:
            yield end, value


def _closed(ends: list[tuple[int, V]], until: int) -> Iterator[tuple[int, V | None]]:
    """What holds where networks end, as far as that."""
    while ends and ends[-1][0] <= until:
        end, _ = ends.pop()
        yield end, ends[-1][1] if ends else None


def overlaid(upper: Stretches[V | None], lower: Stretches[V]) -> Iterator[tuple[int, V]]:
    """What the upper ones say, and where that is None the lower ones."""
    above, below = iter(upper), iter(lower)
    _, over = next(above)
    _, under = next(below)
    yield 0, under if over is None else over
    next_above, next_below = next(above, None), next(below, None)
    while next_above is not None or next_below is not None:
        if next_below is None or (next_above is not None and next_above[0] <= next_below[0]):
            assert next_above is not None  # noqa: S101  (one of them is there)
            start, over = next_above
            next_above = next(above, None)
        else:
            start, under = next_below
            next_below = next(below, None)
        yield start, under if over is None else over
