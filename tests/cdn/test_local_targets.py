"""The edge inside a node as a target: nobody else's, whatever other nodes are called, and the same after a restart."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from pastebin.cdn.chores import identify
from tests.nodes import Node, directory, started

_HELD = "select name, holder from feed_targets where node = 'twin' and lease_until > now() and confirmed >= 0"


async def held(node: Node, count: int) -> set[str]:
    """The names of the local targets that some worker has, once there are so many."""
    async with asyncio.timeout(60):
        while len(rows := await node.sql(_HELD)) < count:  # noqa: ASYNC110  (nothing announces it)
            await asyncio.sleep(0.05)
    assert len({row["holder"] for row in rows}) == count
    return {row["name"] for row in rows}


async def test_two_nodes_with_one_name_are_told_both(database_dsn: str) -> None:
    roles = ["read", "write", "cdn-worker", "edge"]
    async with AsyncExitStack() as stack:
        paths = [await stack.enter_async_context(directory()) for _ in range(2)]
        nodes = [
            await stack.enter_async_context(
                started(database_dsn, path, node__name="twin", node__roles=roles, doors__edge="127.0.0.1:0")
            )
            for path in paths
        ]
        assert len(await held(nodes[0], 2)) == 2


def test_a_directory_is_the_same_in_the_next_process(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    name = identify(one)
    assert identify(one) == name != identify(other)
    (one / "identity").write_bytes(b"\xff\n")
    assert identify(one) != name
    assert identify(one) == identify(one)
    assert identify(tmp_path / "nowhere") != identify(tmp_path / "nowhere")
