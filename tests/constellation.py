"""Several real nodes of two regions in this process, and some that are not there, for pages that show all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pastebin.services import watching
from tests.analytics.traffic import TOKEN
from tests.nodes import Node, started
from tests.ports import free_port

ROLES = {
    "us-web": ["web", "read", "write"],
    "us-edge": ["edge"],
    "us-gateway": ["gateway"],
    "geodns-1": ["geodns"],
    "worker-1": ["cdn-worker"],
}
HOSTILE = "<script>alert(1)</script>\u202e"


@dataclass(frozen=True)
class Constellation:
    """`web` has the page; `absent` is the name of a node that is not there."""

    nodes: dict[str, Node]
    absent: str = "il-edge"

    @property
    def web(self) -> Node:
        return self.nodes["us-web"]


def row(name: str, roles: list[str], internal: int, **more: str) -> dict[str, Any]:
    """A node in a table."""
    return {"name": name, "roles": roles, "internal": f"http://127.0.0.1:{internal}", **more}


def wait_for_everybody(patch: pytest.MonkeyPatch) -> None:
    """Whoever looks for the first time sees all who answer, and all who do not, however busy the machine is."""
    for patience in ("_PATIENCE_SECONDS", "_ANSWER_SECONDS"):
        patch.setattr(watching, patience, 60.0)


@asynccontextmanager
async def constellation(dsn: str, path: Path, **settings: Any) -> AsyncIterator[Constellation]:
    """Run it while the block lasts; `settings` are of the node with the page."""
    ports = {name: free_port() for name in (*ROLES, "il-edge")}
    origin = free_port()
    url = f"http://127.0.0.1:{origin}"
    tables = _tables(ports, url)
    target = {"name": "us-edge", "kind": "edge", "url": f"http://127.0.0.1:{ports['us-edge']}"}
    own: dict[str, dict[str, Any]] = {
        "us-web": {"doors.origin": f"127.0.0.1:{origin}", "admin.token": TOKEN, **tables, **settings},
        "us-edge": {"edge.origin": url, "doors.edge": "127.0.0.1:0", "edge.min_free_bytes": 0},
        "us-gateway": {**tables, "doors.gateway": "127.0.0.1:0"},
        "geodns-1": {
            **tables,
            "doors.dns": "127.0.0.1:0",
            "geodns.zone": "p.example",
            "geodns.nameservers": ["ns.other.example"],
            "geodns.probe_interval_seconds": 0.1,
        },
        "worker-1": {"cdn.targets": [target]},
    }
    async with AsyncExitStack() as stack:
        nodes = {}
        for name, held in ROLES.items():
            common = {"node.name": name, "node.region": "us", "node.roles": held}
            door = {"doors.internal": f"127.0.0.1:{ports[name]}"}
            nodes[name] = await stack.enter_async_context(started(dsn, path / name, **common, **door, **own[name]))
        yield Constellation(nodes)


def _tables(ports: dict[str, int], url: str) -> dict[str, Any]:
    """Who is where; nobody listens at the door of `il-edge`."""
    return {
        "regions.us": {
            "addresses": ["192.0.2.1"],
            "countries": ["US"],
            "probe": [f"http://127.0.0.1:{ports['us-web']}/readyz"],
            "nodes": [
                row("us-web", ROLES["us-web"], ports["us-web"], url=url),
                row("us-edge", ["edge", "web", "read"], ports["us-edge"]),
                row("us-gateway", ["gateway"], ports["us-gateway"]),
            ],
        },
        "regions.il": {
            "addresses": ["192.0.2.2"],
            "probe": [f"http://127.0.0.1:{ports['il-edge']}/readyz"],
            "nodes": [row("il-edge", ["edge", "web", "read"], ports["il-edge"])],
        },
        "admin.nodes": [
            row("geodns-1", ["geodns"], ports["geodns-1"]),
            row("worker-1", ["cdn-worker"], ports["worker-1"]),
            row("mute", ["analytics"], ports["il-edge"]),
        ],
    }
