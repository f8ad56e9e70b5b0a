"""Pastes made over HTTP against rows of the same bytes inserted by pgbench: the same server, the same durability.

What serves has one processor, whatever it consists of, and the load generator has others: our side is a node and
PostgreSQL together, the other side PostgreSQL alone. So the ratio says what an insert costs there and here, and does
not depend on where the kernel likes to put the parts. The processor time of every part is told.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson

from pastebin.embedded.server import Server
from pastebin.store import schema
from tests.bench.harness import Case, Contest, WrongAnswer, as_client, durable_postgres, pgbench, pin_server
from tests.bench.http_load import Request, drive
from tests.nodes import SECRET
from tests.scenarios.processes import NodeProcess, node_process

CONNECTIONS = 64
SIZE = 1536
_CONTENTS = 512
_SAMPLES = 50
# As little as a paste service could do: a public name, the bytes and when they came.
_TABLE = """
create table bench_rows (
    id bigint generated always as identity primary key,
    slug text collate "C" not null unique,
    body text not null,
    created_at timestamptz not null default now()
)
"""
_INSERT = "\\set slug random(1, 9000000000000000000)\ninsert into bench_rows (slug, body) values (:slug, :body);\n"


def content(number: int) -> bytes:
    """Text of SIZE bytes, different for every number, that compresses about as well as source code."""
    chance = random.Random(number)  # noqa: S311  (the same in every run)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(120)]
    lines = (" ".join(chance.choices(words, k=9)) for _ in itertools.count())
    text = ""
    while len(text) < SIZE:
        text += next(lines) + "\n"
    return text[:SIZE].encode()


class Creates:
    """One node, and everything that was created on it."""

    def __init__(self, server: Server, node: NodeProcess) -> None:
        self._server = server
        self._node = node
        self._digests = [hashlib.sha256(content(number)).hexdigest() for number in range(_CONTENTS)]
        self._requests = [self._request(number) for number in range(_CONTENTS)]
        self._turn = itertools.cycle(range(_CONTENTS))
        self._made = 0
        self._samples: list[tuple[str, str]] = []

    def _request(self, number: int) -> bytes:
        head = (
            f"POST /api/v1/pastes HTTP/1.1\r\nHost: 127.0.0.1:{self._node.port}\r\nUser-Agent: bench\r\n"
            f"Accept: */*\r\nContent-Type: text/plain\r\nContent-Length: {SIZE}\r\n\r\n"
        )
        return head.encode() + content(number)

    def _next(self) -> Request:
        number = next(self._turn)
        digest = self._digests[number].encode()

        def is_right(status: int, body: bytes) -> bool:
            if status != 201 or digest not in body or b'"size":1536' not in body:
                return False
            if len(self._samples) < _SAMPLES or number == 0:
                self._samples.append((orjson.loads(body)["slug"], self._digests[number]))
            return True

        return self._requests[number], is_right

    async def ours(self, seconds: float) -> float:
        async with as_client():
            began = time.perf_counter()
            tally = await drive("127.0.0.1", self._node.port, self._next, connections=CONNECTIONS, seconds=seconds)
            elapsed = time.perf_counter() - began
        self._made += tally.done
        return tally.done / elapsed

    async def reference(self, seconds: float) -> float:
        async with as_client():
            variables = {"body": content(0).decode().replace("\n", " ")}
            return await pgbench(self._server, _INSERT, variables, clients=CONNECTIONS, seconds=seconds)

    async def check(self) -> None:
        """Every acknowledged paste is there once, and reads back as what was sent."""
        async with self._server.connected() as connection:
            rows = await connection.fetchval("select count(*) from pastes")
            files = await connection.fetchval("select count(*) from files where length(body) = $1", SIZE)
        if (rows, files) != (self._made, self._made):
            raise WrongAnswer(f"{self._made} creates were acknowledged, there are {rows} pastes with {files} files")
        async with aiohttp.ClientSession() as http:
            for slug, digest in self._samples:
                async with http.get(f"{self._node.url}/raw/{slug}") as response:
                    if response.status != 200 or hashlib.sha256(await response.read()).hexdigest() != digest:
                        raise WrongAnswer(f"{slug} does not read back")


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    async with durable_postgres(directory, is_pinned=True) as server:
        await schema.migrate(server.dsn)
        async with server.connected() as connection:
            await connection.execute(_TABLE)
        config = directory / "node.toml"
        config.write_text(
            f'[node]\nsecret = "{SECRET}"\nroles = ["web", "read", "write"]\n[database]\nprimary = "{server.dsn}"\n',
            encoding="utf-8",
        )
        config.chmod(0o600)
        async with node_process(directory / "node", f"--config={config}") as node:
            pin_server(node.pid)
            creates = Creates(server, node)
            assert server.pid is not None
            parties = {"node": node.pid, "PostgreSQL": server.pid}
            yield Contest(creates.ours, creates.reference, creates.check, parties)


CASE = Case(
    name="creates",
    unit="creates/s",
    ours=f"POST /api/v1/pastes, {SIZE} bytes, {CONNECTIONS} connections, to a node of web, read and write",
    reference=f"pgbench -M prepared -c {CONNECTIONS}, single-row inserts of as many bytes",
    goal=1.0,
    prepared=prepared,
)
