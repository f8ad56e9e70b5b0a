"""A TCP proxy that misbehaves on request: swallows everything, refuses, breaks connections, takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.ports import free_port

_CHUNK_BYTES = 65536


class TcpProxy:
    """Listens on a port of its own and forwards to a unix socket or an address, until told otherwise."""

    def __init__(self, upstream: Path | tuple[str, int]) -> None:
        self.port = free_port()  # whose connections refuse for a while is still the only one to have it
        self.delay_seconds = 0.0
        self.accepted = 0
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._connections: set[asyncio.Task[Any]] = set()

    @classmethod
    @asynccontextmanager
    async def opened(cls, upstream: Path | tuple[str, int]) -> AsyncIterator[TcpProxy]:
        proxy = cls(upstream)
        await proxy.restore()
        try:
            yield proxy
        finally:
            proxy.refuse()
            if proxy._connections:
                await asyncio.wait(proxy._connections, timeout=5)

    def black_hole(self) -> None:
        """Connections are accepted and stay open; nothing arrives anywhere any more."""
        self._flows.clear()

    def refuse(self) -> None:
        """Break what is connected, and refuse what comes."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.disconnect()

    def disconnect(self) -> None:
        """Break what is connected."""
        for task in list(self._connections):
            task.cancel()

    async def restore(self) -> None:
        """Forward as ever, on the same port."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            await self._flows.wait()
            if isinstance(self._upstream, Path):
                from_upstream, upstream = await asyncio.open_unix_connection(str(self._upstream))
            else:
                from_upstream, upstream = await asyncio.open_connection(*self._upstream)
            await asyncio.gather(self._pump(reader, upstream), self._pump(from_upstream, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()

    def look_at(self, data: bytes) -> None:
        """What arrives, from either side: raising an OSError breaks its connection."""

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK_BYTES):
            self.look_at(data)
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            await self._flows.wait()
            sink.write(data)
            await sink.drain()
        with suppress(OSError):
            sink.write_eof()
