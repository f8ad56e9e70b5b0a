"""Nodes on an object store: killed at every step of an upload, cut off from the store, flooded by slow clients."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.commands import told
from tests.nodes import SECRET, Node, directory, started
from tests.proxies import Proxy, proxied
from tests.scenarios.processes import CALM, NodeProcess
from tests.seaweed import BUCKET, Seaweed, running

pytestmark = pytest.mark.scenario

MIB = 1024**2
BODY = secrets.token_bytes(20 * MIB)
_SECONDS = 120.0


@pytest.fixture
async def place() -> AsyncIterator[Path]:
    async with directory() as path:
        yield path


def options_of(settings: dict[str, Any]) -> list[str]:
    return [f"--set={name.replace('__', '.')}={value}" for name, value in settings.items()]


async def digest_of(http: aiohttp.ClientSession, url: str) -> str:
    async with http.get(url) as response:
        assert response.status == 200, await response.text()
        return hashlib.sha256(await response.read()).hexdigest()


class Killed:
    """A write node behind a proxy, on a database and a bucket of its own, that gets killed and started again."""

    def __init__(self, node: NodeProcess, proxy: Proxy, dsn: str, options: list[str], s3: Any, prefix: str) -> None:
        self.node = node
        self.proxy = proxy
        self.dsn = dsn
        self.options = options
        self._s3 = s3
        self._prefix = prefix
        self.acknowledged: dict[str, str] = {}

    async def upload(self, http: aiohttp.ClientSession, body: bytes) -> None:
        async with http.post(f"{self.node.url}/api/v1/pastes", data=_in_chunks(body)) as response:
            assert response.status == 201, await response.text()
            self.acknowledged[(await response.json())["raw_url"]] = hashlib.sha256(body).hexdigest()

    async def kill_when(self, moment: asyncio.Event) -> None:
        """Upload, and kill the node at that moment."""
        async with aiohttp.ClientSession() as http:
            task = asyncio.create_task(self.upload(http, BODY))
            async with asyncio.timeout(_SECONDS):
                await moment.wait()
            await self.node.kill()
            await asyncio.gather(task, return_exceptions=True)
        self.proxy.heal()

    async def check(self) -> None:
        """After the grace period: rows and objects match both ways, and every acknowledged paste is there."""
        code, output = await told("blobs", "sweep", *self.options)
        assert code == 0, output
        connection = await asyncpg.connect(self.dsn)
        try:
            rows = {row["key"]: row["state"] for row in await connection.fetch("select key, state from blobs")}
        finally:
            await connection.close()
        listing = await self._s3.list_objects_v2(Bucket=BUCKET, Prefix=self._prefix)
        assert {item["Key"].removeprefix(self._prefix) for item in listing.get("Contents", ())} == set(rows)
        assert set(rows.values()) <= {"live"}
        uploads = await self._s3.list_multipart_uploads(Bucket=BUCKET, Prefix=self._prefix)
        assert uploads.get("Uploads", []) == []
        await self.node.start()
        async with aiohttp.ClientSession() as http:
            for url, digest in self.acknowledged.items():
                assert await digest_of(http, f"{self.node.url}{url[url.index('/', 8) :]}") == digest


async def _in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 256 * 1024):
        yield body[start : start + 256 * 1024]


@asynccontextmanager
async def listening(dsn: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set when a paste has been committed."""
    committed = asyncio.Event()
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "create function told() returns trigger language plpgsql as $$begin notify pasted; return null; end$$;"
            "create trigger told after insert on pastes execute function told()"
        )
        await connection.add_listener("pasted", lambda *_: committed.set())
        yield committed
        await connection.execute("drop trigger told on pastes; drop function told")
    finally:
        await connection.close()


async def kill_before_commit(killed: Killed) -> None:
    """The commit waits for a lock when the node dies."""
    connection, observer = await asyncpg.connect(killed.dsn), await asyncpg.connect(killed.dsn)
    blocked = (
        "select pid from pg_stat_activity where $1 = any(pg_blocking_pids(pid)) and query like '%insert into pastes%'"
    )
    waits = asyncio.Event()
    pids: list[int] = []

    async def watch() -> None:
        while not pids:
            pids.extend(row["pid"] for row in await observer.fetch(blocked, connection.get_server_pid()))
            await asyncio.sleep(0.02)  # PostgreSQL has no event for that
        waits.set()

    try:
        async with connection.transaction(), asyncio.TaskGroup() as tasks:
            await connection.execute("lock table pastes in access exclusive mode")
            tasks.create_task(watch())
            await killed.kill_when(waits)
            # or it would commit once the lock is free, although nobody waits for the answer
            await observer.execute("select pg_terminate_backend($1)", pids[0])
    finally:
        await connection.close()
        await observer.close()


