"""The way of a body to its client: bytes through the transport, bytes of a file from the kernel to the kernel."""

from __future__ import annotations

import asyncio
import os
from typing import Protocol

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_exceptions import ClientConnectionResetError


class Extent(Protocol):
    """Bytes of an open file, which stay what they are as long as this lives; `bytes` makes a copy."""

    descriptor: int
    start: int
    stop: int

    def __bytes__(self) -> bytes: ...

    def __len__(self) -> int: ...


_AT_ONCE_BYTES = 1024**2

Piece = bytes | Extent


class Outlet:
    """Writes the body of a response whose head is prepared; close it when the last piece is written.

    An Extent is sent by sendfile(2) where the connection is a socket without TLS and the body goes out as it is. The
    transport has to have written everything by then, so its buffer has no room from the first Extent on. While the
    socket takes no more, the protocol is told to pause as it would be by its transport.
    """

    def __init__(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._protocol: BaseProtocol = request.protocol
        self._loop = asyncio.get_running_loop()
        self._socket: int | None = None  # a descriptor of its own, for the loop does not share that of a transport
        self._is_waiting = False
        self._at_once = 0
        self._is_plain = request.version >= (1, 0) and not (response.chunked or response.compression)

    async def write(self, piece: Piece) -> None:
        """Write it, and wait while the client does not read. Raises ConnectionResetError."""
        if isinstance(piece, bytes):
            await self._response.write(piece)
        elif self._is_plain and self._open():
            await self._send(piece)
        else:
            await self._response.write(bytes(piece))

    def close(self) -> None:
        """Leave the rest to the transport."""
        if self._socket is None:
            return
        if self._is_waiting:
            self._go_on()
        os.close(self._socket)
        self._socket = None
        transport = self._protocol.transport
        if transport is not None and not transport.is_closing():
            transport.set_write_buffer_limits()

    def _open(self) -> bool:
        if self._socket is not None:
            return True
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("Cannot write to closing transport")
        socket = transport.get_extra_info("socket")
        if socket is None or transport.get_extra_info("sslcontext") is not None:
            self._is_plain = False
            return False
        self._request.writer.send_headers()
        transport.set_write_buffer_limits(high=0)
        self._socket = os.dup(socket.fileno())
        return True

    async def _send(self, extent: Extent) -> None:
        writer, at = self._request.writer, extent.start
        while at < extent.stop:
            await self._protocol._drain_helper()
            sent = self._sent(extent.descriptor, at, extent.stop - at)
            at += sent
            writer.output_size += sent
            if writer.length is not None:
                writer.length -= sent
        self._at_once += len(extent)
        if self._at_once >= _AT_ONCE_BYTES:  # a client that reads as fast as this writes is not all there is to do
            self._at_once = 0
            await asyncio.sleep(0)

    def _sent(self, descriptor: int, start: int, size: int) -> int:
        """Bytes that the socket has taken."""
        transport = self._protocol.transport
        if self._socket is None or transport is None or transport.is_closing():
            raise ClientConnectionResetError("Cannot write to closing transport")
        try:
            sent = os.sendfile(self._socket, descriptor, start, size)
        except BlockingIOError:
            self._is_waiting = True
            self._protocol.pause_writing()
            self._loop.add_writer(self._socket, self._go_on)
            return 0
        except OSError as error:
            raise ClientConnectionResetError("Cannot write to a socket that failed") from error
        if not sent:
            raise ClientConnectionResetError("Cannot send what is not there")
        return sent

    def _go_on(self) -> None:
        assert self._socket is not None  # noqa: S101  (it is open while anybody waits for it)
        self._is_waiting = False
        self._loop.remove_writer(self._socket)
        self._protocol.resume_writing()
