"""Replicas that fall silent, refuse or lag under load: readers notice nothing, the primary is not run over."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.cluster import Servers, until
from tests.nodes import SECRET, directory
from tests.scenarios.load import reading
from tests.scenarios.processes import CALM, NodeProcess

pytestmark = pytest.mark.scenario


def options(servers: Servers, **more: Any) -> list[str]:
    """What a node on these servers is started with."""
    chosen = {
        "node.secret": SECRET,
        "database.primary": servers.primary.dsn,
        "database.replicas": [site.dsn for site in servers.replicas],
        **{key.replace("__", "."): value for key, value in more.items()},
    }
    return [f"--set={key}={json.dumps(value)}" for key, value in chosen.items()]


@asynccontextmanager
async def node_on(servers: Servers, **more: Any) -> AsyncIterator[NodeProcess]:
    async with directory() as path:
        # what an edge has would never reach the database
        process = NodeProcess(path / "data", "--role=web,read,write", CALM, *options(servers, **more))
        await process.start()
        try:
            yield process
        finally:
            assert await process.stop() == 0, process.log_text[-4000:]


async def pastes(node: NodeProcess, servers: Servers, count: int = 20) -> list[str]:
    """Addresses of pastes that every replica has."""
    async with aiohttp.ClientSession() as http:
        slugs = []
        for number in range(count):
            async with http.post(f"{node.url}/api/v1/pastes", json={"content": f"paste {number}\n"}) as response:
                slugs.append((await response.json())["slug"])
    await servers.caught_up()
    return [f"{node.url}/raw/{slug}" for slug in slugs]


async def warnings(node: NodeProcess) -> tuple[int, list[str]]:
    async with aiohttp.ClientSession() as http, http.get(f"{node.internal}/readyz") as response:
        return response.status, (await response.json()).get("warnings", {}).get("database", [])


@pytest.mark.parametrize("failure", ["black_hole", "refuse"])
async def test_a_replica_that_fails_under_load(servers: Servers, failure: str) -> None:
    broken = servers.replicas[0]
    async with node_on(servers) as node, reading(await pastes(node, servers)) as replies:
        await asyncio.sleep(1.0)
        getattr(broken.proxy, failure)()
        failed_at = time.monotonic()
        await asyncio.sleep(6.5)
        ready, said = await warnings(node)
        assert ready == 200
        assert any(broken.name in line for line in said)
        await broken.proxy.restore()
        await until(lambda: _has_no_warnings(node))
        assert set(replies.statuses()) == {200}
        # a read that meets the black hole takes half a second at least; on a busy machine others are slow as well
        usual = replies.percentile(0.99, until=failed_at)
        assert replies.percentile(0.99, since=failed_at + 5.0) < max(0.5, 3 * usual)


async def _has_no_warnings(node: NodeProcess) -> bool:
    return await warnings(node) == (200, [])


async def _is_warned_of(node: NodeProcess, count: int) -> bool:
    ready, said = await warnings(node)
    return (ready, len(said)) == (200, count)


async def test_all_replicas_away_under_load(servers: Servers) -> None:
    rate = 5.0  # less than readers ask for on any machine: lookups of one moment are one statement
    async with node_on(servers, database__spill_reads_per_second=rate) as node:
        async with reading(await pastes(node, servers)) as replies:
            await asyncio.sleep(0.5)
            began = time.monotonic()
            before = await served_by_primary(node)
            for site in servers.replicas:
                site.proxy.refuse()
            await asyncio.sleep(3.0)
            await until(lambda: replies.statuses()[503] > 0)
            assert replies.statuses(since=began + 0.5)[200]
            spilled = await served_by_primary(node) - before
            seconds = time.monotonic() - began
            assert spilled <= rate * (seconds + 1) + 1
            assert all(reply.retry_after for reply in replies.made if reply.status == 503)
            assert set(replies.statuses()) == {200, 503}
            await until(lambda: _is_warned_of(node, len(servers.replicas)))
            for site in servers.replicas:
                await site.proxy.restore()
            await until(lambda: _has_no_warnings(node))
            back = time.monotonic()
            await asyncio.sleep(1.0)
            assert set(replies.statuses(since=back + 0.5)) == {200}


async def test_all_replicas_lagging_under_load(servers: Servers) -> None:
    rate = 5.0
    limits = {"database__max_lag_seconds": 0.5, "database__max_lag_bytes": 0}
    async with node_on(servers, database__spill_reads_per_second=rate, **limits) as node:
        urls = await pastes(node, servers)
        for site in servers.replicas:
            await site.pause()
        await pastes_behind(node)
        await until(lambda: _is_known(node, lambda lag: lag > 0.5))
        began = time.monotonic()
        before = await served_by_primary(node)
        async with reading(urls) as replies:
            await asyncio.sleep(3.0)
            await until(lambda: replies.statuses()[503] > 0)
        spilled = await served_by_primary(node) - before
        seconds = time.monotonic() - began
        # lookups of one moment are one statement: the primary is spared more than the readers notice
        assert set(replies.statuses()) == {200, 503}
        assert replies.statuses()[200]
        assert spilled <= rate * (seconds + 1) + 1
        await pastes_behind(node)  # for which the primary has kept room
        for site in servers.replicas:
            await site.resume()
        await servers.caught_up()
        await until(lambda: _is_known(node, lambda lag: lag < 0.5))
        async with reading(urls) as replies:
            await asyncio.sleep(0.5)
        assert set(replies.statuses()) == {200}


async def _is_known(node: NodeProcess, condition: Callable[[float], bool]) -> bool:
    """Whether the node has seen such lags of all its replicas."""
    async with aiohttp.ClientSession() as http, http.get(f"{node.internal}/metrics") as response:
        lines = (await response.text()).splitlines()
    lags = [line.split()[-1] for line in lines if line.startswith("pastebin_database_replica_lag_seconds{")]
    return sum(condition(float(lag)) for lag in lags) == 3  # that of the primary is no number


async def pastes_behind(node: NodeProcess) -> None:
    """Change something that paused replicas do not get."""
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{node.url}/api/v1/pastes", json={"content": "new\n"}) as response:
            assert response.status == 201


async def served_by_primary(node: NodeProcess) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{node.internal}/metrics") as response:
        for line in (await response.text()).splitlines():
            if line.startswith('pastebin_database_reads_total{by="primary"}'):
                return float(line.split()[-1])
    return 0.0
