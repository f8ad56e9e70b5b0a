"""A bell within this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Bell:
    """Ringing it calls everybody who answers it. It says that something happened, not what."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []

    def ring(self) -> None:
        for call in self._calls:
            call()

    @contextmanager
    def answered(self, call: Callable[[], None]) -> Iterator[None]:
        """Have `call` called while the block lasts; it must not wait."""
        self._calls.append(call)
        try:
            yield
        finally:
            self._calls.remove(call)
