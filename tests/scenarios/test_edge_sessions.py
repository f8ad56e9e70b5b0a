"""One client at several edges: with the token of what it has seen it never goes back in time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.cluster import Servers, cluster
from tests.histories.access import Fixed, opened
from tests.histories.checking import violations
from tests.histories.clients import Ledger
from tests.histories.playing import Play
from tests.histories.telling import summary, told
from tests.nodes import Node, directory, started
from tests.ports import free_port
from tests.scenarios.points import ORIGIN_ROLES, Point, client, lag, local_point, point, revise
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.scenario

TOKEN = "Pastebin-Consistency"
_EDGES = 3
_LAGS = ("0", "500ms", "2s")


@dataclass(frozen=True)
class Service:
    """Two nodes that write, edges before both, an edge in the process of one, and replicas that lag differently."""

    servers: Servers
    nodes: tuple[Node, ...]
    points: tuple[Point, ...]
    slow: TcpProxy  # on the way of the feed to the last of the edges that are elsewhere
    http: aiohttp.ClientSession


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(cluster(len(_LAGS)))
        await lag(servers, *_LAGS)
        path = await stack.enter_async_context(directory())
        ports = [free_port() for _ in range(_EDGES)]
        slow = await stack.enter_async_context(TcpProxy.opened(("127.0.0.1", ports[-1])))
        options = {
            "database__replicas": [site.dsn for site in servers.replicas],
            "database__check_interval_seconds": 0.3,
            "database__slow_start_seconds": 0.0,
            "blobs__directory": str(path / "blobs"),
            "cdn__confirm_seconds": 2.0,
            "cdn__poll_seconds": 0.2,
            "cdn__targets": [
                {"name": f"edge-{number}", "kind": "edge", "url": f"http://127.0.0.1:{port}"}
                for number, port in enumerate([*ports[:-1], slow.port])
            ],
        }
        nodes = [
            await stack.enter_async_context(
                started(servers.primary.dsn, path / name, node__name=name, node__roles=roles, **options)
            )
            for name, roles in (("one", ORIGIN_ROLES), ("two", [*ORIGIN_ROLES, "edge"]))
        ]
        urls = [node.url for node in nodes[:1]]
        points = [
            await stack.enter_async_context(point(f"edge-{number}", urls, port, path / f"edge-{number}"))
            for number, port in enumerate(ports)
        ]
        http = await stack.enter_async_context(client())
        yield Service(servers, tuple(nodes), (*points, local_point(nodes[1], path / "two", http)), slow, http)


async def test_a_session_that_hops_between_edges_never_goes_back_in_time(service: Service) -> None:
    """One of them hears of changes later than the others."""
    service.slow.delay_seconds = 0.1
    try:
        await _hop(service)
    finally:
        service.slow.delay_seconds = 0.0


async def _hop(service: Service) -> None:
    paste = await service.nodes[0].paste("0")
    path = f"/{paste['slug']}/raw"
    done = asyncio.Event()

    async def write() -> None:
        for version in range(1, 15):
            await revise(service.nodes[version % 2], paste, str(version))
        done.set()

    async def read_on() -> None:
        """Readers without a session, for whom edges fetch what those with one are given."""
        while not done.is_set():
            await asyncio.gather(*(at.get(path) for at in service.points))

    async def read(seed: int) -> list[int]:
        token, seen = "", list[int]()
        chance = random.Random(seed)  # noqa: S311  (no secret)
        while not done.is_set():
            answer = await chance.choice(service.points).get(path, **{TOKEN: token})
            assert answer.status == 200
            seen.append(int(answer.body))
            token = answer.headers[TOKEN]
        return seen

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        tasks.create_task(read_on())
        readers = [tasks.create_task(read(seed)) for seed in range(6)]
    for reader in readers:
        backwards = [pair for pair in itertools.pairwise(reader.result()) if pair[0] > pair[1]]
        assert not backwards, f"{len(backwards)} of {len(reader.result())}: {backwards[:5]}"


async def test_who_has_changed_something_sees_it_at_every_edge(service: Service) -> None:
    """With the token of the change, whether the purge has arrived or not."""
    paste = await service.nodes[0].paste("0")
    path = f"/{paste['slug']}/raw"
    for version in range(1, 20):
        token = (await revise(service.nodes[version % 2], paste, str(version))).headers[TOKEN]
        answers: list[Any] = await asyncio.gather(*(at.get(path, **{TOKEN: token}) for at in service.points))
        assert {answer.body for answer in answers} == {str(version).encode()}


async def test_a_session_goes_from_an_edge_that_knows_to_one_that_does_not(service: Service) -> None:
    """Whatever the first edge has shown, be it newer than all that the feed has told it, the second one must show."""
    paste = await service.nodes[0].paste("0")
    path = f"/{paste['slug']}/raw"
    knows, late = service.points[0], service.points[_EDGES - 1]
    for at in service.points:
        await at.get(path)
    await asyncio.sleep(1.5)  # until the history of the database stands still and every edge knows it all
    service.slow.black_hole()
    try:
        changing = asyncio.ensure_future(revise(service.nodes[0], paste, "1"))
        shown = await knows.get(path, **{TOKEN: ""})
        while shown.body == b"0":
            shown = await knows.get(path, **{TOKEN: shown.headers[TOKEN]})
        hopped = await late.get(path, **{TOKEN: shown.headers[TOKEN]})
        assert hopped.body == b"1", (shown.headers, hopped.headers)
        await changing
    finally:
        await service.slow.restore()


@pytest.mark.parametrize("seed", [4])
async def test_nothing_in_the_history_of_many_clients_is_impossible(seed: int, service: Service) -> None:
    ledger = Ledger()
    async with AsyncExitStack() as stack:
        accesses = []
        # a node with replicas and no edge before it is told of no purge: there only a session sees what is new
        for name, url in ((at.name, at.url) for at in service.points):
            address = URL(url)
            names = Fixed([(str(address.host), int(address.port or 0))])
            accesses.append(await stack.enter_async_context(opened(name, address.authority, names)))
        play = Play(seed, ledger, tuple(accesses), pause_seconds=0.2)
        await play.run(10.0)
        await play.look_everywhere()
    print(*summary(ledger.history), sep="\n")
    found = violations(ledger.history)
    assert not found, told(found[:5], ledger.history)
    assert ledger.oddities == []
    assert {one.kind for one in ledger.history.operations} == {"create", "revise", "delete", "read", "reveal"}
    assert any("hit" in one.how for one in ledger.history.operations)
    unanswered = [one for one in ledger.history.of("create", "read") if one.outcome != "ok"]
    assert unanswered == []
