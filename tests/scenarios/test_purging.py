"""Purges from the change to the edge: through nodes, through workers that die, past edges that do not answer."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec
import psutil
import pytest

from pastebin import surrogates
from pastebin.store.cursors import Cursors, TargetReport
from pastebin.store.feed import Feed
from tests.cdn.receivers import EdgeProcess, edges
from tests.cdn.worker_process import WorkerProcess, worker_process
from tests.cdn.workers import QUICK, STEADY, reaching, until, working
from tests.cluster import cluster
from tests.nodes import SECRET, Node, directory, started
from tests.stored import Stored, opened

_INSERT = "insert into outbox (kind, slug) select 'revise', 's' || n from generate_series($1::int, $2::int) n"
_MIB = 1024**2


def keys(first: int, last: int) -> set[str]:
    return {surrogates.of_paste(f"s{number}") for number in range(first, last + 1)}


@pytest.fixture
async def stored(database_dsn: str, tmp_path: Any) -> AsyncIterator[Stored]:
    async with opened(database_dsn, tmp_path / "blobs") as place:
        yield place


async def reports(stored: Stored) -> dict[str, TargetReport]:
    return {report.name: report for report in await Cursors(stored.database).report()}


async def test_workers_that_are_killed_all_the_time_lose_nothing(stored: Stored) -> None:
    """5,000 changes while one of three workers dies every 200 ms, at least eight: all arrives, key by key."""
    section = msgspec.structs.replace(QUICK, lease_seconds=1.0, request_timeout_seconds=5.0)
    chance = random.Random(1)  # noqa: S311  (a scenario, not a secret)
    async with edges(3) as places, AsyncExitStack() as stack:
        urls = [edge.url for edge in places]
        workers: list[WorkerProcess] = []

        async def start() -> None:
            worker = WorkerProcess(stored.dsn, urls, section, f"node-{len(started_ever)}")
            started_ever.append(worker.node)
            await asyncio.to_thread(worker.start)
            workers.append(worker)

        started_ever: list[str] = []
        for _ in range(3):
            await start()
        stack.push_async_callback(lambda: asyncio.gather(*(worker.kill() for worker in workers)))
        await until(lambda: all(edge.is_held for edge in places))
        flushes = [edge.remembered.flushes for edge in places]
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(_write(stored, 5000))
            while not writing.done() or len(started_ever) <= 10:
                await asyncio.sleep(0.2)
                await workers.pop(chance.randrange(len(workers))).kill()
                await start()
        await until(lambda: all(edge.keys >= keys(1, 5000) for edge in places), seconds=120)
        assert [edge.remembered.flushes for edge in places] == flushes  # each was told key by key
        rows = await stored.sql("select count(*), count(distinct outbox_id), max(sequence) from feed")
        assert tuple(rows[0]) == (5000, 5000, 5000)
        while any(report.depth for report in (await reports(stored)).values()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _write(stored: Stored, count: int) -> None:
    for first in range(1, count, 50):
        await stored.sql(_INSERT, first, first + 49)
        await asyncio.sleep(0.05)


async def test_a_worker_that_slept_past_its_lease_has_nothing_to_say(stored: Stored) -> None:
    """It is stopped in the middle of a call; another one takes over and goes on; then it wakes up."""
    # the successor is to keep its own
    section = msgspec.structs.replace(QUICK, request_timeout_seconds=60.0, lease_seconds=3.0)
    async with edges(1) as (edge,), worker_process(stored.dsn, [edge.url], section, "sleeper") as sleeper:
        await until(lambda: edge.is_held)
        edge.away = True
        calls = edge.calls
        await stored.sql(_INSERT, 1, 5)
        await until(lambda: edge.calls > calls)
        sleeper.send(signal.SIGSTOP)
        before = (await reports(stored))["edge-0"]
        edge.away = False
        async with worker_process(stored.dsn, [edge.url], section, "a-successor"):
            await stored.sql(_INSERT, 6, 10)
            await until(lambda: edge.keys >= keys(1, 10))
            while (await reports(stored))["edge-0"].depth:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            after = (await reports(stored))["edge-0"]
            edge.let_go()  # the answer to the sleeper's call is on its way
            sleeper.send(signal.SIGCONT)
            await stored.sql(_INSERT, 11, 15)
            await until(lambda: edge.keys >= keys(1, 15))
            while (await reports(stored))["edge-0"].depth:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            last = (await reports(stored))["edge-0"]
    assert (before.holder or "").startswith("sleeper:")
    assert after.holder == last.holder
    assert (last.holder or "").startswith("a-successor:")
    assert last.confirmed == 15


async def test_an_edge_that_nobody_reaches_costs_the_others_nothing(stored: Stored) -> None:
    """50,000 changes wait for it, in the database; then it gets every key, most of them once."""
    section = msgspec.structs.replace(STEADY, request_timeout_seconds=5.0)
    async with edges(4) as places, worker_process(stored.dsn, [edge.url for edge in places], section, "one") as worker:
        *well, ill = places
        await until(lambda: all(edge.is_held for edge in places))
        memory = psutil.Process(worker.pid).memory_info().rss
        ill.away = True
        for first in range(1, 50_000, 10_000):
            await stored.sql(_INSERT, first, first + 9_999)
        await until(lambda: all(len(edge.keys) == 50_000 for edge in well), seconds=120)
        assert ill.keys == set()
        assert (await reports(stored))["edge-3"].depth == 50_000
        assert psutil.Process(worker.pid).memory_info().rss - memory < 64 * _MIB
        for number in range(50_001, 50_011):
            await stored.sql(_INSERT, number, number)
            await until(lambda number=number: all(keys(number, number) <= edge.keys for edge in well))  # type: ignore[misc]
        assert await stored.count("feed") == 50_010
        assert await stored.count("dead_letters") == 0
        ill.away = False
        await until(lambda: len(ill.keys) >= 50_010, seconds=120)
        assert ill.keys == keys(1, 50_010)
        await until(lambda: ill.is_held)
        assert len(ill.remembered.purges) < 60_000


def aimed_at(*places: EdgeProcess) -> list[dict[str, str]]:
    return [{"name": f"edge-{number}", "kind": "edge", "url": edge.url} for number, edge in enumerate(places)]


ROLES = ["web", "read", "write", "cdn-worker"]


async def delete(node: Node, made: dict[str, Any]) -> str:
    address = f"{node.url}/api/v1/pastes/{made['slug']}"
    async with node.http.delete(address, headers={"Authorization": f"Bearer {made['token']}"}) as response:
        assert response.status == 204, await response.text()
        return response.headers["Pastebin-Purge"]


async def test_changes_wait_for_the_edges(database_dsn: str) -> None:
    """What was acknowledged is known everywhere, or the answer says how far it is."""
    async with edges(2, SECRET.encode()) as places, directory() as path:
        settings = {"cdn__targets": aimed_at(*places), "cdn__confirm_seconds": 30.0, "cdn__retry_max_seconds": 0.2}
        async with started(database_dsn, path, node__roles=ROLES, **settings) as node:
            await until(lambda: all(edge.is_held for edge in places))
            made = await node.paste("one")
            address = f"{node.url}/api/v1/pastes/{made['slug']}"
            headers = {"Authorization": f"Bearer {made['token']}"}
            async with node.http.patch(address, json={"content": "two"}, headers=headers) as response:
                assert response.status == 200
            key = surrogates.of_paste(made["slug"])
            assert all(edge.remembered.purges == [key] for edge in places)
            async with node.http.patch(address, json={"content": "x" * 100}, headers=headers) as response:
                assert response.status == 200
            assert all(edge.remembered.purges == [key] * 2 for edge in places)
            purge = await delete(node, made)
            assert purge.startswith("confirmed; edges=2; ms=")
            assert all(edge.remembered.purges == [key] * 3 for edge in places)
            await node.paste("named", slug="a-name")
            assert all(surrogates.of_paste("a-name") in edge.keys for edge in places)
            async with node.http.get(f"{node.internal}/metrics") as response:
                figures = await response.text()
            assert 'pastebin_purge_keys_sent_total{target="edge-0"} 4.0' in figures
            assert 'pastebin_purge_latency_seconds_count{target="edge-1"} 4.0' in figures


async def test_an_edge_that_does_not_answer_makes_it_partial(database_dsn: str) -> None:
    async with edges(2, SECRET.encode()) as places, directory() as path:
        settings = {"cdn__targets": aimed_at(*places), "cdn__confirm_seconds": 2.0, "cdn__retry_max_seconds": 0.2}
        async with started(database_dsn, path, node__roles=ROLES, cdn__request_timeout_seconds=1.0, **settings) as node:
            await until(lambda: all(edge.is_held for edge in places))
            places[1].away = True
            made = await node.paste("one")
            assert (await delete(node, made)).startswith("partial; edges=1/2; ms=")
            places[1].away = False
            await until(lambda: surrogates.of_paste(made["slug"]) in places[1].keys)


async def test_without_edges_nobody_waits(database_dsn: str) -> None:
    async with directory() as path, started(database_dsn, path, node__roles=ROLES) as node:
        assert (await delete(node, await node.paste("one"))).startswith("confirmed; edges=0; ms=")


async def test_the_worker_may_be_on_another_node(database_dsn: str) -> None:
    async with edges(1, SECRET.encode()) as places, directory() as path, directory() as other:
        settings = {"cdn__targets": aimed_at(*places), "cdn__poll_seconds": 5.0}
        async with (
            started(database_dsn, path, node__roles=["cdn-worker"], **settings) as worker,
            started(database_dsn, other, node__roles=["write", "read"], cdn__confirm_seconds=4.0) as node,
        ):
            await until(lambda: places[0].is_held)
            # it is called: by itself it would look again five seconds after the first one, at the earliest
            for text in ("one", "two"):
                assert (await delete(node, await node.paste(text))).startswith("confirmed; edges=1; ms=")
            async with worker.http.get(f"{worker.internal}/readyz") as response:
                assert response.status == 200


async def test_what_ends_by_itself_is_purged(stored: Stored) -> None:
    async with edges(1) as places, reaching(places) as targets, working(stored.dsn, targets) as at_work:
        (edge,) = places
        await until(lambda: edge.is_held)
        burning, ending, taken = await stored.paste(max_reads=2), await stored.paste(), await stored.paste()
        for _ in range(2):
            await stored.pastes.take_read(burning)
        await stored.expire(ending)
        assert await stored.leftovers.expire(10) == 1
        await stored.pastes.take_down(taken)
        at_work.worker.wake()
        await until(lambda: edge.keys == {surrogates.of_paste(paste.slug) for paste in (burning, ending, taken)})
    kinds = [row["kind"] for row in await stored.sql("select kind from feed where tell order by sequence")]
    assert kinds == ["burn", "expire", "take-down"]


async def test_strangers_cannot_purge(database_dsn: str) -> None:
    """A node with another secret reaches nobody, and the edge counts it."""
    async with edges(1, b"another secret") as places, directory() as path:
        settings = {"cdn__targets": aimed_at(*places), "cdn__confirm_seconds": 0.2}
        async with started(database_dsn, path, node__roles=ROLES, **settings) as node:
            made = await node.paste("one")
            assert (await delete(node, made)).startswith("partial; edges=0/1; ms=")
            refused = places[0].metrics.registry.get_sample_value
            await until(lambda: bool(refused("pastebin_purge_requests_refused_total", {"reason": "secret"})))
        assert (places[0].keys, places[0].remembered.flushes) == (set(), 0)
        async with aiohttp.ClientSession() as http, http.post(f"{places[0].url}/cdn/purges", data=b"{}") as response:
            assert response.status == 403


async def test_the_log_is_as_large_as_what_is_new(stored: Stored) -> None:
    """A snapshot that is held for long keeps every dead row: there are none, but for the few rows that say how far."""
    feed = Feed(stored.database)
    async with stored.database.primary() as connection, connection.transaction(isolation="repeatable_read"):
        await connection.fetch("select count(*) from feed")
        for number in range(300):
            await stored.sql(_INSERT, number, number + 9)
            await feed.advance()
        sizes = {
            row["name"]: row["size"]
            for row in await stored.sql("select relname::text as name, pg_relation_size(oid) as size from pg_class")
        }
    assert sizes["feed_state"] < 300 * 400
    changed = await stored.sql("""
        select pg_stat_force_next_flush(), sum(pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_tuples_updated(oid)
            + pg_stat_get_tuples_deleted(oid)) from pg_class where relname in ('outbox_rest', 'feed_rest')
    """)
    assert changed[0][1] == 0
    assert await stored.count("feed") == 3000


async def test_a_failover_flushes_and_goes_on() -> None:
    """What the old primary had told may never have happened; nobody is restarted."""
    async with cluster(replicas=1) as servers, edges(1) as places, reaching(places) as targets:
        (edge,), (new,) = places, servers.replicas
        section = servers.section()
        async with working(servers.primary.dsn, targets, database_section=section):
            await until(lambda: edge.is_held)
            await servers.primary.ask(_INSERT, 1, 3)
            await until(lambda: edge.keys == keys(1, 3))
            await servers.caught_up()
            epoch = edge.feed.epoch
            await servers.primary.server.stop()
            await new.server.promote()
            await until(lambda: edge.feed.epoch != epoch)
            assert edge.remembered.flushes == 2
            await new.ask(_INSERT, 4, 6)
            await until(lambda: edge.keys == keys(1, 6))
            await until(lambda: edge.is_held)
            assert await new.ask("select max(sequence) from feed") == 6
