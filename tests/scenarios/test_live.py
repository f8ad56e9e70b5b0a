"""Live pastes between real nodes: written at one, read at another, through an edge and a gateway; a node that dies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from tests.gateway.gateways import gateway_before, node_at, region
from tests.nodes import SECRET, directory, started
from tests.programs import require
from tests.scenarios.processes import CALM, NodeProcess, node_process

pytestmark = pytest.mark.scenario

_SECONDS = 90.0
_LEASE = 4.0


@dataclass(frozen=True)
class Service:
    """A node that writes and one that reads, an edge before that, and a gateway before all of them."""

    writer: NodeProcess
    reader: NodeProcess
    edge: str
    gateway: str


@pytest.fixture
async def service(database_dsn: str) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        path = await enter(directory())
        shared = {
            "node.secret": SECRET,
            "database.primary": database_dsn,
            "blobs.directory": str(path / "blobs"),
            "blobs.min_free_bytes": 0,
            "live.lease_seconds": _LEASE,
            # slower than any of its lines come
            "doors.body_idle_seconds": 1.0,
            "doors.min_body_bytes_per_second": 1_000_000,
        }
        options = [f"--set={name}={json.dumps(value)}" for name, value in shared.items()]
        writer = NodeProcess(path / "one", "--role=read,write", CALM, *options)
        await writer.start()
        stack.push_async_callback(writer.stop)
        reader = await enter(node_process(path / "two", "--role=web,read,write", CALM, *options))
        patience = {"doors__body_idle_seconds": 1.0, "doors__min_body_bytes_per_second": 1_000_000}
        edge = await enter(
            started(
                "",
                path / "edge",
                node__roles=["edge"],
                doors__edge="127.0.0.1:0",
                edge__origin=reader.url,
                edge__response_timeout_seconds=3.0,
                edge__connections=2,
                edge__lease_seconds=0,
                **patience,
            )
        )
        nodes = [
            node_at(writer.url, "one", ("write",)),
            node_at(edge.running.url("edge"), "pop", ("edge", "web", "read")),
        ]
        gateway = await enter(
            gateway_before(
                path / "gateway",
                {"eu": region(*nodes)},
                gateway__stream_idle_seconds=1.0,
                node__region="eu",
                **patience,
            )
        )
        yield Service(writer, reader, edge.running.url("edge"), gateway.url)


@asynccontextmanager
async def curl(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        require("curl"), "-sSN", *arguments, stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), _SECONDS)).decode()


async def say(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text.encode())
    await process.stdin.drain()


async def test_written_here_and_read_there(service: Service) -> None:
    """Each line goes through gateway and node, and comes back through node, edge and gateway."""
    async with curl("-T", ".", f"{service.gateway}/live") as writer:
        slug = (await line_of(writer)).strip().rsplit("/", 1)[-1]
        delays = []
        async with curl(f"{service.gateway}/{slug}/tail") as tail, aiohttp.ClientSession() as http:
            for number in range(6):
                await say(writer, f"line {number}\n")
                said = time.perf_counter()
                assert await line_of(tail) == f"line {number}\n"
                delays.append(time.perf_counter() - said)
                await asyncio.sleep(3.5 if number == 3 else 0.1)  # longer than any hop waits for others
            more = [await http.get(f"{service.edge}/{slug}/tail") for _ in range(5)]  # than it has connections
            for response in more:
                assert await response.content.readexactly(7) == b"line 0\n"
            async with http.get(f"{service.edge}/{slug}/raw") as raw:
                assert raw.headers["Cache-Status"].count("hit") == 0
                assert len((await raw.text()).splitlines()) == 6
            assert writer.stdin is not None
            writer.stdin.close()
            assert await asyncio.wait_for(writer.wait(), _SECONDS) == 0
            assert await asyncio.wait_for(tail.wait(), _SECONDS) == 0
            for response in more:
                assert (await response.content.read()).count(b"\n") == 5
            async with http.get(f"{service.edge}/{slug}/raw") as raw:
                assert "max-age" in raw.headers["CDN-Cache-Control"]
        print("seconds from writer to reader:", [round(delay, 3) for delay in delays])


async def test_the_node_of_a_writer_is_killed(service: Service) -> None:
    """What has arrived is kept, and the paste ends by itself."""
    slug = "the-build"
    # this way curl looks at the answer when it has something to send only
    async with curl("-T", "-", f"{service.writer.url}/live?slug={slug}") as writer:
        await say(writer, "the first words\n")
        async with curl("--retry", "10", "--retry-all-errors", "--fail", f"{service.reader.url}/{slug}/tail") as tail:
            assert await line_of(tail) == "the first words\n"
            await say(writer, "the last words\n")
            assert await line_of(tail) == "the last words\n"
            assert await line_of(writer) == f"{service.writer.url}/{slug}\n"
            await service.writer.kill()
            killed = time.perf_counter()
            assert await asyncio.wait_for(tail.wait(), _SECONDS) == 0
            print("seconds to the end of the paste:", round(time.perf_counter() - killed, 2))
        assert writer.stdin is not None
        writer.stdin.close()  # curl looks at nothing else meanwhile
        assert await asyncio.wait_for(writer.wait(), _SECONDS) != 0
    async with aiohttp.ClientSession() as http, http.get(f"{service.reader.url}/{slug}/raw") as raw:
        assert await raw.read() == b"the first words\nthe last words\n"
        assert "max-age" in raw.headers["CDN-Cache-Control"]
