"""Edges that cannot be told: what is gone from the origin is gone from them when the lease is over, and ever after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pastebin.cdn.targets import Batch
from pastebin.http.consistency import Tokens
from pastebin.positions import Position
from tests.cdn.origins import answer, scripted
from tests.cluster import Servers, cluster, until
from tests.nodes import SECRET, Node, directory, started
from tests.ports import free_port
from tests.scenarios.gates import STOPS, Gate, Stop
from tests.scenarios.points import ORIGIN_ROLES, Answer, Point, delete, lag, point, reaching, revise
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.scenario

_LEASE_SECONDS = 1.0
# Beyond what an edge keeps in memory.
_LARGE = "large and old\n" * 25_000


@dataclass(frozen=True)
class Service:
    """An origin whose replica lags, and what an edge needs that is told through a proxy."""

    servers: Servers
    origin: Node
    gate: Gate
    feed: TcpProxy
    port: int
    path: Path

    @asynccontextmanager
    async def edge(self, name: str, **settings: Any) -> AsyncIterator[Point]:
        """The edge, when it has heard that it knows everything; `name` is also where its files are."""
        options: dict[str, Any] = {"edge__lease_seconds": _LEASE_SECONDS, **settings}
        async with point("edge", [self.gate.url], self.port, self.path / name, **options) as at:
            yield at

    async def in_touch(self, at: Point) -> None:
        """Return when the edge serves something from its cache: it is told, and it trusts what it has."""
        path = f"/{(await self.origin.paste('x'))['slug']}/raw"
        await until(lambda: _is_hit(at, path))

    async def is_told(self) -> bool:
        """Whether a change is acknowledged when the edge knows it: within the time that a busy machine may take."""
        paste = await self.origin.paste("told")
        return (await delete(self.origin, paste)).headers["Pastebin-Purge"].startswith("confirmed; edges=1")


async def _is_hit(at: Point, path: str) -> bool:
    return is_hit(await at.get(path))


def is_hit(answer: Answer) -> bool:
    return answer.headers["Cache-Status"].startswith("pastebin; hit")


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(cluster(1))
        path = await stack.enter_async_context(directory())
        port = free_port()
        feed = await stack.enter_async_context(TcpProxy.opened(("127.0.0.1", port)))
        options = {
            "database__replicas": [site.dsn for site in servers.replicas],
            "database__check_interval_seconds": 0.3,
            "database__slow_start_seconds": 0.0,
            "database__max_lag_seconds": 120.0,
            "edge__lease_seconds": _LEASE_SECONDS,
            "cdn__confirm_seconds": 0.3,
            "cdn__poll_seconds": 0.1,
            "cdn__request_timeout_seconds": 0.5,
            "cdn__retry_max_seconds": 0.2,
            "cdn__targets": [{"name": "edge", "kind": "edge", "url": f"http://127.0.0.1:{feed.port}"}],
        }
        origin = await stack.enter_async_context(
            started(servers.primary.dsn, path / "origin", node__roles=ORIGIN_ROLES, **options)
        )
        gate = await stack.enter_async_context(Gate.before(origin.url))
        yield Service(servers, origin, gate, feed, port, path)


@pytest.fixture(autouse=True)
async def _restored(service: Service) -> AsyncIterator[None]:
    yield
    service.gate.let_go()
    await service.feed.restore()


async def test_what_is_deleted_while_the_feed_is_cut(service: Service) -> None:
    async with service.edge("cut") as at:
        await service.in_touch(at)
        pastes = [await service.origin.paste(text) for text in ("old", _LARGE, "kept")]
        paths = [f"/{paste['slug']}/raw" for paste in pastes]
        for path in paths:
            await until(lambda: _is_hit(at, path))  # noqa: B023  (awaited here)
        service.feed.refuse()
        for paste in pastes[:2]:
            assert (await delete(service.origin, paste)).headers["Pastebin-Purge"].startswith("partial; edges=0/1")
        await service.servers.caught_up()
        await asyncio.sleep(_LEASE_SECONDS)
        for _ in range(10):  # three leases
            answers = [await at.get(path) for path in paths]
            assert [answer.status for answer in answers] == [404, 404, 200]
            assert not any(is_hit(answer) for answer in answers)
            await asyncio.sleep(0.2 * _LEASE_SECONDS)
        await service.feed.restore()
        await service.in_touch(at)
        await until(lambda: _is_hit(at, paths[2]))
        assert [(await at.get(path)).status for path in paths] == [404, 404, 200]
        await until(service.is_told)


async def test_the_lease_is_the_bound_whatever_the_replica_lags(service: Service) -> None:
    """An edge that nobody tells asks the primary."""
    async with service.edge("lagging") as at:
        await service.in_touch(at)
        pastes = [await service.origin.paste(text) for text in ("old", _LARGE)]
        paths = [f"/{paste['slug']}/raw" for paste in pastes]
        for path in paths:
            await until(lambda: _is_hit(at, path))  # noqa: B023  (awaited here)
        await service.servers.caught_up()
        await lag(service.servers, "30s")
        try:
            service.feed.refuse()
            for paste in pastes:
                await delete(service.origin, paste)
            await asyncio.sleep(_LEASE_SECONDS)
            assert [(await at.get(path)).status for path in paths] == [404, 404]
            shown = "select count(*) from pastes where slug = any($1)"
            assert await service.servers.replicas[0].ask(shown, [paste["slug"] for paste in pastes]) == 2
        finally:
            await lag(service.servers, "0")


async def test_without_a_primary_an_edge_that_nobody_tells_takes_what_replicas_have() -> None:
    port = free_port()
    async with scripted() as origin, directory() as path:
        fresh = {"Cache-Control": "max-age=600", "ETag": '"a"'}
        origin.script("/x", answer(200, fresh, b"x"), answer(503), answer(304, fresh))
        async with point("alone", [origin.url], port, path, edge__lease_seconds=_LEASE_SECONDS) as at:
            async with reaching(f"http://127.0.0.1:{port}") as (target,):
                # which says nothing about when the database was asked, so the lease does not begin
                await target.purge(Batch("one", 0, 1, flush=True, position=Position(1, 1, 1)))
            for _ in range(2):
                seen = await at.get("/x")
                assert (seen.status, seen.body) == (200, b"x")
        tokens = Tokens(SECRET.encode(), 600.0)
        asked = [request.headers["Pastebin-Min-LSN"] for request in origin.asked("/x")]
        required = [tokens.unseal(token, now=time.time(), purpose="min-lsn") for token in asked]
        assert required == [Position(0, 0, 0), Position(0, 0, 0), Position(1, 1, 1)]


@pytest.mark.parametrize("stop", STOPS)
async def test_an_answer_that_was_on_its_way_when_the_feed_was_cut(stop: Stop, service: Service) -> None:
    """It is from before the change; who asks when the lease is over does not get it for that."""
    async with service.edge(f"under way {stop}", edge__collapse_seconds=60.0) as at:
        await service.in_touch(at)
        paste = await service.origin.paste("old")
        path = f"/{paste['slug']}/raw"
        service.gate.stops[path] = stop
        early = asyncio.ensure_future(at.get(path))
        await service.gate.when_held(path, 1)
        service.gate.stops.clear()
        service.feed.refuse()
        await delete(service.origin, paste)
        await service.servers.caught_up()
        await asyncio.sleep(_LEASE_SECONDS)
        assert (await at.get(path)).status == 404
        service.gate.let_go()
        await early
        assert [(await at.get(path)).status for _ in range(100)] == [404] * 100
        await service.feed.restore()
        await service.in_touch(at)
        assert [(await at.get(path)).status for _ in range(100)] == [404] * 100


_LOSSES = {
    "another epoch": "update feed_state set epoch = 'another'",
    "no rows": "with gone as (delete from feed) update feed_state set floor = sequence + 1",
}


@pytest.mark.parametrize("loss", _LOSSES)
async def test_a_log_that_was_lost_while_an_edge_was_away(loss: str, service: Service) -> None:
    name = f"log {loss}"
    paste, other = [await service.origin.paste(f"{_LARGE} {text}") for text in "ab"]
    paths = [f"/{one['slug']}/raw" for one in (paste, other)]
    async with service.edge(name) as at:
        await service.in_touch(at)
        for path in paths:
            await until(lambda: _is_hit(at, path))  # noqa: B023  (awaited here)
    await delete(service.origin, paste)
    await service.servers.caught_up()
    await service.origin.sql(_LOSSES[loss])
    async with service.edge(name) as at:
        assert [(await at.get(path)).status for path in paths] == [404, 200]
        await service.in_touch(at)
        assert [(await at.get(path)).status for path in paths] == [404, 200]


async def test_a_feed_that_goes_on_as_another_one(service: Service) -> None:
    """After a failover, say. What was stored before may never have been."""
    async with service.edge("epoch") as at:
        await service.in_touch(at)
        paste = await service.origin.paste("old")
        path = f"/{paste['slug']}/raw"
        await until(lambda: _is_hit(at, path))
        await service.origin.sql("update feed_state set epoch = 'yet another'")
        await service.origin.sql("delete from pastes where slug = $1", paste["slug"])  # nobody is told
        await service.servers.caught_up()
        await until(lambda: _is_gone(at, path))
        await service.in_touch(at)
        assert (await at.get(path)).status == 404


async def _is_gone(at: Point, path: str) -> bool:
    return (await at.get(path)).status == 404


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "missed"])
async def test_an_edge_that_starts_with_a_warm_disk(is_told: bool, service: Service) -> None:
    """Whether it heard of the change before it ended, or it was down; the replica has not heard of it yet."""
    name = f"warm {is_told}"
    gone, changed, kept, unread = [await service.origin.paste(f"{_LARGE} {text}") for text in "gcku"]
    await service.servers.caught_up()
    paths = [f"/{paste['slug']}/raw" for paste in (gone, changed, kept, unread)]
    async with service.edge(name) as at:
        await service.in_touch(at)
        for path in paths[:3]:
            await at.get(path)
        await lag(service.servers, "30s")
        if is_told:
            await _change(service, gone, changed, unread)
            await until(lambda: not at.stored(gone["slug"]))
        await asyncio.sleep(2.2)  # the feed's place is noted once a second
    try:
        if not is_told:
            await _change(service, gone, changed, unread)
        async with service.edge(name) as at:
            answers: list[tuple[Answer, ...]] = []
            for _ in range(10):
                answers.append(tuple([await at.get(path) for path in paths]))
            await service.in_touch(at)
            for _ in range(10):
                answers.append(tuple([await at.get(path) for path in paths]))
            shown = {tuple(answer.status for answer in four) for four in answers}
            assert shown == {(404, 200, 200, 404)}
            assert {four[1].body for four in answers} == {b"new"}
            assert {four[2].body for four in answers} == {f"{_LARGE} k".encode()}
            assert is_hit(answers[-1][2])
    finally:
        await lag(service.servers, "0")


async def _change(service: Service, gone: dict[str, Any], changed: dict[str, Any], unread: dict[str, Any]) -> None:
    await asyncio.gather(
        delete(service.origin, gone), revise(service.origin, changed, "new"), delete(service.origin, unread)
    )
    shown = "select count(*) from pastes where slug = any($1) and revision = 1"
    assert await service.servers.replicas[0].ask(shown, [one["slug"] for one in (gone, changed, unread)]) == 3
