"""What both roads of a gateway are tested with: a node that sends prepared bytes, and what was said in which order."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.gateway.gateways import Gateway

LAST = b"GET /last HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n"
_CODING = b"transfer-encoding"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nwell"


@dataclass(repr=False)
class Node:
    """Sends prepared bytes in pieces for `/x`, and is well otherwise."""

    answer: list[bytes] = field(default_factory=lambda: [PLAIN])
    head_bytes: int = len(PLAIN) - 4
    ends: bool = False
    asked: list[bytes] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    hold: asyncio.Event | None = None
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b" /x" not in head:
                    writer.write(PLAIN)
                    continue
                self.asked.append(head)
                if self.hold is not None:
                    await self.hold.wait()
                left = self.head_bytes if head.startswith(b"HEAD") else sum(map(len, self.answer))
                for piece in self.answer:
                    writer.write(piece[:left])
                    left -= len(piece[:left])
                    await asyncio.sleep(0)
                if self.ends:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Node]:
    node = Node()
    server = await asyncio.start_server(node.serve, "127.0.0.1", 0)
    node.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield node


def said(data: bytes, methods: list[bytes]) -> list[object]:
    """The answers in these bytes, without what differs from one time to the next."""
    found: list[object] = []
    for method in methods:
        while data.startswith(b"HTTP/1.1 1"):
            data = data.partition(b"\r\n\r\n")[2]
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            break
        first, *lines = head.split(b"\r\n")
        fields = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in lines}
        status, size = first[9:12], len(rest)
        if method == b"HEAD" or status in (b"204", b"304"):
            size = 0
        elif fields.get(_CODING) == b"chunked":
            size = rest.index(b"0\r\n\r\n") + 5 if b"0\r\n\r\n" in rest else len(rest)
        elif b"content-length" in fields:
            size = int(fields[b"content-length"])
        body, data = rest[:size], rest[size:]
        if size > len(body) or (fields.get(_CODING) == b"chunked" and not body.endswith(b"0\r\n\r\n")):
            found.append(("cut", first))
            break
        if _CODING in fields:
            body = b"".join(re.findall(rb"z+", body))
        told = Counter(
            (line.partition(b":")[0].lower(), line.partition(b":")[2].strip())
            for line in lines
            if not line.lower().startswith((b"x-request-id:", b"date:")) or b"given" in line or b"2001" in line
        )
        known = {b"x-request-id", b"date", b"server"} - fields.keys()
        body = re.sub(rb"[0-9a-f]{16}|one_given-by.the_client", b"", body)
        if method != b"HEAD" and status not in (b"204", b"304"):
            # how a body ends that was read until its connection ended is a matter of when that was noticed
            told = Counter({pair: n for pair, n in told.items() if pair[0] not in (b"content-length", _CODING)})
        found.append((first, told, known, body))
    return found


def heard(heads: list[bytes]) -> list[object]:
    """What the node was asked, without what differs."""
    told: list[object] = []
    for head in heads:
        first, *lines = head[:-4].split(b"\r\n")
        pairs = [(line.partition(b":")[0].lower(), line.partition(b":")[2].strip()) for line in lines]
        told.append(
            (
                first,
                Counter(pair for pair in pairs if pair[0] != b"pastebin-timeout" and (pair[0] != b"x-request-id"))
                + Counter([pair for pair in pairs if pair[0] == b"x-request-id" and pair[1].startswith(b"one_given")]),
                Counter(name for name, _ in pairs),
            )
        )
    return told


async def exchanged(gateway: Gateway, pieces: list[bytes]) -> bytes:
    """Everything that comes back for these pieces, sent one after the other, until the connection ends."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    got = b""
    try:
        async with asyncio.timeout(60):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            try:
                while more := await reader.read(65536):
                    got += more
            except ConnectionError:
                pass  # aborted
    finally:
        writer.close()
    return got
