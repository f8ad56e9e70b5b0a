"""Salts in memory: from the database, else from the analytics service, and never longer than two days."""

from __future__ import annotations

import msgspec

from pastebin.errors import DatabaseUnavailable, Unavailable
from pastebin.http.signing import Signer
from pastebin.sections import VisitsSection
from pastebin.services.salting import DAY_SECONDS, Salting
from pastebin.services.statistics import Answer, Statistics
from pastebin.visitors import Salts
from pastebin.visits import SALTS, SaltsMessage


class Database:
    """Where salts are made."""

    def __init__(self) -> None:
        self.salts: Salts | None = Salts(20_000, b"a" * 16)

    async def fetch(self) -> Salts:
        if self.salts is None:
            raise DatabaseUnavailable
        return self.salts


class Service:
    """The analytics service: in memory, as told."""

    def __init__(self) -> None:
        self.told: bytes | None = None
        self.is_there = True

    async def carry(self, method: str, path: str, body: bytes) -> Answer:
        if not self.is_there:
            raise Unavailable
        assert path == SALTS
        if method == "POST":
            self.told = body
        return Answer(404) if self.told is None else Answer(200, self.told)


def client(service: Service) -> Statistics:
    return Statistics(lambda: service, "", Signer(b""), VisitsSection().request_timeout_seconds, None)


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def test_an_edge_without_a_database_gets_the_salts_of_the_primary_through_the_service() -> None:
    clock, database, service = Clock(20_000 * DAY_SECONDS + 5), Database(), Service()
    writer = Salting(database, client(service), passes_on=True, clock=clock)
    edge = Salting(None, client(service), clock=clock)
    assert not await edge.refresh()
    assert edge.salts is None
    assert await writer.refresh()
    assert await edge.refresh()
    assert edge.salts == writer.salts == database.salts


async def test_a_node_whose_database_is_away_asks_the_service() -> None:
    clock, database, service = Clock(20_000 * DAY_SECONDS + 5), Database(), Service()
    reader = Salting(database, client(service), clock=clock)
    service.told = msgspec.json.encode(SaltsMessage(20_000, "61" * 16, "62" * 16))
    database.salts = None
    assert await reader.refresh()
    assert reader.salts == Salts(20_000, b"a" * 16, b"b" * 16)


async def test_only_nodes_that_write_pass_salts_on() -> None:
    service = Service()
    reader = Salting(Database(), client(service), clock=Clock(20_000 * DAY_SECONDS))
    assert await reader.refresh()
    assert service.told is None


async def test_who_hears_nothing_any_more_forgets_within_two_days() -> None:
    clock, database, service = Clock(20_000 * DAY_SECONDS + 5), Database(), Service()
    database.salts = Salts(20_000, b"b" * 16, b"a" * 16)
    node = Salting(database, client(service), clock=clock)
    await node.refresh()
    database.salts, service.is_there = None, False
    clock.now += DAY_SECONDS
    assert not await node.refresh()
    assert node.salts == Salts(20_000, b"b" * 16)  # the next one is late: it goes on under the old period
    clock.now += DAY_SECONDS
    assert not await node.refresh()
    assert node.salts is None


async def test_a_service_that_lags_behind_does_not_bring_yesterday_back() -> None:
    clock, database, service = Clock(20_001 * DAY_SECONDS), Database(), Service()
    database.salts = Salts(20_001, b"b" * 16, b"a" * 16)
    node = Salting(database, client(service), clock=clock)
    await node.refresh()
    database.salts = None
    service.told = msgspec.json.encode(SaltsMessage(20_000, "61" * 16))
    await node.refresh()
    assert node.salts == Salts(20_001, b"b" * 16, b"a" * 16)
    service.told = b'{"period": 1e99}'
    assert not await node.refresh()
    assert node.salts is not None