async def test_a_node_killed_at_every_step_of_an_upload(
    place: Path, seaweed: Seaweed, seaweed_client: Any, prefix: str, database_dsn: str
) -> None:
    steps = {
        "after create-multipart": ("POST .*uploads", {"down_bytes": 0}),
        "in mid-part": ("PUT .*partNumber=2\\b", {"up_bytes": MIB}),
        "before complete": ("POST .*uploadId=", {"up_bytes": 0}),
        "after complete": ("POST .*uploadId=", {"down_bytes": 0}),
    }
    async with proxied(seaweed.port) as proxy:
        settings = seaweed.settings(
            endpoint=proxy.endpoint, prefix=prefix, grace_seconds=0, inline_max_bytes=1000, read_timeout_seconds=60
        )
        settings |= {
            "database__primary": database_dsn,
            "node__secret": SECRET,
            "sweeping__interval_seconds": 3600,
        }
        options = options_of(settings)
        node = NodeProcess(place / "data", CALM, *options)
        # the node's own sweep, when it starts, must not take an upload under way for abandoned
        sweep = [f"--data-dir={place / 'data'}", *options, "--set=sweeping.abandoned_seconds=0.01"]
        killed = Killed(node, proxy, database_dsn, sweep, seaweed_client, prefix)
        await node.start()
        try:
            async with aiohttp.ClientSession() as http:
                await killed.upload(http, BODY)
                await killed.upload(http, b"small")
            for when, what in steps.values():
                fault = proxy.add(when, then="hang", **what)
                await killed.kill_when(fault.happened)
                await killed.check()
            await kill_before_commit(killed)
            await killed.check()
            async with listening(database_dsn) as committed:
                await killed.kill_when(committed)
                await killed.check()
        finally:
            await node.stop()


async def test_the_object_store_goes_away_and_comes_back(place: Path, database_dsn: str) -> None:
    """Large content fails cleanly, small content goes on, the node stays ready, nobody restarts anything."""
    async with running() as seaweed:
        settings = seaweed.settings(connect_timeout_seconds=5, read_timeout_seconds=20, part_timeout_seconds=30)
        async with started(database_dsn, place, **settings) as node:
            large = await node.paste(BODY)
            async with node.http.get(large["raw_url"]) as download:
                await download.content.readexactly(1000)
                await _upload_that_fails(node, seaweed)
                with pytest.raises(aiohttp.ClientPayloadError):
                    await download.content.read()
            small = await node.paste("small")
            async with node.http.get(small["raw_url"]) as response:
                assert (response.status, await response.text()) == (200, "small")
            async with node.http.get(f"{node.internal}/readyz") as response:
                assert response.status == 200
            async with node.http.get(large["raw_url"]) as response:
                assert (response.status, "Retry-After" in response.headers) == (503, True)
            await seaweed.start()
            await _again_readable(node.http, large["raw_url"])
            assert await digest_of(node.http, large["raw_url"]) == hashlib.sha256(BODY).hexdigest()
            again = await node.paste(BODY[1:])
            assert await digest_of(node.http, again["raw_url"]) == hashlib.sha256(BODY[1:]).hexdigest()


async def _again_readable(http: aiohttp.ClientSession, url: str) -> None:
    """Until a request is given to the store again, which a refusal says the time of."""
    async with asyncio.timeout(_SECONDS):
        while True:
            async with http.get(url) as response:
                if response.status == 200:
                    return
                assert (response.status, "Retry-After" in response.headers) == (503, True)
                await asyncio.sleep(min(1.0, int(response.headers["Retry-After"])))


async def _upload_that_fails(node: Node, seaweed: Seaweed) -> None:
    async def body() -> AsyncIterator[bytes]:
        for number in range(3):
            if number == 1:
                await seaweed.stop()
            async for chunk in _in_chunks(BODY):
                yield chunk

    async with node.http.post(f"{node.url}/api/v1/pastes", data=body()) as response:
        problem = await response.json()
        assert (response.status, problem["type"], response.headers["Retry-After"]) == (
            503,
            "/problems/unavailable",
            "2",
        )


