"""Connections inside of the process: the node's own application as an origin, without a socket.

What passes is HTTP/1.1 byte by byte, so an origin in this process and one elsewhere are one code path.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any

from aiohttp import web

from pastebin.errors import UpstreamUnavailable
from pastebin.http.protocol import Connection
from pastebin.http.runner import Runner
from pastebin.sections import DoorsSection

_HIGH_BYTES = 256 * 1024
_LOW_BYTES = 64 * 1024
_IDLE_SECONDS = 10.0


class LocalOrigin:
    """An application of this process that can be connected to while it is `serving`."""

    name = "local"

    def __init__(self) -> None:
        self._server: web.Server | None = None

    @asynccontextmanager
    async def serving(
        self, application: web.Application, section: DoorsSection, shutdown_seconds: float
    ) -> AsyncIterator[None]:
        """Answer connections while the block lasts."""
        runner = Runner(
            application,
            connection=_Quiet,
            write_seconds=section.body_idle_seconds,
            keepalive_timeout=_IDLE_SECONDS,
            shutdown_timeout=shutdown_seconds,
        )
        await runner.setup()
        self._server = runner.server
        try:
            yield
        finally:
            self._server = None
            await runner.cleanup()

    async def connect(self, make: Callable[[], asyncio.Protocol]) -> None:
        """Connect a protocol of the client's side. Raises UpstreamUnavailable when nothing is served."""
        if self._server is None:
            raise UpstreamUnavailable
        # the other side works for many requests, one after the other, none of which is the current one
        Context().run(join, make(), self._server())


class _Quiet(Connection):
    """A connection without the deadlines that are there for strangers."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._await_no_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_no_head()


def join(one: asyncio.Protocol, other: asyncio.Protocol) -> None:
    """Connect two protocols with each other."""
    loop = asyncio.get_running_loop()
    near, far = Pipe(loop, one), Pipe(loop, other)
    near.peer, far.peer = far, near
    other.connection_made(far)
    one.connection_made(near)


class Pipe(asyncio.Transport):
    """One end of a connection in memory, with the flow control of a socket.

    Bytes written and not read yet stand at the reader's end: past 256 KiB the writer is told to pause. They are
    delivered by the loop, never within `write`. Closing delivers what was written; aborting drops it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.peer: Pipe = self
        self._loop = loop
        self._protocol = protocol
        self._arrived: deque[bytes] = deque()
        self._size = 0
        self._is_reading = True
        self._is_scheduled = False
        self._is_closing = False
        self._is_lost = False
        self._peer_is_closed = False
        self._peer_is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        peer = self.peer
        if self._is_closing or not data or peer._is_closing:
            return
        peer._arrived.append(bytes(data))
        peer._size += len(data)
        peer._schedule()
        if peer._size > _HIGH_BYTES and not peer._peer_is_paused:
            peer._peer_is_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.peer._peer_is_closed = True
            self.peer._schedule()
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        peer = self.peer
        peer._arrived.clear()
        peer._size = 0
        if not peer._is_closing:
            peer._is_closing = True
            self._loop.call_soon(peer._lose, ConnectionResetError("the other end was aborted"))
        if not self._is_lost:
            self._is_closing = True
            self._loop.call_soon(self._lose, None)

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return self._is_reading and not self._is_closing

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        if self._arrived or self._peer_is_closed:
            self._schedule()

    def get_write_buffer_size(self) -> int:
        return self.peer._size

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def can_write_eof(self) -> bool:
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        raise NotImplementedError

    def _schedule(self) -> None:
        if not self._is_scheduled and self._is_reading and not self._is_closing:
            self._is_scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._is_scheduled = False
        while self._arrived and self._is_reading and not self._is_closing:
            chunk = self._arrived.popleft()
            self._size -= len(chunk)
            self._protocol.data_received(chunk)
        if self._peer_is_paused and self._size <= _LOW_BYTES:
            self._peer_is_paused = False
            if not self.peer._is_lost:
                self.peer._protocol.resume_writing()
        if self._peer_is_closed and not self._arrived and not self._is_closing:
            self._is_closing = True
            self._protocol.eof_received()
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        self._arrived.clear()
        self._size = 0
        if not self.peer._is_closing and not self.peer._peer_is_closed:
            self.peer._peer_is_closed = True
            self.peer._schedule()
        self._protocol.connection_lost(error)
