"""What a node answers in time when three times as much is asked of it as it can do.

First as many connections as keep it busy, each asking when it has its answer: that is its peak. Then requests come at
three times that rate, whatever becomes of those before them, from clients that leave after a second. Good is what is
right and here by then; everything else has to be a refusal that says when to come again, or a client that has left.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiohttp
import orjson

from pastebin.store import schema
from tests.bench.harness import Case, Contest, WrongAnswer, as_client, durable_postgres, pin_server
from tests.bench.http_load import Request, drive
from tests.nodes import SECRET
from tests.scenarios.processes import node_process

FACTOR = 3
PATIENCE_SECONDS = 1.0
_BUSY = 64
_PASTES = 200
_BODY = b"the same few words in every paste\n" * 20
_TICK_SECONDS = 0.005
_MOST_CONNECTIONS = 4000
_CALM_SECONDS = 1.0  # what nobody waits for any more has ended by then
# Of one address a node takes 2048 connections.
_ADDRESSES = [f"127.0.0.{number}" for number in range(2, 6)]


@dataclass
class Tally:
    """What became of the requests of a run."""

    offered: int = 0
    good: int = 0
    refused: int = 0
    left: int = 0  # clients whose patience was at its end, or that found no connection
    failure: str | None = None


class _Client(asyncio.Protocol):
    """One connection; free while no answer is waited for."""

    def __init__(self, tally: Tally, free: list[_Client]) -> None:
        self._tally = tally
        self._free = free
        self._buffer = b""
        self.turn = 0  # grows with every request
        self.is_waiting = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> None:
        assert self.transport is not None
        self.turn += 1
        self.is_waiting = True
        self.transport.write(request)

    def leave(self) -> None:
        self._tally.left += 1
        self.is_waiting = False
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        head = buffer.find(b"\r\n\r\n")
        if head < 0 or not self.is_waiting:
            return
        start = buffer.find(b"Content-Length: ", 0, head)
        length = int(buffer[start + 16 : buffer.find(b"\r\n", start)])
        if len(buffer) < head + 4 + length:
            return
        body, status, self._buffer = buffer[head + 4 :], int(buffer[9:12]), b""
        if status == 200 and body == _BODY:
            self._tally.good += 1
        elif status == 503 and b"Retry-After: " in buffer[:head]:
            self._tally.refused += 1
        else:
            self._tally.failure = self._tally.failure or f"{status} {body[:200]!r}"
        self.is_waiting = False
        if b"Connection: close" in buffer[:head]:
            assert self.transport is not None
            self.transport.close()
        else:
            self._free.append(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.transport = None
        if self.is_waiting:  # turned away without an answer
            self.is_waiting = False
            self._tally.left += 1


class Overload:
    """A node that is asked too much."""

    def __init__(self, port: int, slugs: list[str]) -> None:
        self._port = port
        self._requests = itertools.cycle(
            f"GET /raw/{slug} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()
            for slug in slugs
        )
        self.peak = 0.0
        self.last = Tally()

    def _next(self) -> Request:
        return next(self._requests), lambda status, body: status == 200 and body == _BODY

    async def reference(self, seconds: float) -> float:
        async with as_client():
            tally = await drive("127.0.0.1", self._port, self._next, connections=_BUSY, seconds=seconds)
        self.peak = max(self.peak, tally.done / seconds)
        return tally.done / seconds

    async def ours(self, seconds: float) -> float:
        if not self.peak:
            await self.reference(seconds)
        async with as_client():
            tally = self.last = await self._flood(self.peak * FACTOR, seconds)
        if tally.failure:
            raise WrongAnswer(tally.failure)
        await asyncio.sleep(_CALM_SECONDS)
        print(f"  of {tally.offered} asked: {tally.good} good, {tally.refused} refused, {tally.left} left", flush=True)
        return tally.good / seconds

    async def check(self) -> None:
        """A moment later all is as before."""
        await asyncio.sleep(1.0)
        async with as_client():
            await drive("127.0.0.1", self._port, self._next, connections=8, seconds=1.0)

    async def _flood(self, rate: float, seconds: float) -> Tally:
        loop = asyncio.get_running_loop()
        tally, free, everybody = Tally(), cast(list[_Client], []), cast(list[_Client], [])
        waiting: deque[tuple[float, int, _Client]] = deque()
        connecting: set[asyncio.Task[None]] = set()
        addresses = itertools.cycle(_ADDRESSES)

        async def come(request: bytes) -> None:
            try:
                _, client = await loop.create_connection(
                    lambda: _Client(tally, free), "127.0.0.1", self._port, local_addr=(next(addresses), 0)
                )
            except OSError:
                tally.left += 1
                return
            everybody.append(client)
            begin(client, request)

        def begin(client: _Client, request: bytes) -> None:
            client.ask(request)
            waiting.append((time.perf_counter() + PATIENCE_SECONDS, client.turn, client))

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            while (now := time.perf_counter()) < began + seconds:
                while tally.offered < (now - began) * rate:
                    tally.offered += 1
                    request = next(self._requests)
                    while free and free[-1].transport is None:
                        free.pop()
                    if free:
                        begin(free.pop(), request)
                    elif sum(1 for _ in connecting) + len(waiting) < _MOST_CONNECTIONS:
                        task = tasks.create_task(come(request))
                        connecting.add(task)
                        task.add_done_callback(connecting.discard)
                    else:
                        tally.left += 1
                while waiting and waiting[0][0] < now:
                    _, turn, client = waiting.popleft()
                    if client.is_waiting and client.turn == turn:
                        client.leave()
                await asyncio.sleep(_TICK_SECONDS)
        for client in everybody:
            if client.transport is not None:
                client.transport.abort()
        return tally


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    async with durable_postgres(directory, is_pinned=True) as server:
        await schema.migrate(server.dsn)
        config = directory / "node.toml"
        config.write_text(
            f'[node]\nsecret = "{SECRET}"\nroles = ["web", "read", "write"]\n[database]\nprimary = "{server.dsn}"\n',
            encoding="utf-8",
        )
        config.chmod(0o600)
        async with node_process(directory / "node", f"--config={config}") as node:
            slugs = []
            async with aiohttp.ClientSession() as http:
                for _ in range(_PASTES):
                    async with http.post(
                        f"{node.url}/api/v1/pastes", data=_BODY, headers={"Content-Type": "text/plain"}
                    ) as response:
                        slugs.append(orjson.loads(await response.read())["slug"])
            pin_server(node.pid)
            overload = Overload(node.port, slugs)
            assert server.pid is not None
            yield Contest(
                overload.ours, overload.reference, overload.check, {"node": node.pid, "PostgreSQL": server.pid}
            )


CASE = Case(
    name="overload",
    unit="answers in time/s",
    ours=f"GET /raw at {FACTOR} times the peak, by clients that leave after {PATIENCE_SECONDS:g} s",
    reference=f"GET /raw by {_BUSY} connections that keep the node busy",
    goal=0.8,
    prepared=prepared,
)
