"""An edge before an edge: what the nearer one must not be given is not taken from what the farther one has stored."""

from __future__ import annotations

import time

from pastebin.http.consistency import MIN_LSN_HEADER, Tokens
from pastebin.positions import Position
from tests.cdn.edges import edge_before
from tests.cdn.origins import answer, scripted
from tests.nodes import SECRET


async def test_a_refill_after_a_purge_is_not_given_what_is_stored() -> None:
    token = Tokens(SECRET.encode(), 60.0).seal(Position(1, 1, 1), now=time.time(), purpose="min-lsn")
    async with scripted() as origin, edge_before(origin.url) as client:
        origin.script("/x", answer(headers={"Cache-Control": "max-age=60"}, body=b"old"))
        assert (await client.ask("/x")).body == b"old"
        origin.script("/x", answer(headers={"Cache-Control": "max-age=60"}, body=b"new"))
        assert (await client.ask("/x", {MIN_LSN_HEADER: "a stranger's"})).body == b"old"
        seen = await client.ask("/x", {MIN_LSN_HEADER: token})
        assert (seen.body, seen.headers["Cache-Status"]) == (b"new", "pastebin; fwd=bypass; detail=consistency")
        assert origin.asked("/x")[1].headers[MIN_LSN_HEADER] == token
        assert len(origin.asked("/x")) == 2


async def test_the_word_of_a_stranger_is_not_passed_on() -> None:
    async with scripted() as origin, edge_before(origin.url) as client:
        origin.script("/x", answer(body=b"y"))
        await client.ask("/x", {MIN_LSN_HEADER: "a stranger's", "Cookie": "owner=x"})
        assert MIN_LSN_HEADER not in origin.asked("/x")[0].headers
