"""What nodes say of themselves at /topology."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.internal import Health
from pastebin.http.portraying import Portrayal
from pastebin.metrics import Metrics
from pastebin.portraits import Pace, Portrait, Queue, Server, Servers
from pastebin.sections import DatabaseSection, NodeSection
from pastebin.store import portrait
from pastebin.store.topology import MemberReport
from tests.nodes import Node, directory, started


async def told_by(node: Node) -> dict[str, Any]:
    async with node.http.get(f"{node.internal}/topology") as response:
        assert response.status == 200
        told: dict[str, Any] = await response.json()
        return told


async def test_a_node_tells_what_it_is_and_what_it_sees(node: Node) -> None:
    told = await told_by(node)
    assert told["node"] == node.config.node.name
    assert (told["region"], told["roles"], told["ready"], told["problems"]) == (
        "local",
        ["web", "read", "write"],
        True,
        {},
    )
    assert told["database"]["primary"]["state"] == "up"
    assert told["database"]["replicas"] == []
    assert told["blobs"] == {"kind": "directory", "name": ""}
    for absent in ("queue", "upstreams", "dns", "analytics", "hit_ratio"):
        assert told[absent] is None
    assert msgspec.convert(told, Portrait).node == told["node"]


async def test_nothing_secret_is_told(node: Node) -> None:
    text = str(await told_by(node))
    assert node.config.node.secret.reveal() not in text
    assert "://" not in text


async def test_requests_of_clients_count_once_and_those_of_probes_do_not(database_dsn: str) -> None:
    """A hit is answered before there is a request; a miss by the edge and by the pages behind it."""
    roles = ["web", "read", "write", "cdn-worker", "edge"]
    async with directory() as path, started(database_dsn, path, node__roles=roles) as node:
        paste = await node.paste("hello")
        told = await told_by(node)
        assert (told["hit_ratio"], told["queue"]["depth"]) == (None, 0)
        async with asyncio.timeout(60):
            while not told["hit_ratio"] or not told["requests_per_second"]:
                for _ in range(5):
                    async with node.http.get(paste["raw_url"]) as response:
                        assert response.status == 200
                told = await told_by(node)
        assert 0.5 < told["hit_ratio"] <= 1


def portrayal(problems: Mapping[str, str | None], **parts: Any) -> Portrayal:
    async def wrong(what: str | None) -> str | None:
        if what == "silence":
            await asyncio.Event().wait()
        return what

    checks = {name: (lambda what=what: wrong(what)) for name, what in problems.items()}
    health = Health(checks, started=True)
    return Portrayal(NodeSection(name="n", roles=["read"]), health, Metrics(), parts)


async def test_parts_are_asked_at_most_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("pastebin.http.portraying.time", SimpleNamespace(time=time.time, monotonic=lambda: now))
    asked = []

    def queue() -> Queue:
        asked.append(1)
        return Queue(depth=3)

    one = portrayal({}, queue=queue)
    shown = [await one.portrait() for _ in range(20)]
    assert len(asked) == 1
    assert shown[-1].queue == Queue(depth=3)
    now = 0.51
    await one.portrait()
    assert len(asked) == 2


async def test_a_check_that_hangs_does_not_hide_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pastebin.http.portraying._CHECKS_SECONDS", 0.01)
    shown = await portrayal({"database": "silence"}).portrait()
    assert (shown.ready, list(shown.problems)) == (False, ["node"])


def test_a_replica_that_is_not_read_for_its_lag_is_called_lagging() -> None:
    def report(name: str, state: str, *, leads: bool = False, seconds: float | None = 0.0, size: int | None = 0) -> Any:
        return MemberReport(name, "replica", state, leads, 1, 1, seconds, size, 0.001, 2, None)

    reports = [
        report("p:1", "up", leads=True, seconds=None, size=None),
        report("near:1", "up", seconds=-0.2, size=100),
        report("busy:1", "up", seconds=99.0, size=100),
        report("far:1", "up", seconds=99.0, size=10**9),
        report("gone:1", "down", seconds=None, size=None),
    ]
    shown = portrait.servers(reports, DatabaseSection())
    assert shown.primary == Server("p:1", "up", 2)
    assert shown.replicas[0].lag_seconds == 0.0
    assert [(one.name, one.state) for one in shown.replicas] == [
        ("near:1", "up"),
        ("busy:1", "up"),
        ("far:1", "lagging"),
        ("gone:1", "down"),
    ]
    assert portrait.servers([], DatabaseSection()) == Servers()


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=40))
def test_a_pace_is_that_of_the_last_ten_seconds(steps: list[int]) -> None:
    pace, count = Pace(10), [0]
    pace.counts.append(lambda: count[0])
    assert pace.per_second == 0.0
    for second, step in enumerate(steps):
        count[0] += step
        pace.look(float(second))
    recent = steps[1:][-10:]
    assert pace.grown == sum(recent)
    assert pace.per_second == round(sum(recent) / len(recent), 1)
