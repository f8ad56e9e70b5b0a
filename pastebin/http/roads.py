"""How a connection hands a request to a road past aiohttp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiohttp import hdrs
from aiohttp.web_protocol import _ErrInfo

# Takes the bytes of an answer, and whether the connection stays.
Finish = Callable[[bytes, bool], None]


class ShortRoad(Protocol):
    """What answers requests that are small and complete without aiohttp (see `short`)."""

    def may_take(self, data: bytes) -> bool:
        """Whether `data` begins like such a request."""

    def begin(self, data: bytes, finish: Finish) -> object | None:
        """Answer `data` if that is one such request, else return None; `finish` is called once, and later."""


def owed(still: int, data: bytes, messages: Sequence[Any]) -> int | None:
    """How many bytes are to come before the next request begins, after `data` that made these messages."""
    if still == 0 and (data or messages):
        if len(messages) != 1 or isinstance(messages[0][0], _ErrInfo):
            return None
        message, end = messages[0][0], data.find(b"\r\n\r\n")
        if end < 0 or message.chunked:
            return None
        still = end + 4 + int(message.headers.get(hdrs.CONTENT_LENGTH, 0))
    elif messages:
        return None
    return still - len(data) if still >= len(data) else None
