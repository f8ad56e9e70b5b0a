"""A node that serves, and its analytics on another one, with a proxy between them that can swallow everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.nodes import SECRET
from tests.scenarios.processes import CALM, NodeProcess, analytics_process, node_process
from tests.tcp_proxy import TcpProxy


@dataclass(frozen=True)
class Divided:
    """Two processes and the proxy. Visits wait in `spool` while nothing comes through."""

    node: NodeProcess
    proxy: TcpProxy

    @property
    def spool(self) -> Path:
        return self.node.data_dir / "visits"

    @property
    def logs(self) -> list[Path]:
        """Of both nodes."""
        place = self.node.data_dir.parent
        return [path for path in place.rglob("*.log") if "postgres" not in path.parts]


@asynccontextmanager
async def divided(directory: Path, dsn: str, analytics: str, *visits: str) -> AsyncIterator[Divided]:
    """A node with an edge on the database `dsn`, and its analytics on another; `visits` are lines of that section.

    Readers may say who they are: the node takes this machine for a proxy.
    """
    (directory / "analytics").mkdir()
    roles = '"web", "read", "write", "cdn-worker", "edge"'
    async with (
        analytics_process(directory / "analytics", analytics) as service,
        TcpProxy.opened(("127.0.0.1", service.port)) as proxy,
    ):
        config = directory / "serving.toml"
        config.touch(mode=0o600)
        config.write_text(
            f'[node]\nsecret = "{SECRET}"\nroles = [{roles}]\n[database]\nprimary = "{dsn}"\n'
            f'[blobs]\nmin_free_bytes = 0\n[doors]\ntrusted_proxies = ["127.0.0.1"]\n[visits]\nurl = "http://127.0.0.1:{proxy.port}"\n'
            + "\n".join(visits)
        )
        async with node_process(directory / "serving", CALM, f"--config={config}") as node:
            yield Divided(node, proxy)
