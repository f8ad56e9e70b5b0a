"""Fixtures of a gateway before one node that sends prepared bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.gateways import Gateway, gateway_before, node_at, region
from tests.gateway.roads import Node, listening


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with listening() as node:
        yield node


@pytest.fixture
async def gateway(node: Node, tmp_path: Path) -> AsyncIterator[Gateway]:
    regions = {"us": region(node_at(node.url))}
    async with gateway_before(tmp_path, regions, doors__trusted_proxies=["127.0.0.0/8"]) as running:
        yield running
