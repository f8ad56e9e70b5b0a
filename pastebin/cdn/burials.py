"""Purges of very much at once: nothing of it is served from that moment on, the tidying up takes its turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from pastebin.cdn.objects import Stored

_SLICE = 256


class Burials:
    """Hands what is dead to `take_out`, so many in one turn of the event loop; a few are done at once."""

    def __init__(self, take_out: Callable[[Stored], None]) -> None:
        self._take_out = take_out
        self._dead: deque[Stored] = deque()

    def add(self, dead: Iterable[Stored]) -> None:
        """They are not `alive` any more."""
        is_waiting = bool(self._dead)
        self._dead.extend(dead)
        if not is_waiting:
            self._go_on()

    def clear(self) -> None:
        """They were taken out otherwise."""
        self._dead.clear()

    def _go_on(self) -> None:
        for _ in range(min(_SLICE, len(self._dead))):
            self._take_out(self._dead.popleft())
        if self._dead:
            asyncio.get_running_loop().call_soon(self._go_on)
