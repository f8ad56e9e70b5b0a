"""A TCP proxy that misbehaves as told: latency, resets, black holes, truncated and forged answers, refusal."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.ports import free_port

_BLOCK = 64 * 1024


@dataclass(eq=False)
class Fault:
    """What happens to connections whose request matches `when`, `times` times (None: always).

    `when` is searched in what the client has sent last, from its request line on.
    """

    when: str = ""
    times: int | None = None
    seconds: float = 0.0  # latency before anything is passed on to the server
    up_bytes: int | None = None  # of the request, before `then`
    down_bytes: int | None = None  # of the answer, before `then`
    then: str = ""  # reset, close (a truncation) or hang (a black hole)
    answer: bytes | None = None  # instead of the server's; the server sees the request unless up_bytes is 0
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    def applies(self, request: bytes) -> bool:
        return self.times != 0 and re.search(self.when.encode(), request) is not None

    def begin(self) -> None:
        if self.times is not None:
            self.times -= 1


class Proxy:
    """Passes connections on to `port` of 127.0.0.1. The first of the `faults` that applies counts."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = free_port()  # nobody else gets it while connections are refused
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, when: str = "", **what: object) -> Fault:
        fault = Fault(when, **what)  # type: ignore[arg-type]
        self.faults.append(fault)
        return fault

    def count(self, pattern: str) -> int:
        """How many request lines match."""
        return sum(bool(re.search(pattern, line)) for line in self.requests)

    def heal(self) -> None:
        """No more faults; connections that hang stay as they are."""
        self.faults.clear()

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=_BLOCK)

    async def refuse(self) -> None:
        """Refuse new connections and reset those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await _Connection(self, reader, writer, self._target).run()
        except (OSError, EOFError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._tasks.discard(task)
            writer.close()


class _Connection:
    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self._proxy = proxy
        self._client = (reader, writer)
        self._port = port
        self._fault: Fault | None = None
        self._up = 0
        self._down = 0

    async def run(self) -> None:
        server = await asyncio.open_connection("127.0.0.1", self._port, limit=_BLOCK)
        try:
            async with asyncio.TaskGroup() as tasks:
                up = tasks.create_task(self._pass_up(server[1]))
                await self._pass_down(server[0])
                up.cancel()
        except* (OSError, EOFError):
            _reset(self._client[1])
        finally:
            _reset(server[1])

    async def _pass_up(self, server: asyncio.StreamWriter) -> None:
        while block := await self._client[0].read(_BLOCK):
            if match := re.match(rb"(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP/1.1\r\n", block):
                self._proxy.requests.append(b" ".join(match.groups()).decode())
                self._fault = next((fault for fault in self._proxy.faults if fault.applies(block)), None)
                self._up = self._down = 0
                if self._fault is not None:
                    self._fault.begin()
                    await asyncio.sleep(self._fault.seconds)
            fault = self._fault
            if fault is not None and fault.up_bytes is not None and self._up + len(block) > fault.up_bytes:
                block = block[: fault.up_bytes - self._up]
                server.write(block)
                await server.drain()
                await self._misbehave(fault)
            self._up += len(block)
            server.write(block)
            await server.drain()
        server.write_eof()

    async def _pass_down(self, server: asyncio.StreamReader) -> None:
        client = self._client[1]
        while block := await server.read(_BLOCK):
            fault = self._fault
            if fault is not None and fault.answer is not None:
                client.write(fault.answer)
                await client.drain()
                fault.happened.set()
                client.close()
                return
            if fault is not None and fault.down_bytes is not None and self._down + len(block) > fault.down_bytes:
                client.write(block[: fault.down_bytes - self._down])
                await client.drain()
                await self._misbehave(fault)
                return
            self._down += len(block)
            client.write(block)
            await client.drain()

    async def _misbehave(self, fault: Fault) -> None:
        fault.happened.set()
        if fault.then == "hang":
            await asyncio.Event().wait()
        if fault.then == "close":
            with suppress(OSError):
                self._client[1].write_eof()
        raise ConnectionResetError


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    if raw is not None and not writer.is_closing():
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def proxied(port: int) -> AsyncIterator[Proxy]:
    """A proxy that passes everything on until it is told otherwise."""
    proxy = Proxy(port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.refuse()
