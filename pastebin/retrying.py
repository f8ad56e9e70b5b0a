"""How much may be asked twice: budgets that bind what is done again to what is done. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

# Of what is asked of a dependency so much may be asked again, and so many times at once when it begins to fail.
RETRY_SHARE = 0.1
RETRY_RESERVE = 100.0

_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.25


@dataclass(slots=True)
class Budget:
    """Of all requests a `share` may be sent again, and `reserve` more once: those of the moment when a node dies.

    However long it lasts, no more are granted than `reserve + share * requests`.
    """

    share: float
    reserve: float
    _level: float = field(init=False)

    def __post_init__(self) -> None:
        self._level = self.reserve if self.share else 0.0

    def note(self) -> None:
        """A request has come."""
        if self._level < self.reserve:
            self._level = min(self._level + self.share, self.reserve)

    @property
    def has_any(self) -> bool:
        """Whether `take` would say yes."""
        return self._level >= 1

    def take(self) -> bool:
        """Whether one may be sent again."""
        if not self.has_any:
            return False
        self._level -= 1
        return True


def pause_seconds(tries: int, jitter: float) -> float:
    """How long to wait after so many tries, one or more: full jitter from 0 to below 1 (Brooker, AWS, 2015)."""
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** (min(tries, 10) - 1), _LONGEST_PAUSE_SECONDS) * jitter
