"""A gateway sends nothing to a node that has another secret, names it, and is not ready where all have another one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from pastebin.damping import State
from pastebin.fingerprints import fingerprint
from pastebin.gateway.figures import Figures
from pastebin.gateway.fleet import Fleet
from pastebin.geo import Geo
from pastebin.sections import GeoSection
from pastebin.sections_regions import GatewaySection, RegionNodeSection, RegionSection
from tests.cdn.origins import Answer, Origin, answer, scripted
from tests.cluster import until
from tests.gateway.gateways import Gateway, gateway_before, node_at, region

OURS, PREVIOUS, THEIRS = (f"a secret of {who}, of thirty-two characters" for who in ("ours", "old", "theirs"))


@pytest.fixture
async def one() -> AsyncIterator[Origin]:
    async with scripted() as served:
        yield served


@pytest.fixture
async def two() -> AsyncIterator[Origin]:
    async with scripted() as served:
        yield served


def ready(secret: str) -> Answer:
    """What a node answers to probes that was given this secret; without one it says nothing of it."""
    said: dict[str, Any] = {"status": "ready", "requests_per_second": 1.0}
    return answer(body=json.dumps(said | ({"secret": fingerprint(secret.encode())} if secret else {})).encode())


async def told(gateway: Gateway) -> tuple[int, dict[str, Any]]:
    status, body = await gateway.get_internal("/readyz")
    return status, json.loads(body)


async def test_a_node_with_another_secret_is_sent_nothing_and_named(one: Origin, two: Origin, tmp_path: Path) -> None:
    for served, name in ((one, b"one"), (two, b"two")):
        served.script("/abc", answer(body=name))
    one.script("/readyz", ready(THEIRS))
    two.script("/readyz", ready(PREVIOUS))
    regions = {"us": region(*(node_at(at.url, name, internal=at.url) for at, name in ((one, "one"), (two, "two"))))}
    settings = {
        "node__secret": OURS,
        "node__secret_previous": PREVIOUS,
        "gateway__probe_interval_seconds": 0.1,
    }
    async with gateway_before(tmp_path, regions, **settings) as gateway:
        down = 'pastebin_gateway_node_state{node="one",region="us",state="down"}'
        await until(lambda: is_one(gateway, down))
        assert [await gateway.get("/abc") for _ in range(10)] == [(200, b"two")] * 10
        status, said = await told(gateway)
        assert status == 200
        assert said["warnings"]["secret"] == [
            "node one of region us has another node.secret than this node: give every node the same"
        ]
        two.script("/readyz", ready(THEIRS))
        await until(lambda: refuses(gateway))
        assert "every node that answers has another node.secret" in (await told(gateway))[1]["problems"]["secret"]
        assert (await gateway.get("/abc"))[0] == 502
        for served, secret in ((one, OURS), (two, "")):  # who was given none says nothing, and is not compared
            served.script("/readyz", ready(secret))
        await until(lambda: serves_both(gateway))


@pytest.mark.parametrize(
    ("others", "is_up", "is_ready"),
    [(None, True, True), (False, True, True), (None, False, False), (True, True, False)],
)
async def test_one_node_with_another_secret_is_no_hindrance_where_others_can_be_asked(
    others: bool | None, is_up: bool, is_ready: bool
) -> None:
    """Also those that do not say which they have, as nodes of an earlier version."""
    nodes = [RegionNodeSection(name=name, roles=["read"], url="http://127.0.0.1:1") for name in ("one", "two")]
    regions = {"us": RegionSection(addresses=["192.0.2.1"], nodes=nodes)}
    fleet = Fleet(GatewaySection(), regions, "us", Geo(GeoSection()), Figures(CollectorRegistry()))
    one, two = fleet.members()
    assert await fleet.check() is None
    one.is_stranger, two.is_stranger, two.probed = True, others, State(is_up)
    assert (await fleet.check() is None) == is_ready


async def is_one(gateway: Gateway, figure: str) -> bool:
    return await gateway.figure(figure) == 1


async def refuses(gateway: Gateway) -> bool:
    return (await told(gateway))[0] == 503


async def serves_both(gateway: Gateway) -> bool:
    found = await asyncio.gather(*(gateway.get("/abc") for _ in range(20)))
    return {body for _, body in found} == {b"one", b"two"}
