"""How a connection hands a request to a road past aiohttp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

# Takes the bytes of an answer, and whether the connection stays.
Finish = Callable[[bytes, bool], None]


class ShortRoad(Protocol):
    """What answers requests that are small and complete without aiohttp (see `short`)."""

    def may_take(self, data: bytes) -> bool:
        """Whether `data` begins like such a request."""

    def begin(self, data: bytes, finish: Finish) -> object | None:
        """Answer `data` if that is one such request, else return None; `finish` is called once, and later."""
