"""An edge whose disk takes nothing: it goes on serving everybody."""

from __future__ import annotations

import asyncio

from tests.cdn.edges import edge_before
from tests.cdn.origins import answer, scripted

LARGE = bytes(range(256)) * 4096
FRESH = {"Cache-Control": "max-age=600"}


async def test_who_waits_for_what_cannot_be_kept_gets_it_from_the_origin() -> None:
    async with scripted() as origin, edge_before(origin.url, edge__min_free_bytes=2**60) as client:
        origin.script("/first", answer(200, FRESH, LARGE))
        assert (await client.ask("/first")).body == LARGE  # now it is known that the disk is full
        go = asyncio.Event()
        origin.script("/second", answer(200, FRESH, LARGE, before=[go]))
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(client.ask("/second")) for _ in range(12)]
            await origin.when_asked("/second")
            go.set()
        assert [(task.result().status, task.result().body == LARGE) for task in asking] == [(200, True)] * 12
