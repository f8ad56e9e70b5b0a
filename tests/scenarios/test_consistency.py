"""Several nodes, a primary, replicas that lag: everybody sees what was written, nobody sees time run backwards."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from tests.cluster import Servers, cluster
from tests.nodes import Node, directory, started

pytestmark = pytest.mark.scenario

TOKEN = "Pastebin-Consistency"


@dataclass(frozen=True)
class Service:
    """Nodes that share a database, a blob directory and a secret, as behind one address."""

    servers: Servers
    nodes: tuple[Node, ...]


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    """Three nodes, three replicas that lag 0, 2 and 20 seconds."""
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(cluster(3))
        for site, delay in zip(servers.replicas, ("0", "2s", "20s"), strict=True):
            async with site.server.connected() as connection:
                await connection.execute(f"alter system set recovery_min_apply_delay = '{delay}'")
                await connection.execute("select pg_reload_conf()")
        path = await stack.enter_async_context(directory())
        options = {
            "database__replicas": [site.dsn for site in servers.replicas],
            "database__check_interval_seconds": 0.3,
            "database__connect_timeout_seconds": 10.0,  # nobody is away here, the machine may be busy
            "database__slow_start_seconds": 0.0,
            "blobs__directory": str(path / "blobs"),
        }
        nodes = [
            await stack.enter_async_context(
                started(servers.primary.dsn, path / str(number), node__name=f"node-{number}", **options)
            )
            for number in range(3)
        ]
        yield Service(servers, tuple(nodes))


async def test_a_new_link_works_everywhere_at_once_for_everybody(service: Service) -> None:
    wrong: list[tuple[str, int]] = []
    gate = asyncio.Semaphore(16)

    async def create_and_read(number: int) -> None:
        writer = service.nodes[number % len(service.nodes)]
        content = f"paste number {number}\n"
        async with gate:
            created = await writer.paste(content)
            for reader in service.nodes:
                async with reader.http.get(f"{reader.url}/{created['slug']}/raw") as response:
                    if response.status != 200 or await response.text() != content:
                        wrong.append((created["slug"], response.status))

    async with asyncio.TaskGroup() as tasks:
        for number in range(2000):
            tasks.create_task(create_and_read(number))
    assert wrong == []


async def test_with_the_token_of_a_change_nobody_is_shown_the_old_text(service: Service) -> None:
    created = await service.nodes[0].paste("version 0\n")
    for version in range(1, 60):
        writer = service.nodes[version % 3]
        async with writer.http.patch(
            f"{writer.url}/api/v1/pastes/{created['slug']}",
            json={"content": f"version {version}\n"},
            headers={"Authorization": f"Bearer {created['token']}"},
        ) as response:
            assert response.status == 200
            token = response.headers[TOKEN]
        for reader in service.nodes:
            async with reader.http.get(f"{reader.url}/{created['slug']}/raw", headers={TOKEN: token}) as response:
                assert (response.status, await response.text()) == (200, f"version {version}\n")


async def test_a_session_that_hops_between_nodes_never_goes_back_in_time(service: Service) -> None:
    created = await service.nodes[0].paste("0")
    done = asyncio.Event()

    async def write() -> None:
        for version in range(1, 80):
            async with service.nodes[0].http.patch(
                f"{service.nodes[0].url}/api/v1/pastes/{created['slug']}",
                json={"content": str(version)},
                headers={"Authorization": f"Bearer {created['token']}"},
            ) as response:
                assert response.status == 200
        done.set()

    async def read(start: int) -> list[int]:
        token, seen = "", []
        for reader in itertools.cycle(service.nodes[start:] + service.nodes[:start]):
            async with reader.http.get(f"{reader.url}/{created['slug']}/raw", headers={TOKEN: token}) as response:
                assert response.status == 200
                seen.append(int(await response.text()))
                token = response.headers[TOKEN]
            if done.is_set():
                return seen
        raise AssertionError("a cycle has no end")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        readers = [tasks.create_task(read(start)) for start in range(3)]
    for reader in readers:
        assert reader.result() == sorted(reader.result())


@pytest.mark.parametrize("token", ["rubbish", "A" * 60, "é", ""])
async def test_a_token_that_is_none_of_ours_is_no_error(service: Service, token: str) -> None:
    created = await service.nodes[0].paste("hello\n")
    node = service.nodes[1]
    async with node.http.get(f"{node.url}/{created['slug']}/raw", headers={TOKEN: token}) as response:
        assert (response.status, await response.text()) == (200, "hello\n")


async def test_a_burn_is_read_once_whatever_node_is_asked(service: Service) -> None:
    nodes = service.nodes[:2]

    async def reveal(node: Node, slug: str) -> str | None:
        async with node.http.post(f"{node.url}/api/v1/pastes/{slug}/reveal", json={}) as response:
            if response.status == 404:
                return None
            assert response.status == 200
            return await response.text()

    for number in range(100):
        created = await nodes[number % 2].paste(f"secret {number}", burn=True)
        for node, (method, accept) in zip(
            itertools.cycle(nodes), [("GET", "text/html"), ("HEAD", "*/*"), ("GET", "*/*")], strict=False
        ):
            async with node.http.request(
                method, f"{node.url}/{created['slug']}", headers={"Accept": accept, "User-Agent": "Slackbot 1.0"}
            ) as response:
                assert response.status in (200, 403)
        answers = await asyncio.gather(*(reveal(nodes[reader % 2], created["slug"]) for reader in range(50)))
        assert [answer for answer in answers if answer is not None] == [f"secret {number}"]
