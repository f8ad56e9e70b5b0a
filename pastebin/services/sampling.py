"""Which visits are noted when there are too many, so that the noted ones stand for all of them.

Visits are taken in groups of consecutive ones. Of a group of `weight` one is noted, drawn before the group begins and
each with the same chance, and it counts `weight` times: so every visit adds 1 on average to whatever it is counted
under, however long its group becomes (Horvitz and Thompson, 1952). How large the next group is follows from how many
visits there were, never from what they are nor from which were drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random

_MOST_WEIGHT = 1 << 16
# Beyond the limit this part of it is noted: to think about a visit costs more than to answer one from memory.
_SPARED = 4


class Sampler:
    """Up to `per_second` visits have the weight 1; of more, a quarter of so many are noted. `tick` it once a second."""

    __slots__ = (
        "_chosen",
        "_draw",
        "_left",
        "_more_at",
        "_noted",
        "_per_second",
        "_sample",
        "_seen",
        "_stretch",
        "_weight",
        "next",
    )

    def __init__(self, per_second: int, draw: Callable[[], float] = random) -> None:
        self.next = 1  # the weight of the groups that have not begun
        self._draw = draw
        self._per_second = per_second
        self._sample = max(per_second // _SPARED, 1)
        self._weight = 1
        self._chosen = 0  # which of its group is noted
        self._left = self._stretch = 1  # visits until one is noted, that one included: now, and after the last one
        self._seen = 0  # visits of this second, without those of the stretch
        self._noted = 0
        self._more_at = per_second

    def due(self) -> int:
        """Whether the visit of this moment is noted: its weight, or 0."""
        self._left -= 1
        return 0 if self._left else self._take()

    def tick(self) -> None:
        """A second is over: the next one is expected to bring as many visits."""
        seen = self._seen + self._stretch - self._left
        if seen > self._per_second:
            self.next = min(-(-seen // self._sample), _MOST_WEIGHT)
        elif self._weight > 1 or self.next > 1:
            # the group is given up: its visits so far have had their chance, those to come are drawn anew
            self.next = self._weight = 1
            self._chosen, self._left = 0, 1
        self._stretch = self._left
        self._seen = self._noted = 0
        self._more_at = self._per_second

    def _take(self) -> int:
        """Note this one, and draw from the group after its own."""
        self._seen += self._stretch
        self._noted += 1
        if self._noted >= self._more_at:
            self.next = min(2 * max(self.next, self._weight), _MOST_WEIGHT)
            self._more_at += self._sample
        weight, rest = self._weight, self._weight - 1 - self._chosen
        self._weight = self.next
        self._chosen = int(self._draw() * self._weight)
        self._left = self._stretch = rest + self._chosen + 1
        return weight
