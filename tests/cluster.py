"""A primary with streaming replicas for tests, each of them behind a proxy that can misbehave.

A pytest plugin: `pytest_plugins = ["tests.cluster"]` beside `tests.postgres`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pastebin.embedded.replica import replica
from pastebin.embedded.server import Server, primary
from pastebin.sections import DatabaseSection, EmbeddedSection, Secret
from pastebin.store import members, schema
from tests.postgres import reachable_directory
from tests.tcp_proxy import TcpProxy

_SECONDS = 120.0


@dataclass(frozen=True)
class Site:
    """One server, the proxy before it, and the database of the test."""

    server: Server
    proxy: TcpProxy
    database: str = "pastebin"

    @property
    def name(self) -> str:
        """As the node calls it."""
        return f"127.0.0.1:{self.proxy.port}"

    @property
    def dsn(self) -> str:
        return f"postgresql://pastebin@{self.name}/{self.database}"

    async def ask(self, query: str, *arguments: Any) -> Any:
        """What the server itself says, behind the proxy's back."""
        async with self.server.connected(self.database) as connection:
            return await connection.fetchval(query, *arguments)

    async def pause(self) -> None:
        """Stop replaying; it goes on receiving."""
        await self.ask("select pg_wal_replay_pause()")
        await until(lambda: self.ask("select pg_get_wal_replay_pause_state() = 'paused'"))

    async def resume(self) -> None:
        await self.ask("select pg_wal_replay_resume() where pg_is_in_recovery()")


@dataclass(frozen=True)
class Servers:
    """The primary first."""

    sites: tuple[Site, ...]

    @property
    def primary(self) -> Site:
        return self.sites[0]

    @property
    def replicas(self) -> tuple[Site, ...]:
        return self.sites[1:]

    def section(self, **options: Any) -> DatabaseSection:
        """The configuration of a node that uses them all."""
        chosen: dict[str, Any] = {
            "primary": Secret(self.primary.dsn),
            "replicas": [Secret(site.dsn) for site in self.replicas],
            "check_interval_seconds": 0.3,
            "slow_start_seconds": 0.0,
        }
        return DatabaseSection(**{**chosen, **options})

    async def caught_up(self) -> None:
        """Return when every replica has replayed what the primary has written."""
        written = await self.primary.ask("select pg_current_wal_flush_lsn()")
        for site in self.replicas:
            # the test's own database may not have got there yet
            async with site.server.connected("postgres") as connection:
                has_it = "select coalesce(pg_last_wal_replay_lsn() >= $1, true)"
                await until(lambda: connection.fetchval(has_it, written))  # noqa: B023  (awaited here)

    async def recover(self) -> None:
        """As they were before a test did something to them."""
        for site in self.sites:
            site.proxy.delay_seconds = 0.0
            await site.proxy.restore()
        for site in self.replicas:
            await site.resume()


async def until(condition: Callable[[], Any]) -> None:
    """Return when the condition, tried again and again, holds: what is awaited here has no events."""
    async with asyncio.timeout(_SECONDS):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def cluster(replicas: int = 3) -> AsyncIterator[Servers]:
    """Start them, with the schema in the database `pastebin`."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(reachable_directory())
        section = EmbeddedSection(durable=False, max_connections=100, shared_buffers_mb=16)
        first = await stack.enter_async_context(primary(section, directory))
        await schema.migrate(first.dsn)
        servers = [first]
        for number in range(1, replicas + 1):
            name = f"replica-{number}"
            servers.append(await stack.enter_async_context(replica(first, directory / name, name=name)))
        sites = [
            Site(server, await stack.enter_async_context(TcpProxy.opened(server.socket_dir / ".s.PGSQL.5432")))
            for server in servers
        ]
        yield Servers(tuple(sites))


@pytest.fixture(scope="session")
async def _servers() -> AsyncIterator[Servers]:
    async with cluster() as servers:
        yield servers


@pytest.fixture
async def servers(_servers: Servers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Servers]:
    """The shared cluster with a database of the test's own. Whoever promotes or stops starts a `cluster`.

    Nobody is suspected because the machine is busy: who is asked would depend on that.
    """
    monkeypatch.setattr(members, "_CHECK_SECONDS", 4.0)
    monkeypatch.setattr(members, "_CHECK_CONNECT_SECONDS", 4.0)
    monkeypatch.setattr(members, "_CHECK_STATEMENT_MS", 3000)
    name = f"test_{secrets.token_hex(6)}"
    async with _servers.primary.server.connected("postgres") as connection:
        await connection.execute(f"create database {name} strategy file_copy")
        await schema.migrate(_servers.primary.server.dsn_for(name))
    mine = Servers(tuple(replace(site, database=name) for site in _servers.sites))
    await mine.caught_up()
    try:
        yield mine
    finally:
        await mine.recover()
        async with _servers.primary.server.connected("postgres") as connection:
            await connection.execute(f"drop database {name} with (force)")
