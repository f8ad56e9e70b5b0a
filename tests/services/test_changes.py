"""Changes on their way to analytics: all of them, in their order, each once, whoever dies on the way."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable

import msgspec
import pytest

from pastebin.errors import Unavailable
from pastebin.http.signing import Signer
from pastebin.metrics import Metrics
from pastebin.sections import VisitsSection
from pastebin.services.changes import Telling
from pastebin.services.statistics import Answer, Statistics
from pastebin.store.feed import Feed
from pastebin.store.partitions import Partitions
from pastebin.visits import BATCHES, Batch, Change
from tests.stored import Stored

_SECTION = VisitsSection(batch_events=3)


class Service:
    """Analytics as an engine keeps it: a batch once by its id, an event once by its place."""

    def __init__(self) -> None:
        self.batches: dict[str, bytes] = {}
        self.events: dict[tuple[str, int], Change] = {}
        self.before_answer: Callable[[], None] = lambda: None
        self.status = 200
        self.enough, self.had_enough = 0, asyncio.Event()

    async def carry(self, method: str, path: str, body: bytes) -> Answer:
        assert (method, path) == ("POST", BATCHES)
        if self.status == 200:
            batch = msgspec.json.decode(gzip.decompress(body), type=Batch)
            assert self.batches.setdefault(batch.id, body) == body
            self.events |= {(batch.node, change.number): change for change in batch.changes}
            self.before_answer()
            if len(self.events) >= self.enough:
                self.had_enough.set()
        return Answer(self.status)

    def kinds(self) -> list[tuple[str, str]]:
        return [(change.kind, change.slug) for change in self.events.values()]


@pytest.fixture
def service() -> Service:
    return Service()


def telling(stored: Stored, service: Service, metrics: Metrics | None = None) -> Telling:
    client = Statistics(lambda: service, "", Signer(b""), 5.0, None)
    return Telling(stored.database, client, _SECTION, metrics or Metrics())


async def tell_all(one: Telling) -> None:
    while await one.tell():
        pass


async def test_every_kind_of_change_is_told_in_its_order(stored: Stored, service: Service) -> None:
    made = [await stored.paste(b"text") for _ in range(4)]
    await stored.pastes.delete(made[0])
    await stored.pastes.take_down(made[1])
    await stored.sql("update pastes set expires_at = now() - interval '1 s' where id = $1", made[2].id)
    await stored.leftovers.expire(10)
    await stored.sql("insert into outbox (kind, slug) values ('push', 'hot'), ('report', $1)", made[3].slug)
    burning = await stored.paste(b"text", max_reads=1)
    await stored.pastes.take_read(burning)
    await tell_all(telling(stored, service))
    slugs = [paste.slug for paste in made]
    assert service.kinds() == [
        *(("created", slug) for slug in slugs),
        ("deleted", slugs[0]),
        ("taken_down", slugs[1]),
        ("expired", slugs[2]),
        ("reported", slugs[3]),
        ("created", burning.slug),
        ("burned", burning.slug),
    ]
    first = next(iter(service.events.values()))
    assert (first.size, first.at_ms // 1000) == (4, int(made[0].created_at.timestamp()))


async def test_only_new_content_is_a_revision(stored: Stored, service: Service) -> None:
    await stored.sql("insert into outbox (kind, slug, size) values ('revise', 'title', null), ('revise', 'content', 7)")
    await tell_all(telling(stored, service))
    assert service.kinds() == [("revised", "content")]


async def test_what_was_taken_without_an_answer_is_sent_again_as_the_same_batch(
    stored: Stored, service: Service
) -> None:
    """Although more has happened meanwhile, and another node goes on."""
    for _ in range(2):
        await stored.paste()
    one = telling(stored, service)

    def cut() -> None:
        service.before_answer = lambda: None
        raise Unavailable

    service.before_answer = cut
    with pytest.raises(Unavailable):
        await one.tell()
    assert len(service.events) == 2
    for _ in range(5):
        await stored.paste()
    await one._release()
    await tell_all(telling(stored, service))
    assert len(service.events) == 7
    assert sum(len(msgspec.json.decode(gzip.decompress(body))["changes"]) for body in service.batches.values()) == 7


async def test_one_node_tells_at_a_time_and_another_goes_on(stored: Stored, service: Service) -> None:
    one, other = telling(stored, service), telling(stored, service)
    await stored.paste()
    assert await one.tell()
    await stored.paste()
    assert not await other.tell()
    await stored.sql("update change_cursor set lease_until = now() - interval '1 s'")
    assert await other.tell()
    await stored.paste()
    assert not await one.tell()
    assert await other.tell()
    assert len(service.events) == 3


async def test_nodes_that_run_at_once_tell_everything_once(stored: Stored, service: Service) -> None:
    service.enough = 20
    loops = [asyncio.ensure_future(telling(stored, service).run()) for _ in range(3)]
    try:
        made = [await stored.paste() for _ in range(20)]
        async with asyncio.timeout(60):
            await service.had_enough.wait()
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.wait(loops)
    assert [slug for _, slug in service.kinds()] == [paste.slug for paste in made]
    ((is_free,),) = await stored.sql("select lease_until < now() from change_cursor")
    assert is_free


@pytest.mark.parametrize("status", [500, 401, 403, 429])
async def test_what_is_not_taken_is_kept(stored: Stored, service: Service, status: int) -> None:
    await stored.paste()
    one = telling(stored, service)
    service.status = status
    for _ in range(3):
        with pytest.raises(Unavailable):
            await one.tell()
    service.status = 200
    assert await one.tell()
    assert len(service.events) == 1


async def test_what_will_never_be_taken_does_not_hold_up_the_rest(stored: Stored, service: Service) -> None:
    metrics = Metrics()
    one = telling(stored, service, metrics)
    await stored.paste()
    service.status = 422
    assert await one.tell()
    service.status = 200
    paste = await stored.paste()
    assert await one.tell()
    assert service.kinds() == [("created", paste.slug)]
    assert metrics.registry.get_sample_value("pastebin_changes_told_total", {"outcome": "refused"}) == 1


async def test_a_failover_loses_nothing_and_repeats_nothing(stored: Stored, service: Service) -> None:
    """The feed gets another name; what the new primary does not know that it was told is told again as the same."""
    one = telling(stored, service)
    for _ in range(2):
        await stored.paste()
    await tell_all(one)
    await stored.sql("update change_cursor set sequence = 1")
    await stored.sql("update feed_state set timeline = timeline - 1")
    await stored.paste()
    await tell_all(one)
    assert len(service.events) == 3


async def test_a_copy_of_the_cluster_keeps_the_names_of_what_it_brought(stored: Stored, service: Service) -> None:
    one = telling(stored, service)
    for _ in range(2):
        await stored.paste()
    await tell_all(one)
    await stored.sql("update change_cursor set sequence = 1")
    # as a restored dump looks to another cluster
    ((system_id,),) = await stored.sql("select system_id from feed_state")
    await stored.sql("update feed_state set system_id = 7")
    service.events = {
        (node.replace(str(system_id), "7"), number): one for (node, number), one in service.events.items()
    }
    await stored.paste()
    await tell_all(one)
    nodes = [node for node, _ in service.events]
    assert len(nodes) == 3
    assert nodes[:2] == ["outbox:7"] * 2


async def test_the_feed_is_kept_for_analytics_for_a_week(stored: Stored, service: Service) -> None:
    async def age(days: int) -> None:
        await stored.sql("update feed set sequenced_at = sequenced_at - make_interval(days => $1)", days)
        await stored.sql("update outbox set created_at = created_at - make_interval(days => $1)", days)

    partitions = Partitions(stored.database, 3600)
    metrics = Metrics()
    one = telling(stored, service, metrics)
    assert not await one.tell()  # from now on it is waited for
    await stored.paste()
    await Feed(stored.database).advance()
    await age(2)
    await partitions.keep()
    assert await one.tell()
    assert len(service.events) == 1
    await partitions.keep()
    assert not await stored.sql("select from feed")

    await stored.paste()
    await Feed(stored.database).advance()
    await age(8)
    await partitions.keep()
    paste = await stored.paste()
    await tell_all(one)
    assert service.kinds()[1:] == [("created", paste.slug)]
    assert metrics.registry.get_sample_value("pastebin_changes_lost") == 1


async def test_nothing_is_kept_where_there_is_no_analytics(stored: Stored) -> None:
    await stored.paste()
    await Feed(stored.database).advance()
    await stored.sql("update feed set sequenced_at = sequenced_at - interval '2 days'")
    await Partitions(stored.database, 3600).keep()
    assert not await stored.sql("select from feed")
