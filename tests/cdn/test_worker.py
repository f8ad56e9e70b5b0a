"""Workers on a real PostgreSQL: every change reaches every target, whatever the targets, the workers and the log do."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from pastebin import surrogates
from pastebin.cdn.targets import Batch, Limits, Target, TargetBusy, TargetRefused, TargetUnreachable
from pastebin.models import Changes
from pastebin.store.cursors import TargetReport
from pastebin.store.partitions import Partitions
from tests.cdn.receivers import EdgeProcess, Remembered, edges, feed
from tests.cdn.workers import QUICK, STEADY, Working, reaching, until, working
from tests.stored import Stored, file

_INSERT = "insert into outbox (kind, slug) select 'revise', 's' || n from generate_series($1::int, $2::int) n"


def keys(first: int, last: int) -> set[str]:
    return {surrogates.of_paste(f"s{number}") for number in range(first, last + 1)}


class Recorded:
    """A target that takes what `refused` does not name, and does what `trouble` says meanwhile."""

    def __init__(self, name: str = "target", limits: Limits | None = None) -> None:
        self.name = name
        self.limits = limits or Limits()
        self.batches: list[Batch] = []
        self.pushed: list[str] = []
        self.refused: set[str] = set()
        self.trouble: list[Exception] = []
        self.attempts: list[Batch] = []

    @property
    def keys(self) -> set[str]:
        return {key for batch in self.batches for key in batch.keys}

    async def purge(self, batch: Batch) -> None:
        self.attempts.append(batch)
        if self.trouble:
            raise self.trouble.pop(0)
        refused = [key for key in batch.keys if key in self.refused]
        if not refused or len(refused) < len(batch.keys):
            self.batches.append(batch)
        if refused:
            raise TargetRefused("will not", refused)

    async def purge_urls(self, urls: Sequence[str]) -> None: ...

    async def push(self, urls: Sequence[str]) -> None:
        self.pushed += urls

    async def check(self) -> str | None:
        return None


async def told(at_work: Working, name: str = "target") -> int:
    return next(report.confirmed for report in await at_work.cursors.report() if report.name == name)


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
        await until(lambda: all(edge.is_held for edge in places))
        assert all(edge.remembered.positions[surrogates.of_paste(paste.slug)] is not None for edge in places)
        await until(lambda: all(edge.feed.position is not None for edge in places))


async def test_a_target_that_stands_still_stops_nobody(stored: Stored) -> None:
    """Its cursor waits; what is waiting for it is in the database, not in memory; it catches up with each key once."""
    async with edges(2) as places, reaching(places) as targets, working(stored.dsn, targets, STEADY) as at_work:
        well, ill = places
        await until(lambda: all(edge.is_held for edge in places))
        ill.away = True
        for _ in range(5):
            await stored.sql(_INSERT, 1, 400)
        at_work.worker.wake()
        await until(lambda: well.keys >= keys(1, 400))
        change = await stored.pastes.delete(await stored.paste())
        at_work.worker.wake()
        await until(lambda: len(well.keys) == 401)

        async def reported(name: str) -> TargetReport:
            return next(report for report in await at_work.cursors.report() if report.name == name)

        async with asyncio.timeout(60):  # a call that took too long is a failure until the next one is taken
            while (await reported("edge-0")).failure is not None:  # noqa: ASYNC110  (nobody announces it)
                await asyncio.sleep(0.05)
        assert (await reported("edge-1")).depth == 2001
        assert ill.keys == set()
        ill.away = False
        assert (await at_work.purging.confirmed(change, "x")).is_confirmed
        assert ill.keys == well.keys
        assert len(ill.remembered.purges) < 5 * 400
        assert ill.remembered.flushes == 1


async def test_what_a_target_refuses_stops_nothing_and_ends_with_the_dead(stored: Stored) -> None:
    target = Recorded()
    target.refused = {"p-s2", "p-s3"}
    section = msgspec.structs.replace(QUICK, attempts=2, confirm_seconds=0.5)
    async with working(stored.dsn, {"target": target}, section) as at_work:
        await until(lambda: bool(target.batches))
        await stored.sql(_INSERT, 1, 5)
        at_work.worker.wake()
        await until(lambda: target.keys >= {"p-s1", "p-s4"})
        assert not (await at_work.purging.confirmed(await last_change(stored), "s2")).is_confirmed
        letters = at_work.desk.letters
        await until(lambda: len(target.attempts) >= 3)
        while not await letters.count():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        (letter,) = await letters.list()
        assert (set(letter.keys), letter.attempts) == ({"p-s2", "p-s3"}, 2)
        target.refused = {"p-s3"}
        await letters.requeue()
        await until(lambda: "p-s2" in target.keys)
        while [one.keys for one in await letters.list(waiting=True)] != [("p-s3",)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        change = await last_change(stored)
        async with asyncio.timeout(120):
            while not (await at_work.purging.confirmed(change, "s2")).is_confirmed:
                pass  # it waits for as long as a DELETE would
        assert await told(at_work) == 5


async def last_change(stored: Stored) -> int:
    ((change,),) = await stored.sql("select xid from outbox order by id desc limit 1")
    return int(change)


async def test_troubles_pass(stored: Stored) -> None:
    """A target is asked again after any failure, a mistake in its own code included, and nothing is skipped."""
    target = Recorded()
    target.trouble = [TargetUnreachable("away"), TargetBusy("busy", retry_after_seconds=0.1), ValueError("a mistake")]
    async with working(stored.dsn, {"target": target}) as at_work:
        await stored.sql(_INSERT, 1, 3)
        at_work.worker.wake()
        await until(lambda: any(batch.flush for batch in target.batches))
        await stored.sql(_INSERT, 4, 6)
        at_work.worker.wake()
        await until(lambda: target.keys >= keys(4, 6))
        while await told(at_work) < 6:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_batches_are_as_large_as_a_target_takes(stored: Stored) -> None:
    small, large = Recorded("small", Limits(keys_per_call=7)), Recorded("large")
    section = msgspec.structs.replace(STEADY, batch_keys=100)
    async with working(stored.dsn, {"small": small, "large": large}, section) as at_work:
        await until(lambda: bool(small.batches and large.batches))
        await stored.sql(_INSERT, 1, 300)
        at_work.worker.wake()
        await until(lambda: small.keys == large.keys == keys(1, 300))
    assert max(len(batch.keys) for batch in small.batches) == 7
    assert max(len(batch.keys) for batch in large.batches) == 100
    for target in (small, large):
        assert all(one.sequence == two.previous for one, two in itertools.pairwise(target.batches))


async def test_hot_pastes_are_pushed(stored: Stored) -> None:
    target = Recorded()
    async with working(stored.dsn, {"target": target}) as at_work:
        await until(lambda: bool(target.batches))
        await stored.sql(
            "insert into outbox (kind, slug, payload) values ('push', 's', $1)", {"urls": ["http://x/s", "http://x/t"]}
        )
        at_work.worker.wake()
        await until(lambda: target.pushed == ["http://x/s", "http://x/t"])
    assert target.keys == set()


async def test_an_edge_that_lost_its_memory_is_told_again(stored: Stored) -> None:
    """One that goes on from an older state gets what it lacks; one that knows nothing is flushed."""
    async with edges(1) as places, reaching(places) as targets, working(stored.dsn, targets, STEADY) as at_work:
        (edge,) = places
        await until(lambda: edge.is_held)
        await stored.sql(_INSERT, 1, 10)
        at_work.worker.wake()
        await until(lambda: edge.keys == keys(1, 10))
        edge.restart(feed(edge.remembered, noted=(edge.feed.epoch, 4)))
        edge.remembered.purges.clear()
        await until(lambda: edge.keys == keys(5, 10))
        assert edge.remembered.flushes == 1
        edge.restart(feed(edge.remembered))
        await until(lambda: edge.remembered.flushes == 2)
        await until(lambda: edge.is_held)


async def test_who_was_away_longer_than_the_log_is_flushed(stored: Stored) -> None:
    async with edges(1) as places, reaching(places) as targets, working(stored.dsn, targets, STEADY) as at_work:
        (edge,) = places
        await until(lambda: edge.is_held)
        edge.away = True
        for first in range(1, 10_000, 1000):
            await stored.sql(_INSERT, first, first + 999)
        at_work.worker.wake()
        await until(lambda: at_work.desk.heads.latest is not None and at_work.desk.heads.latest.told == 10_000)
        await stored.sql("update feed set sequenced_at = now() - interval '2 days'")
        await stored.sql("update outbox set created_at = now() - interval '2 days'")
        await Partitions(stored.database, 86_400.0).keep()
        await stored.sql(_INSERT, 10_001, 10_001)
        at_work.worker.wake()
        edge.away = False
        await until(lambda: edge.remembered.flushes == 2)
        await until(lambda: edge.feed.sequence >= 10_001)
        await until(lambda: edge.is_held)


async def test_edges_hear_nothing_while_the_database_is_silent(stored: Stored) -> None:
    """A lease means that somebody has asked: a worker that cannot ask must not prolong it."""
    async with edges(1) as places, reaching(places) as targets, working(stored.dsn, targets) as at_work:
        (edge,) = places
        await until(lambda: edge.is_held)
        async with stored.database.primary() as connection, connection.transaction():
            await connection.execute("lock table feed_state in access exclusive mode")
            locked_at = asyncio.get_running_loop().time()
            calls = edge.calls
            await until(lambda: edge.calls > calls + 3)
            asked_at = at_work.desk.heads.latest.asked_at if at_work.desk.heads.latest else 0.0
            assert edge.feed.heard_at <= asked_at <= locked_at
        await until(lambda: edge.feed.heard_at > asked_at)


async def test_workers_share_and_take_over(stored: Stored) -> None:
    names = [f"target-{number}" for number in range(4)]
    async with AsyncExitStack() as stack:
        workers: list[tuple[Working, dict[str, Target]]] = []
        for number in range(2):
            targets: dict[str, Target] = {name: Recorded(name) for name in names}
            at_work = await stack.enter_async_context(working(stored.dsn, targets, node=f"node-{number}"))
            workers.append((at_work, targets))

        def held(number: int) -> set[str]:
            return set(workers[number][0].worker.held)

        await until(lambda: len(held(0)) == len(held(1)) == 2 and held(0) | held(1) == set(names))
        async with working(stored.dsn, {name: Recorded(name) for name in names}, node="node-2") as third:
            await until(lambda: sorted(map(len, (held(0), held(1), third.worker.held))) == [1, 1, 2])
        # who leaves in order is not waited for
        await until(lambda: len(held(0)) == len(held(1)) == 2)


async def test_a_lost_claim_ends_a_delivery(stored: Stored) -> None:
    """Whoever was asleep while another took over says nothing about the target any more."""
    target = Recorded()
    async with working(stored.dsn, {"target": target}) as at_work:
        await until(lambda: bool(target.batches))
        await until(lambda: bool(at_work.worker.held))
        await stored.sql("update feed_targets set fence = fence + 1, holder = 'other', lease_until = now() + '1 h'")
        await stored.sql(_INSERT, 1, 3)
        at_work.worker.wake()
        await until(lambda: not at_work.worker.held)
        assert await told(at_work) == 0


async def test_the_edge_of_this_process_lives_and_dies_with_it(stored: Stored) -> None:
    remembered = Remembered()
    edge = EdgeProcess(remembered)
    async with working(stored.dsn, {"local:node": edge.here()}) as at_work:
        await until(lambda: edge.is_held)
        change = await stored.pastes.delete(await stored.paste())
        at_work.worker.wake()
        assert (await at_work.purging.confirmed(change, "x")).known == 1
        (report,) = await at_work.cursors.report()
        assert report.node == "node"


async def test_a_worker_that_cannot_renew_its_claims_tells_nobody_any_more(stored: Stored) -> None:
    """Whoever waits for confirmations counts on that: a target without a claim is soon taken for gone."""
    async with edges(1) as places, reaching(places) as targets, working(stored.dsn, targets) as at_work:
        await until(lambda: len(at_work.worker._held) == 1)
        async with stored.database.primary() as connection, connection.transaction():
            await connection.execute("lock table feed_workers in exclusive mode")
            await until(lambda: not at_work.worker._held, seconds=15.0)
        await until(lambda: len(at_work.worker._held) == 1)
