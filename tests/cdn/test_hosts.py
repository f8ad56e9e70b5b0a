"""The Host of a request is part of every key: an edge can be told which ones there are."""

from __future__ import annotations

import json

import pytest

from tests.cdn.edges import edge_before
from tests.cdn.origins import answer, scripted
from tests.nodes import directory, started


async def test_an_edge_answers_for_its_hosts_only() -> None:
    async with (
        scripted() as origin,
        edge_before(origin.url, edge__hosts=["Paste.Example", "other.example:8443"]) as client,
    ):
        origin.script("/x", answer(200, {"Cache-Control": "max-age=600"}, b"x"))
        for host in ("paste.example", "PASTE.example:80", "other.example:8443"):
            assert (await client.ask("/x", [("Host", host)])).status == 200
        times = len(origin.requests)
        for host in ("evil.example", "paste.example:81", "paste.example:80:80", "other.example", "xpaste.example", ""):
            for method in ("GET", "HEAD", "DELETE"):
                assert (await client.ask("/x", [("Host", host)], method=method)).status in (400, 421), host
        refused = await client.ask("/x", [("Host", "evil.example")])
        assert (refused.status, json.loads(refused.body)["type"]) == (421, "/problems/misdirected")
        assert "no-store" in refused.headers["Cache-Control"]
        assert len(origin.requests) == times


@pytest.mark.parametrize("host", ["paste.example", "evil.example"])
async def test_a_node_answers_for_its_hosts_only(session_database_dsn: str, host: str) -> None:
    """What is created on the short road too."""
    async with (
        directory() as path,
        started(
            session_database_dsn, path, node__roles=["web", "read", "write", "edge"], edge__hosts=["paste.example"]
        ) as node,
    ):
        url, body = f"{node.url}/api/v1/pastes", {"content": "x"}
        async with node.http.post(url, json=body, headers={"Host": host}) as response:
            assert response.status == (201 if host == "paste.example" else 421)
