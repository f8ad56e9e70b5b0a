"""An origin that answers by script: any bytes, in any order, with stops in between, over real sockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime

from multidict import CIMultiDict

Fields = Mapping[str, str] | Sequence[tuple[str, str]]

UNSCRIPTED = 599  # what nobody has written an answer for


@dataclass(frozen=True)
class Answer:
    """What is sent back: bytes, and events that are awaited between them. Then the connection may be closed."""

    steps: tuple[bytes | asyncio.Event, ...]
    body: bytes = b""
    closes: bool = False


@dataclass(frozen=True)
class Received:
    """One request as the origin got it."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes


@dataclass
class Origin:
    """Takes requests and answers each with the next answer in the script of its target; the last one stays."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _scripts: dict[str, deque[Answer]] = field(default_factory=dict)
    _open: dict[asyncio.Task[object], asyncio.StreamWriter] = field(default_factory=dict)

    def script(self, target: str, *answers: Answer) -> None:
        """What requests for `target` are answered with from now on."""
        self._scripts[target] = deque(answers)

    def asked(self, target: str) -> list[Received]:
        """The requests for `target` so far, the first one first."""
        return [request for request in self.requests if request.target == target]

    async def when_asked(self, target: str, times: int = 1, seconds: float = 60.0) -> Received:
        """The request for `target` with this number, when it is here. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self.arrived:
            await self.arrived.wait_for(lambda: len(self.asked(target)) >= times)
        return self.asked(target)[times - 1]

    def hang_up(self) -> None:
        """Cut every connection."""
        for writer in self._open.values():
            writer.transport.abort()

    async def close(self) -> None:
        """End every connection, wherever its answer stands."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its first request to its last."""
        task = asyncio.current_task()
        assert task is not None
        self.connections += 1
        self._open[task] = writer
        try:
            while (request := await _read(reader)) is not None:
                async with self.arrived:
                    self.requests.append(request)
                    self.arrived.notify_all()
                answer = self._next(request.target)
                for step in answer.steps:
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    else:
                        await step.wait()
                if answer.closes:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._open[task]
            writer.close()

    def _next(self, target: str) -> Answer:
        script = self._scripts.get(target)
        if not script:
            return answer(UNSCRIPTED)
        return script.popleft() if len(script) > 1 else script[0]


@asynccontextmanager
async def scripted() -> AsyncIterator[Origin]:
    """An origin on a port of its own for the time of the block."""
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    origin.url = f"http://{host}:{port}"
    try:
        yield origin
    finally:
        server.close()
        await origin.close()
        await server.wait_closed()


def answer(
    status: int = 200,
    headers: Fields = (),
    body: bytes = b"",
    *,
    before: Sequence[asyncio.Event] = (),
    after_head: Sequence[asyncio.Event] = (),
    has_length: bool = True,
    is_head: bool = False,
) -> Answer:
    """A well-formed answer, with a length and a Date unless told otherwise. Events stop it before or after its head.

    A Date of "" is left out. Without a length the body ends with the connection. `is_head` is for HEAD: the head of
    such a body, alone.
    """
    lines = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in lines}
    if "date" not in names:
        lines.append(("Date", now()))
    lines = [(name, value) for name, value in lines if (name, value) != ("Date", "")]
    has_body = status >= 200 and status not in (204, 304)
    if has_body and has_length and not names & {"content-length", "transfer-encoding"}:
        lines.append(("Content-Length", str(len(body))))
    head = "".join([f"HTTP/1.1 {status} Whatever\r\n", *(f"{name}: {value}\r\n" for name, value in lines), "\r\n"])
    sent = body if has_body and not is_head else b""
    steps: tuple[bytes | asyncio.Event, ...] = (*before, head.encode("utf-8", "surrogateescape"), *after_head, sent)
    return Answer(tuple(step for step in steps if step != b""), body, closes=has_body and not has_length)


def raw(*steps: bytes | asyncio.Event, closes: bool = True) -> Answer:
    """Exactly these bytes."""
    return Answer(steps, closes=closes)


def chunked(headers: Fields, *chunks: bytes | asyncio.Event, trailer: bytes = b"") -> Answer:
    """An answer in chunks."""
    lines = list(headers.items() if isinstance(headers, Mapping) else headers)
    head = "".join(
        f"{name}: {value}\r\n" for name, value in [*lines, ("Date", now()), ("Transfer-Encoding", "chunked")]
    )
    steps = [b"%x\r\n%b\r\n" % (len(chunk), chunk) if isinstance(chunk, bytes) else chunk for chunk in chunks]
    body = b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))
    return Answer((f"HTTP/1.1 200 OK\r\n{head}\r\n".encode(), *steps, b"0\r\n" + trailer + b"\r\n"), body)


NOTHING = Answer((), closes=True)  # the connection ends without an answer


def now(seconds: float = 0.0) -> str:
    """The date so many seconds from now."""
    return format_datetime(datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC), usegmt=True)


async def _read(reader: asyncio.StreamReader) -> Received | None:
    """The next request; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head[:-4].decode("utf-8", "surrogateescape").split("\r\n")
    method, target, _ = first.split(" ")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, _, value = line.partition(":")
        headers.add(name, value.strip())
    body = b""
    if "Content-Length" in headers:
        body = await reader.readexactly(int(headers["Content-Length"]))
    elif headers.get("Transfer-Encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    return Received(method, target, headers, body)