async def test_many_slow_uploads_stay_within_their_memory(
    place: Path, seaweed: Seaweed, prefix: str, database_dsn: str
) -> None:
    """50 at once, each several times what its share of the budget would be."""
    budget, uploads, size = 48 * MIB, 50, 14 * MIB
    settings = seaweed.settings(prefix=prefix, upload_budget_bytes=budget) | {
        "database__primary": database_dsn,
        "node__secret": SECRET,
    }
    node = NodeProcess(place / "data", CALM, *options_of(settings))
    await node.start()
    try:
        before = node.rss_bytes()
        node.forget_peak()

        async def slowly() -> AsyncIterator[bytes]:
            async for chunk in _in_chunks(BODY[:size]):
                yield chunk
                await asyncio.sleep(0.01)  # what makes a slow client

        async def upload(http: aiohttp.ClientSession) -> str:
            async with http.post(f"{node.url}/api/v1/pastes", data=slowly()) as response:
                assert response.status == 201, await response.text()
                return str((await response.json())["raw_url"])

        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
            urls = await asyncio.gather(*(upload(http) for _ in range(uploads)))
            peak = node.rss_bytes(peak=True)
            assert await digest_of(http, urls[-1]) == hashlib.sha256(BODY[:size]).hexdigest()
        print(f"{before // MIB} MiB before, {peak // MIB} MiB at the most")
        # their parts, and what belongs to each connection
        assert peak - before < budget + 16 * MIB
    finally:
        await node.stop()


async def test_an_embedded_node_moves_to_an_object_store_and_back(
    place: Path, seaweed: Seaweed, prefix: str, database_dsn: str
) -> None:
    settings = seaweed.settings(prefix=prefix, inline_max_bytes=1000)
    common = options_of(settings | {"database__primary": database_dsn, "node__secret": SECRET})
    options = [f"--data-dir={place}", *common]
    bodies = [BODY[: 5000 * (number + 1)] for number in range(7)] + [BODY]
    async with started(database_dsn, place, **(settings | {"blobs__store": "directory"})) as node:
        made = [await node.paste(body) for body in bodies]
    assert await told("blobs", "copy", "--from=directory", "--to=s3", *options) == (
        0,
        "8 blobs copied, 0 there already, 0 failed\n",
    )
    assert (await told("blobs", "copy", "--from=directory", "--to=s3", *options))[1].startswith("0 blobs copied, 8")
    async with started(database_dsn, place, **settings) as node:
        for paste, body in zip(made, bodies, strict=True):
            path = paste["raw_url"][paste["raw_url"].index("/", 8) :]
            assert await digest_of(node.http, node.url + path) == hashlib.sha256(body).hexdigest()
        made.append(await node.paste(BODY[7:]))
    (damaged,) = [path for path in (place / "blobs").rglob("*") if path.is_file() and path.stat().st_size == 5000]
    damaged.unlink()
    assert (await told("blobs", "copy", "--from=s3", "--to=directory", *options))[1].startswith("2 blobs copied, 7")


async def test_bytes_that_are_not_those_of_the_database_are_not_copied(
    place: Path, seaweed: Seaweed, seaweed_client: Any, prefix: str, database_dsn: str
) -> None:
    settings = seaweed.settings(prefix=prefix, inline_max_bytes=1000)
    options = [
        f"--data-dir={place}",
        *options_of(settings | {"database__primary": database_dsn, "node__secret": SECRET}),
    ]
    async with started(database_dsn, place, **(settings | {"blobs__store": "directory"})) as node:
        paste = await node.paste(BODY[:5000])
        (path,) = [path for path in (place / "blobs").rglob("*") if path.is_file()]
        path.write_bytes(BODY[1:5001])
        async with node.http.get(paste["raw_url"]) as response:
            assert response.status == 503
    code, output = await told("blobs", "copy", "--from=directory", "--to=s3", *options)
    assert (code, "0 blobs copied, 0 there already, 1 failed" in output) == (1, True)
    assert (await seaweed_client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)).get("Contents", []) == []


async def test_a_sweep_by_hand(
    place: Path, seaweed: Seaweed, seaweed_client: Any, prefix: str, database_dsn: str
) -> None:
    key = secrets.token_hex(16)
    await seaweed_client.put_object(Bucket=BUCKET, Key=prefix + key, Body=b"stray")
    settings = seaweed.settings(prefix=prefix, grace_seconds=0) | {
        "database__primary": database_dsn,
        "node__secret": SECRET,
    }
    options = [f"--data-dir={place}", *options_of(settings)]
    await asyncio.sleep(1.1)  # stores tell whole seconds
    for dry, said in ((["--dry-run"], "would remove"), ([], "removed")):
        code, output = await told("blobs", "sweep", *dry, *options)
        assert (code, f"{said} {key}: 5 bytes" in output) == (0, True), output
    assert (await seaweed_client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)).get("Contents", []) == []
