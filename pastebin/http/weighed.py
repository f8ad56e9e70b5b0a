"""The part of a connection that counts its request as load until the answer begins, and refuses what is too much."""

from __future__ import annotations

import math
from typing import Any, cast

from aiohttp import EMPTY_PAYLOAD, web
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from pastebin.errors import Overloaded
from pastebin.http.overload import Kind, Load, kind_of


class Weighed(RequestHandler):
    """A connection of a door with a `load`; without one nothing is counted."""

    __slots__ = ("_is_fresh", "_kind", "_load", "_since")

    def __init__(self, manager: web.Server, *, load: Load | None = None, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._load = load
        self._is_fresh = True  # aiohttp has seen nothing of it
        self._kind: Kind | None = None  # of the request that counts
        self._since = 0.0

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins a request: known to the kind of connection that this is mixed into."""
        raise NotImplementedError

    def begun(self) -> None:
        """An answer begins, or will not come: the request counts no more."""
        if self._kind is not None:
            cast(Load, self._load).leave(self._kind, self._loop.time() - self._since)
            self._kind = None

    def _given_up(self) -> None:
        """Nobody is there any more to hear the answer: what only reads is not gone on with."""
        if self._kind == "read" and cast(Load, self._load).is_final and self._task_handler is not None:
            self._task_handler.cancel()
        self.begun()

    def _count(self, kind: Kind) -> None:
        if self._kind is None and self._load is not None:
            self._load.enter(kind)
            self._kind, self._since = kind, self._loop.time()

    def _weigh(self) -> None:
        """Count the request that has come last, or put a refusal in its place."""
        message, _ = self._messages[-1]
        if self._load is None or isinstance(message, _ErrInfo):
            return
        kind = kind_of(message.method, message.path)
        if self._load.refuses(kind):
            self._messages[-1] = _ErrInfo(status=503, exc=Overloaded(), message=""), EMPTY_PAYLOAD
        else:
            self._count(kind)

    def _refused(self, data: bytes) -> tuple[bytes, bool] | None:
        """What is answered at once to a request that is too much, and whether another one may follow."""
        load = self._load
        if load is None:
            return None
        load.look(self._loop)
        may_refuse = load.limit.value < math.inf and self.transport is not None and (self._is_fresh or self.is_between)
        refusal = load.refusal(data) if may_refuse else None
        self._is_fresh = self._is_fresh and refusal is not None
        return refusal

    def _stay(self) -> None:
        """Wait for another request."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)


async def begun(request: web.Request, _response: web.StreamResponse) -> None:
    """Before the head of an answer is sent: what is streamed for long is no load of its own."""
    if isinstance(request.protocol, Weighed):
        request.protocol.begun()
