"""A load generator: HTTP/1.1 over kept connections, one request at a time on each, every answer looked at.

Much less than a client: it knows just the answers that have a Content-Length, and leaves the processor to the server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from tests.bench.harness import WrongAnswer

_ANSWER_SECONDS = 30.0


@dataclass
class Tally:
    """What all connections of a run have seen."""

    done: int = 0
    failure: str | None = None
    latencies: list[float] = field(default_factory=list)


# Makes the next request: its bytes, and what tells whether an answer (status, body) is right.
Request = tuple[bytes, Callable[[int, bytes], bool]]
Source = Callable[[], Request]


class _Connection(asyncio.Protocol):
    def __init__(self, source: Source, tally: Tally, until: float, ended: Callable[[], None]) -> None:
        self._source = source
        self._tally = tally
        self._until = until
        self._ended = ended
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not of its class
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter()
        if self._began >= self._until or self._tally.failure:
            self._transport.close()
            return
        request, self._is_right = self._source()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer = self._buffer + data if self._buffer else data
        head = buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        start = buffer.find(b"Content-Length: ", 0, head)
        if start < 0:
            self._fail(f"an answer without a length: {buffer[:200]!r}")
            return
        length = int(buffer[start + 16 : buffer.find(b"\r\n", start)])
        if len(buffer) < head + 4 + length:
            return
        body = buffer[head + 4 :]
        status = int(buffer[9:12])
        self._buffer = b""
        if len(body) != length or not self._is_right(status, body):
            self._fail(f"{status} {body[:300]!r}")
            return
        self._tally.done += 1
        self._tally.latencies.append(time.perf_counter() - self._began)
        self._send()

    def _fail(self, what: str) -> None:
        self._tally.failure = self._tally.failure or what
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._tally.failure = self._tally.failure or f"connection lost: {exc!r}"
        self._ended()


async def drive(host: str, port: int, source: Source, *, connections: int, seconds: float) -> Tally:
    """Keep `connections` busy for `seconds`. Raises WrongAnswer."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    left = connections
    all_ended = asyncio.Event()

    def ended() -> None:
        nonlocal left
        left -= 1
        if not left:
            all_ended.set()

    until = time.perf_counter() + seconds
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(source, tally, until, ended), host, port)
    await asyncio.wait_for(all_ended.wait(), seconds + _ANSWER_SECONDS)
    if tally.failure:
        raise WrongAnswer(tally.failure)
    return tally
