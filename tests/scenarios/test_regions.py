"""Two regions: changes go to the primary's, reads stay, and what a client has written it sees anywhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.cdn.edges import edge_before
from tests.cluster import Servers, Site, until
from tests.gateway.gateways import Gateway, gateway_before, node_at, region
from tests.nodes import SECRET, directory
from tests.scenarios.processes import CALM, NodeProcess
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.scenario

TOKEN = "Pastebin-Consistency"


@dataclass(frozen=True)
class Regions:
    """`us` has the primary; `eu` has a replica, nodes that only read, and a way to the primary that can be cut."""

    us: NodeProcess
    eu: NodeProcess
    gateway: Gateway  # of eu
    replica: Site  # of eu
    way: TcpProxy

    async def create(self, content: str) -> tuple[str, str]:
        """Make a paste through the gateway; its slug and the token of what was written."""
        async with self.gateway.http.post(f"{self.gateway.url}/api/v1/pastes", json={"content": content}) as response:
            assert response.status == 201, await response.text()
            return (await response.json())["slug"], response.headers[TOKEN]

    async def read(self, slug: str, token: str | None = None) -> tuple[int, bytes]:
        headers = {} if token is None else {TOKEN: token}
        return await self.gateway.get(f"/raw/{slug}", headers=headers)

    async def answers_of(self, name: str) -> float:
        return await self.gateway.figure(f'pastebin_gateway_answers_total{{node="{name}"')

    async def hops(self) -> float:
        return await self.gateway.figure('pastebin_gateway_retries_total{reason="behind"')


def options(name: str, roles: str, **settings: Any) -> list[str]:
    chosen = {
        "node.name": name,
        "node.secret": SECRET,
        "doors.trusted_proxies": ["127.0.0.0/8"],
        # nobody is away unless a test refuses him, the machine may be busy
        "database.connect_timeout_seconds": 20.0,
        "database.replica_timeout_seconds": 20.0,
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    return [CALM, f"--role={roles}", *(f"--set={key}={json.dumps(value)}" for key, value in chosen.items())]


@asynccontextmanager
async def running(process: NodeProcess) -> AsyncIterator[NodeProcess]:
    await process.start()
    try:
        yield process
    finally:
        assert await process.stop() == 0, process.log_text[-4000:]


@pytest.fixture
async def regions(servers: Servers) -> AsyncIterator[Regions]:
    near, other, *_ = servers.replicas
    async with AsyncExitStack() as stack:
        path = await stack.enter_async_context(directory())
        way = await stack.enter_async_context(TcpProxy.opened(servers.primary.server.socket_dir / ".s.PGSQL.5432"))
        far = f"postgresql://pastebin@127.0.0.1:{way.port}/{servers.primary.database}"
        us_options = options(
            "us", "web,read,write", database__primary=servers.primary.dsn, database__replicas=[near.dsn]
        )
        eu_options = options("eu", "web,read", database__primary=far, database__replicas=[other.dsn])
        us = await stack.enter_async_context(running(NodeProcess(path / "us", *us_options)))
        eu = await stack.enter_async_context(running(NodeProcess(path / "eu", *eu_options)))
        tables = {
            "us": region(node_at(us.url, "us-1", internal=us.internal)),
            "eu": region(node_at(eu.url, "eu-1", ("web", "read"), internal=eu.internal), addresses=["192.0.2.2"]),
        }
        settings = {
            "gateway__primary": "us",
            "gateway__steer": False,
            "gateway__hedge_share": 0.0,  # who answers is counted
            "node__region": "eu",
        }
        gateway = await stack.enter_async_context(gateway_before(path / "gateway", tables, **settings))
        yield Regions(us, eu, gateway, other, way)


async def test_changes_go_to_the_region_of_the_primary_and_reads_stay(regions: Regions, servers: Servers) -> None:
    slug, _ = await regions.create("from everywhere\n")
    assert (await regions.answers_of("us-1"), await regions.answers_of("eu-1")) == (1, 0)
    await servers.caught_up()
    for _ in range(5):
        assert await regions.read(slug) == (200, b"from everywhere\n")
    assert (await regions.answers_of("us-1"), await regions.answers_of("eu-1")) == (1, 5)


async def test_what_was_written_is_read_in_a_region_whose_replica_stands_still(regions: Regions) -> None:
    """There asked of the primary itself: with the token of the client, and by anybody who has the link."""
    await regions.replica.pause()
    slug, token = await regions.create("just now\n")
    assert await regions.read(slug, token) == (200, b"just now\n")
    assert await regions.read(slug) == (200, b"just now\n")
    assert await regions.hops() == 0


async def test_what_a_region_cannot_know_is_asked_of_that_of_the_primary(regions: Regions, servers: Servers) -> None:
    old, _ = await regions.create("long ago\n")
    await servers.caught_up()
    await regions.replica.pause()
    regions.way.refuse()
    slug, token = await regions.create("just now\n")
    assert await regions.read(slug, token) == (200, b"just now\n")
    assert await regions.hops() == 1
    before = await regions.answers_of("eu-1")
    assert await regions.read(old) == (200, b"long ago\n")
    assert await regions.answers_of("eu-1") == before + 1
    await regions.way.restore()
    await regions.replica.resume()
    await until(lambda: _is_local(regions, slug, token))


async def _is_local(regions: Regions, slug: str, token: str) -> bool:
    """Whether the region answers a client that has written there by itself again."""
    hops = await regions.hops()
    status, _ = await regions.read(slug, token)
    return status == 200 and await regions.hops() == hops


async def test_a_change_that_comes_to_an_edge_elsewhere_goes_to_those_who_write(regions: Regions) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{regions.eu.url}/api/v1/pastes", data=b"x") as response:
        assert response.status in (404, 405)  # it only reads
    async with edge_before(regions.eu.url, edge__write_origin=[regions.us.url]) as edge:
        made = await edge.ask(
            "/api/v1/pastes", [("Content-Type", "text/plain")], method="POST", data=b"through an edge\n"
        )
        assert made.status == 201
        read = await edge.ask(f"/raw/{json.loads(made.body)['slug']}")
        assert (read.status, read.body) == (200, b"through an edge\n")


async def test_a_node_with_another_secret_does_not_start_and_says_who_came_first(servers: Servers) -> None:
    async with directory() as path:
        first = NodeProcess(path / "us", *options("us-1", "read", database__primary=servers.primary.dsn))
        other = NodeProcess(
            path / "eu",
            *options("eu-1", "read", database__primary=servers.primary.dsn, node__secret=SECRET.upper()),
        )
        async with running(first):
            with pytest.raises(AssertionError, match="the node ended with 78"):
                await other.start()
        assert "node.secret differs from that of the other nodes: node 'us-1' has noted another one" in other.log_text
        assert SECRET.upper() not in other.log_text
