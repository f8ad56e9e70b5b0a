"""Requests that come with a deadline, from a gateway or an edge before this node: what is late is not begun.

The header is `Pastebin-Timeout`: the seconds until the answer has to begin.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from pastebin import deadlines
from pastebin.deadlines import DUE
from pastebin.errors import DeadlinePassed
from pastebin.http.forwarding import TIMEOUT

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

_SAFE = ("GET", "HEAD", "OPTIONS")
_TIMER = web.RequestKey("deadline", asyncio.Timeout)


@dataclass(frozen=True, slots=True)
class Timeliness:
    """Who is believed when he tells how long he waits, and up to how many seconds."""

    is_trusted: Callable[[str], bool]
    most_seconds: float

    async def handled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer, if it begins in time. What changes something is not interrupted once it has begun.

        Raises DeadlinePassed.
        """
        told = deadlines.read(request.headers.get(TIMEOUT, ""))
        if told is None or not self.is_trusted(_peer(request)):
            return await handler(request)
        now = time.monotonic()
        due = deadlines.due(told, self.most_seconds, now)
        if due <= now:
            raise DeadlinePassed
        reset = DUE.set(due)
        try:
            if request.method not in _SAFE:
                return await handler(request)
            return await _interrupted(request, handler, due)
        finally:
            DUE.reset(reset)


async def begun(request: web.Request, _response: web.StreamResponse) -> None:
    """Before the head of an answer is sent: from now on it may take its time."""
    if DUE.get() is not None:
        DUE.set(None)
        if (timer := request.get(_TIMER)) is not None:
            timer.reschedule(None)


async def _interrupted(request: web.Request, handler: Handler, due: float) -> web.StreamResponse:
    try:
        async with asyncio.timeout_at(due) as timer:
            request[_TIMER] = timer
            try:
                return await handler(request)
            finally:
                del request[_TIMER]
    except TimeoutError:
        if timer.expired():
            raise DeadlinePassed from None
        raise


def _peer(request: web.Request) -> str:
    """Who stands at the other end of the connection; the client of a proxy is somebody else. Empty in this process."""
    peername = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(peername[0]) if isinstance(peername, tuple) else ""
