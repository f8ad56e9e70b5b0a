"""Waiting for caches: as long as it takes, or as long as it may, and what is said in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pastebin.services.purging import Purging
from pastebin.store.cursors import Claim, Confirmation, Cursors
from pastebin.store.feed import Feed
from tests.stored import Stored


class Caches:
    """Two targets that confirm when the test says so."""

    def __init__(self, stored: Stored) -> None:
        self.cursors = Cursors(stored.database)
        self.feed = Feed(stored.database)
        self.claims: dict[str, Claim] = {}

    async def appear(self) -> None:
        await self.cursors.register({"a": "", "b": ""})
        claims = await self.cursors.claim("worker", ["a", "b"], (), 60.0)
        self.claims = {claim.name: claim for claim in claims}
        for name in self.claims:
            await self.confirm(name)

    async def confirm(self, name: str) -> None:
        head = await self.feed.advance()
        fence = self.claims[name].fence
        assert await self.cursors.confirm([Confirmation(name, fence, head.epoch, head.told)]) == [True]


@asynccontextmanager
async def waiting(caches: Caches, seconds: float) -> AsyncIterator[Purging]:
    async with Purging.opened(caches.cursors, seconds=seconds, gone_seconds=20.0) as purging:
        yield purging


async def test_without_caches_nobody_waits(stored: Stored) -> None:
    change = await stored.pastes.delete(await stored.paste())
    async with waiting(Caches(stored), 60.0) as purging:
        purge = await purging.confirmed(change, "x")
    assert (purge.confirmed, purge.known, purge.is_confirmed) == (0, 0, True)


async def test_everybody_has_to_confirm(stored: Stored) -> None:
    caches = Caches(stored)
    await caches.appear()
    change = await stored.pastes.delete(await stored.paste())
    async with waiting(caches, 60.0) as purging, asyncio.TaskGroup() as tasks:
        waits = [tasks.create_task(purging.confirmed(change, "x")) for _ in range(20)]
        await caches.confirm("a")
        done, _ = await asyncio.wait(waits, timeout=0.1)
        assert not done
        await caches.confirm("b")
        purging.moved()
        purges = await asyncio.gather(*waits)
    assert {(purge.confirmed, purge.known) for purge in purges} == {(2, 2)}


async def test_time_is_up_for_those_who_do_not(stored: Stored) -> None:
    caches = Caches(stored)
    await caches.appear()
    change = await stored.pastes.delete(await stored.paste())
    async with waiting(caches, 2.0) as purging:
        before = await purging.confirmed(change, "x")  # nobody has numbered it yet
        await caches.confirm("b")
        after = await purging.confirmed(change, "x")
    assert [(purge.confirmed, purge.known, purge.is_confirmed) for purge in (before, after)] == [
        (0, 2, False),
        (1, 2, False),
    ]


async def test_quiet_changes_keep_nobody_waiting(stored: Stored) -> None:
    """Creates that caches are not told of get numbers, too, and nobody ever confirms those."""
    caches = Caches(stored)
    await caches.appear()
    change = await stored.pastes.delete(await stored.paste())
    await caches.confirm("a")
    await caches.confirm("b")
    await stored.paste()
    await caches.feed.advance()
    async with waiting(caches, 60.0) as purging:
        assert (await purging.confirmed(change, "x")).is_confirmed


async def test_another_history_confirms_nothing(stored: Stored) -> None:
    caches = Caches(stored)
    await caches.appear()
    change = await stored.pastes.delete(await stored.paste())
    await caches.confirm("a")
    await stored.sql("update feed_targets set epoch = 'another' where name = 'b'")
    async with waiting(caches, 2.0) as purging:
        purge = await purging.confirmed(change, "x")
    assert (purge.confirmed, purge.known) == (1, 2)


async def test_a_database_that_fails_makes_it_partial(stored: Stored) -> None:
    caches = Caches(stored)
    await caches.appear()
    change = await stored.pastes.delete(await stored.paste())
    await stored.sql("alter table feed_targets rename to hidden")
    async with waiting(caches, 0.3) as purging:
        purge = await purging.confirmed(change, "x")
    assert not purge.is_confirmed
