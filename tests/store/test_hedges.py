"""Reads that a slow replica does not hold up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from pastebin.errors import Overloaded
from pastebin.metrics import Metrics
from pastebin.store.database import Database
from pastebin.store.hedges import Hedges
from tests.cluster import Servers
from tests.store.readers import served, who

SHARE = 0.05
RESERVE = 10


class Replicas:
    """Two of them, which answer when they are told to."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.second_is_asked = asyncio.Event()
        self.one_is_cancelled = asyncio.Event()
        self.answers: dict[str, asyncio.Future[str]] = {
            name: asyncio.get_running_loop().create_future() for name in ("first", "second")
        }

    async def ask(self, name: str) -> str:
        self.asked[name] += 1
        if name == "second":
            self.second_is_asked.set()
        try:
            return await asyncio.shield(self.answers[name])
        except asyncio.CancelledError:
            self.cancelled[name] += 1
            self.one_is_cancelled.set()
            raise

    async def race(self, hedges: Hedges, seconds: float = 0.0) -> str:
        return await hedges.race(lambda: self.ask("first"), lambda: self.ask("second"), seconds)

    async def answer(self, *outcomes: tuple[str, str | Exception]) -> None:
        """Once both are asked, one after the other."""
        await self.second_is_asked.wait()
        for name, outcome in outcomes:
            if isinstance(outcome, Exception):
                self.answers[name].set_exception(outcome)
            else:
                self.answers[name].set_result(outcome)
            await asyncio.sleep(0.01)  # whoever wins too early has won by then


@pytest.fixture
async def hedges() -> AsyncIterator[Hedges]:
    async with Hedges.running(SHARE, Metrics()) as running:
        yield running


def won(metrics: Metrics) -> dict[str, float]:
    return {
        word: metrics.registry.get_sample_value("pastebin_database_hedges_total", {"won": word}) or 0.0
        for word in ("first", "second")
    }


async def test_the_first_answer_wins_and_the_other_question_is_cut(hedges: Hedges) -> None:
    for winner, loser in (("first", "second"), ("second", "first")):
        replicas = Replicas()
        answer, _ = await asyncio.gather(replicas.race(hedges), replicas.answer((winner, winner)))
        assert answer == winner
        await replicas.one_is_cancelled.wait()
        assert replicas.cancelled == {loser: 1}
    assert won(hedges.metrics) == {"first": 1, "second": 1}


async def test_who_answers_in_time_is_the_only_one_asked(hedges: Hedges) -> None:
    replicas = Replicas()
    replicas.answers["first"].set_result("first")
    assert await replicas.race(hedges, 30.0) == "first"
    assert replicas.asked == {"first": 1}


async def test_an_error_of_one_is_none_while_the_other_may_answer(hedges: Hedges) -> None:
    replicas = Replicas()
    outcomes = replicas.answer(("second", RuntimeError("of the second")), ("first", "first"))
    assert await asyncio.gather(replicas.race(hedges), outcomes) == ["first", None]


async def test_when_both_fail_it_is_the_first_one_that_is_told(hedges: Hedges) -> None:
    replicas = Replicas()
    outcomes = replicas.answer(("second", RuntimeError("of the second")), ("first", Overloaded("of the first")))
    told, _ = await asyncio.gather(replicas.race(hedges), outcomes, return_exceptions=True)
    assert isinstance(told, Overloaded)


async def test_no_more_are_asked_twice_than_the_budget_allows(hedges: Hedges) -> None:
    reads = 200
    second = 0
    for _ in range(reads):
        replicas = Replicas()
        replicas.answers["second"].set_result("second")
        async with asyncio.TaskGroup() as tasks:
            racing = tasks.create_task(replicas.race(hedges))
            await asyncio.wait({racing}, timeout=0.01)
            if not racing.done():
                replicas.answers["first"].set_result("first")
        second += replicas.asked["second"]
    assert RESERVE <= second <= RESERVE + SHARE * reads


class TestReplicas:
    """Of a real cluster."""

    async def test_a_replica_that_falls_silent_holds_no_lookup_up(self, servers: Servers) -> None:
        metrics = Metrics()
        section = servers.section(replica_timeout_seconds=45.0, check_interval_seconds=5.0)
        async with Database.opened(section, servers.primary.dsn, metrics) as database:
            await served(database, 80, is_hedged=True)
            # the slowest of all would not be asked for a long time
            name = await database.read(who, is_hedged=True)
            silent = next(site for site in servers.replicas if site.server.name == name)
            silent.proxy.black_hole()
            async with asyncio.timeout(30):  # less than what one silent replica is given
                names = Counter([await database.read(who, is_hedged=True) for _ in range(10)])
                while not won(metrics)["second"]:  # until chance has asked the silent one first
                    names[await database.read(who, is_hedged=True)] += 1
            assert names.keys() <= {site.server.name for site in servers.replicas if site is not silent}

    async def test_with_one_replica_there_is_nobody_to_hedge_with(self, servers: Servers) -> None:
        metrics = Metrics()
        section = servers.section(replicas=servers.section().replicas[:1], wait_for_replay_seconds=0.0)
        async with Database.opened(section, servers.primary.dsn, metrics) as database:
            await served(database, 80, is_hedged=True)
            servers.replicas[0].proxy.delay_seconds = 0.2
            await served(database, 8, is_hedged=True)
            assert won(metrics) == {"first": 0, "second": 0}

    async def test_what_is_asked_again_is_within_a_budget(self, servers: Servers) -> None:
        metrics = Metrics()
        async with Database.opened(servers.section(), servers.primary.dsn, metrics) as database:
            asked = 0

            async def broken(_connection: object) -> None:
                nonlocal asked
                asked += 1
                raise ConnectionResetError

            reads = 150
            for _ in range(reads):
                with pytest.raises(Exception, match="database"):
                    await database.read(broken)
            assert asked <= reads * 1.1 + 100
            assert metrics.registry.get_sample_value("pastebin_retries_refused_total", {"dependency": "database"})
