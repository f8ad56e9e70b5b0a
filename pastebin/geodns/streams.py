"""TCP (RFC 7766): many questions on a connection, few connections for each client, none that idles for long."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from pastebin.geodns.limits import network_of
from pastebin.geodns.responding import Responder, client_of
from pastebin.sections_regions import GeodnsSection

_BACKLOG = 256
_UNSENT_BYTES = 256 * 1024
# Questions of one connection that are answered before anybody else is looked at.
_AT_ONCE = 16


class _Connections:
    """Those that are open, the longest idle first."""

    def __init__(self, section: GeodnsSection) -> None:
        self._most = section.max_tcp_connections
        self._most_alike = section.max_tcp_connections_per_address
        self._open: OrderedDict[Connection, None] = OrderedDict()
        self._networks: Counter[str] = Counter()

    def admits(self, connection: Connection) -> bool:
        if self._networks[connection.network] >= self._most_alike:
            return False
        if len(self._open) >= self._most:
            next(iter(self._open)).end()
        self._open[connection] = None
        self._networks[connection.network] += 1
        return True

    def used(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.move_to_end(connection)

    def left(self, connection: Connection) -> None:
        if connection in self._open:
            del self._open[connection]
            self._networks[connection.network] -= 1
            if not self._networks[connection.network]:
                del self._networks[connection.network]

    def end(self) -> None:
        for connection in list(self._open):
            connection.end()


class Connection(asyncio.Protocol):
    """One client. Answers are in the order of the questions."""

    def __init__(self, responder: Responder, connections: _Connections, idle_seconds: float) -> None:
        self._responder = responder
        self._connections = connections
        self._idle_seconds = idle_seconds
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_paused = False
        self._has_rest = False
        self._client = ""
        self.network = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = self._transport.get_extra_info("peername")
        if not peer:  # gone already
            self._transport.abort()
            return
        self._client = client_of(peer[0])
        self.network = network_of(self._client)
        if not self._connections.admits(self):
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(_UNSENT_BYTES)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.left(self)
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None

    def pause_writing(self) -> None:
        """Who does not take the answers is not asked for more questions."""
        self._is_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_paused = False
        if not self._has_rest:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._has_rest:
            self._answer()

    def end(self) -> None:
        """Close at once, as a server may at any time (RFC 7766, 6.2.3)."""
        if self._transport is not None:
            self._transport.abort()

    def _answer(self) -> None:
        now, is_used, left = time.time(), False, _AT_ONCE
        while self._transport is not None and not self._is_paused and len(self._received) >= 2:
            length = int.from_bytes(self._received[:2], "big")
            if len(self._received) < 2 + length:
                break
            if not left:  # others have a turn, by UDP too
                self._has_rest = True
                self._transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._rest)
                break
            left -= 1
            packet = bytes(self._received[2 : 2 + length])
            del self._received[: 2 + length]
            answer = self._responder.message(packet, self._client, now)
            if answer is None:
                self.end()
                break
            self._transport.write(len(answer).to_bytes(2, "big") + answer)
            is_used = True
        self._responder.tell()
        if is_used:  # bytes alone do not help: a question has to be whole in time
            self._connections.used(self)
            self._wait()

    def _rest(self) -> None:
        self._has_rest = False
        if not self._is_paused:
            self._go_on()

    def _go_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()
            self._answer()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self.end)


@asynccontextmanager
async def answering(opened: socket.socket, responder: Responder, section: GeodnsSection) -> AsyncIterator[None]:
    """Answer while the block lasts, then close the socket and all connections."""
    connections = _Connections(section)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(responder, connections, section.tcp_idle_seconds), sock=opened, backlog=_BACKLOG
    )
    try:
        yield
    finally:
        server.close()
        connections.end()
        await server.wait_closed()
