"""One target and what it is told, while other workers go on with the numbering."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from pastebin import surrogates
from pastebin.cdn.senders import Delivery, Desk, Heads
from pastebin.cdn.targets import Batch, Limits, TargetBehind
from pastebin.metrics import Metrics
from pastebin.services.purging import Purging
from pastebin.store import cursors as cursor_rows
from pastebin.store.batching import Batcher
from pastebin.store.cursors import Cursors
from pastebin.store.dead_letters import DeadLetters
from pastebin.store.feed import Feed, Head
from tests.cdn.workers import QUICK, until
from tests.stored import Stored


@dataclass
class Recorder:
    """A target that takes everything and remembers it."""

    name: str = "recorder"
    limits: Limits = field(default_factory=lambda: Limits(wants_heartbeats=True))
    batches: list[Batch] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        return {key for batch in self.batches for key in batch.keys}

    async def purge(self, batch: Batch) -> None:
        self.batches.append(batch)

    async def purge_urls(self, urls: Sequence[str]) -> None:
        raise AssertionError(urls)

    async def push(self, urls: Sequence[str]) -> None:
        raise AssertionError(urls)

    async def check(self) -> str | None:
        return None


@asynccontextmanager
async def delivering(stored: Stored, target: Recorder, known: Head) -> AsyncIterator[Heads]:
    """Tell `target`, which knows everything up to `known`; the test says what heads this worker knows of."""
    cursors, heads = Cursors(stored.database), Heads()
    await cursors.register({target.name: ""})
    (claim,) = await cursors.claim("worker", [target.name], [], 60.0)
    async with (
        Batcher.running("confirms", cursors.confirm, cursor_rows.BOUNDS) as confirms,
        Purging.opened(cursors, seconds=5.0, gone_seconds=20.0) as purging,
    ):
        feed, letters = Feed(stored.database), DeadLetters(stored.database)
        desk = Desk(feed, heads, cursors, confirms, letters, purging, QUICK, 0.05, Metrics())
        claim = replace(claim, epoch=known.epoch, confirmed=known.sequence)
        task = asyncio.create_task(Delivery(target, claim, desk).run())
        try:
            yield heads
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_numbers_of_another_worker_flush_nothing(stored: Stored) -> None:
    feed, target = Feed(stored.database), Recorder()
    known = await feed.advance()
    first = await stored.paste(is_named=True)
    older = await feed.advance()
    second = await stored.paste(is_named=True)
    await feed.advance()  # another worker's; this one has not heard of it when it reads the feed
    async with delivering(stored, target, known) as heads:
        await until(heads.wanted.is_set)
        heads.show(replace(older, asked_at=asyncio.get_running_loop().time()))
        await until(lambda: {surrogates.of_paste(first.slug), surrogates.of_paste(second.slug)} <= target.keys)
        third = await stored.paste(is_named=True)
        heads.show(await feed.advance())
        await until(lambda: surrogates.of_paste(third.slug) in target.keys)
    assert not any(batch.flush for batch in target.batches)


async def test_a_target_taken_over_from_a_worker_that_knew_more_is_not_flushed(stored: Stored) -> None:
    feed, target = Feed(stored.database), Recorder()
    older = await feed.advance()
    await stored.paste(is_named=True)
    known = await feed.advance()
    async with delivering(stored, target, known) as heads:
        heads.show(older)
        third = await stored.paste(is_named=True)
        heads.show(await feed.advance())
        await until(lambda: surrogates.of_paste(third.slug) in target.keys)
    assert not any(batch.flush for batch in target.batches)


@dataclass
class Forgetful(Recorder):
    """What two edges behind one address look like: whoever is asked next was not told before."""

    is_forgetful: bool = True

    async def purge(self, batch: Batch) -> None:
        await super().purge(batch)
        if self.is_forgetful and not batch.flush:
            raise TargetBehind("recorder is nowhere", epoch="", sequence=0)


async def test_who_is_behind_again_and_again_is_a_failure_until_it_is_well(stored: Stored) -> None:
    target, cursors = Forgetful(), Cursors(stored.database)
    known = await Feed(stored.database).advance()

    async def failure() -> str | None:
        heads.show(await Feed(stored.database).advance())
        await asyncio.sleep(0.01)  # nothing announces what is told
        return (await cursors.report())[0].failure

    async with asyncio.timeout(60), delivering(stored, target, known) as heads:
        while (said := await failure()) is None:
            pass
        assert said == "is behind again and again: recorder is nowhere"
        target.is_forgetful = False
        while await failure() is not None:
            pass


async def test_a_feed_that_went_back_flushes(stored: Stored) -> None:
    feed, target = Feed(stored.database), Recorder()
    known = await feed.advance()
    async with delivering(stored, target, replace(known, sequence=known.sequence + 10)) as heads:
        async with asyncio.timeout(60):
            while not any(batch.flush for batch in target.batches):
                heads.show(await feed.advance())
