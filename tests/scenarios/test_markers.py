"""Read nodes with replicas and without an edge: after the answer to a change nobody is shown what was there before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.cluster import Servers, until
from tests.nodes import Node, directory, started

pytestmark = pytest.mark.scenario


@asynccontextmanager
async def reader_and_writer(servers: Servers, **more: Any) -> AsyncIterator[tuple[Node, Node]]:
    """A reader on the replicas, and a writer that tells it of changes; `more` is for the reader."""
    async with AsyncExitStack() as stack:
        path = await stack.enter_async_context(directory())
        options = {
            "database__check_interval_seconds": 0.3,
            "database__slow_start_seconds": 0.0,
            # nobody is away here, the machine may be busy
            "database__connect_timeout_seconds": 30.0,
            "database__replica_timeout_seconds": 30.0,
            "database__max_lag_seconds": 120.0,
            "blobs__directory": str(path / "blobs"),
        }
        reader = await stack.enter_async_context(
            started(
                servers.primary.dsn,
                path / "reader",
                node__name="reader",
                node__roles=["web", "read"],
                database__replicas=[site.dsn for site in servers.replicas],
                **options,
                **more,
            )
        )
        settings: dict[str, Any] = {}
        if "database__markers" in more:
            target = {"name": "reader", "kind": "edge", "url": reader.internal}
            settings = {"node__roles": ["write", "cdn-worker"], "cdn__targets": [target], "cdn__confirm_seconds": 30.0}
        writer = started(servers.primary.dsn, path / "writer", node__name="writer", **options, **settings)
        yield reader, await stack.enter_async_context(writer)


async def change(node: Node, method: str, created: dict[str, Any], body: dict[str, Any] | None = None) -> str:
    """What the answer says of caches."""
    async with node.http.request(
        method,
        f"{node.url}/api/v1/pastes/{created['slug']}",
        json=body,
        headers={"Authorization": f"Bearer {created['token']}"},
    ) as response:
        assert response.status in (200, 204), await response.text()
        return response.headers["Pastebin-Purge"]


async def read(node: Node, slug: str) -> tuple[int, str]:
    """By a client that has never been here."""
    async with aiohttp.ClientSession() as http, http.get(f"{node.url}/{slug}/raw") as response:
        return response.status, await response.text()


async def from_replicas(node: Node) -> float:
    """Statements that replicas have answered."""
    async with aiohttp.ClientSession() as http, http.get(f"{node.internal}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith('pastebin_database_reads_total{by="replica"')
    )


async def test_what_was_acknowledged_is_shown_though_replicas_are_behind(servers: Servers) -> None:
    async with reader_and_writer(servers, database__markers=True) as (reader, writer):
        changed, deleted, untouched = [await writer.paste("before") for _ in range(3)]
        await servers.caught_up()
        for site in servers.replicas:
            await site.pause()
        for paste in (changed, deleted):
            assert await read(reader, paste["slug"]) == (200, "before")
        assert (await change(writer, "PATCH", changed, {"content": "after"})).startswith("confirmed; edges=1")
        assert await read(reader, changed["slug"]) == (200, "after")
        assert (await change(writer, "DELETE", deleted)).startswith("confirmed; edges=1")
        assert (await read(reader, deleted["slug"]))[0] == 404
        before = await from_replicas(reader)
        assert await read(reader, untouched["slug"]) == (200, "before")
        assert await from_replicas(reader) > before


async def test_without_markers_a_replica_that_is_behind_is_believed(servers: Servers) -> None:
    """What the option is for; and that the test above would notice its absence."""
    async with reader_and_writer(servers) as (reader, writer):
        paste = await writer.paste("before")
        await servers.caught_up()
        for site in servers.replicas:
            await site.pause()
        await change(writer, "PATCH", paste, {"content": "after"})
        assert await read(reader, paste["slug"]) == (200, "before")


async def test_who_hears_nothing_asks_the_primary(servers: Servers) -> None:
    """A reader that no worker reaches cannot know what has changed."""
    async with reader_and_writer(servers, database__markers=True, edge__lease_seconds=2.0) as (reader, writer):
        paste = await writer.paste("before")
        await servers.caught_up()
        for site in servers.replicas:
            await site.pause()
        assert (await change(writer, "PATCH", paste, {"title": "told"})).startswith("confirmed; edges=1")
        writer.stopping.ask()
        await servers.primary.ask("update pastes set state = 'deleted', ended_at = now()")
        await until(lambda: _is_gone(reader, paste["slug"]))


async def _is_gone(node: Node, slug: str) -> bool:
    return (await read(node, slug))[0] == 404
