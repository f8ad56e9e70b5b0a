"""Nodes as processes of their own, for cases that ask no more of them than to be there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pastebin.store import schema
from tests.bench.harness import durable_postgres
from tests.nodes import SECRET
from tests.scenarios.processes import NodeProcess, node_process


@asynccontextmanager
async def whole_node(directory: Path) -> AsyncIterator[NodeProcess]:
    """One with the roles of a node that is alone, on a PostgreSQL that loses nothing."""
    async with durable_postgres(directory) as server:
        await schema.migrate(server.dsn)
        config = directory / "node.toml"
        config.write_text(f'[node]\nsecret = "{SECRET}"\n[database]\nprimary = "{server.dsn}"\n', encoding="utf-8")
        config.chmod(0o600)
        async with node_process(directory / "node", f"--config={config}") as node:
            yield node
