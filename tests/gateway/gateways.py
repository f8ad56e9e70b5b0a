"""A gateway of its own for a test, before scripted origins: the real role behind its real door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from pastebin.config import load
from pastebin.node import Running, Stopping
from tests.nodes import plain_client, running

ALL = ("web", "read", "write")


@dataclass(frozen=True)
class Gateway:
    """A gateway that is ready, and a client for it."""

    running: Running
    http: aiohttp.ClientSession
    stopping: Stopping

    @property
    def url(self) -> str:
        return self.running.url("gateway")

    @property
    def address(self) -> tuple[str, int]:
        return self.running.doors["gateway"]

    async def get(self, path: str = "/", **options: Any) -> tuple[int, bytes]:
        async with self.http.get(f"{self.url}{path}", **options) as response:
            return response.status, await response.read()

    async def get_internal(self, path: str) -> tuple[int, bytes]:
        async with self.http.get(f"{self.running.url('internal')}{path}") as response:
            return response.status, await response.read()

    async def raw(self, data: bytes, seconds: float = 60.0) -> bytes:
        """Everything that comes back on a connection of its own until it is closed."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(data)
            got = b""
            async with asyncio.timeout(seconds):
                try:
                    while piece := await reader.read(65536):
                        got += piece
                except ConnectionResetError:
                    pass  # it was closed before all was read that had been sent
            return got
        finally:
            writer.close()

    async def figure(self, name: str) -> float:
        """The sum of a figure over its labels."""
        async with self.http.get(f"{self.running.url('internal')}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def node_at(url: str, name: str = "one", roles: tuple[str, ...] = ALL, **more: str) -> dict[str, Any]:
    """A row of `nodes` in a region."""
    return {"name": name, "url": url, "roles": list(roles), **more}


def region(*nodes: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A table [regions.NAME]."""
    return {"addresses": ["192.0.2.1"], "nodes": list(nodes), **options}


@asynccontextmanager
async def gateway_before(path: Path, regions: Mapping[str, dict[str, Any]], **settings: Any) -> AsyncIterator[Gateway]:
    """Run it while the block lasts; `settings` are `section__key=value`."""
    overrides = {
        "node.roles": ["gateway"],
        "node.secret": "a secret of thirty-two characters, or more",
        "node.data_dir": str(path),
        # a machine that is slow at times is no node that fails
        "gateway.connect_timeout_seconds": 20.0,
        "gateway.probe_timeout_seconds": 20.0,
        "gateway.try_timeout_seconds": 20.0,
        "doors.gateway": "127.0.0.1:0",
        "doors.max_delay_seconds": 0.0,
        "doors.internal": "127.0.0.1:0",
        **{f"regions.{name}": table for name, table in regions.items()},
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    config = load(None, overrides)
    async with running(config) as (ready, stopping), plain_client() as http:
        yield Gateway(ready, http, stopping)
        stopping.ask()  # and the end of the block does so again: nobody is waited for
