"""A worker on a real PostgreSQL: every change reaches every target, whatever the others do."""

from __future__ import annotations

from pastebin import surrogates
from pastebin.models import Changes
from tests.cdn.receivers import edges
from tests.cdn.workers import reaching, until, working
from tests.stored import Stored, file


async def test_changes_reach_every_edge(stored: Stored) -> None:
    async with edges(3) as places, reaching(places) as targets, working(stored.dsn, targets) as at_work:
        await until(lambda: all(edge.remembered.flushes for edge in places))
        quiet, named = await stored.paste(), await stored.paste(is_named=True)
        paste = await stored.paste()
        await stored.pastes.revise(paste, Changes((file(b"new"),)))
        change = await stored.pastes.delete(await stored.pastes.find(paste.slug))
        at_work.worker.wake()
        purge = await at_work.purging.confirmed(change, paste.slug)
        assert (purge.confirmed, purge.known) == (3, 3)
        expected = {surrogates.of_paste(named.slug), surrogates.of_paste(paste.slug)}
        assert all(edge.keys == expected for edge in places)
        assert surrogates.of_paste(quiet.slug) not in places[0].keys
        await until(lambda: all(edge.feed.is_held(edge.feed._now()) for edge in places))
