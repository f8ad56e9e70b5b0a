"""Changes while edges are asking: whatever stood between the question and the answer, nobody is served the old text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from tests.cluster import Servers, cluster, until
from tests.nodes import Node, directory, started
from tests.scenarios.gates import STOPS, Gate, Stop
from tests.scenarios.points import ORIGIN_ROLES, Answer, Point, client, delete, lag, local_point, point, revise
from tests.scenarios.processes import free_port

pytestmark = pytest.mark.scenario

TOKEN = "Pastebin-Consistency"
_EDGES = 4
_OLD, _NEW = "old words\n" * 40, "new words\n" * 44
# Beyond what an edge keeps in memory.
_OLD_LARGE, _NEW_LARGE = _OLD * 800, _NEW * 800


@dataclass(frozen=True)
class Service:
    """An origin whose replica lags 5 s, edges before it with a gate between, and a node with every role."""

    servers: Servers
    origin: Node
    gate: Gate
    points: tuple[Point, ...]
    whole: Node
    local: Point
    http: aiohttp.ClientSession
    stock: list[dict[str, Any]] = field(default_factory=list)
    large: list[dict[str, Any]] = field(default_factory=list)

    @property
    def all(self) -> tuple[Point, ...]:
        return (*self.points, self.local)

    async def replica_shows(self, slug: str) -> bool:
        """Whether the replica still has the text that was there at first."""
        query = "select count(*) > 0 from pastes where slug = $1 and revision = 1"
        return bool(await self.servers.replicas[0].ask(query, slug))


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(cluster(1))
        path = await stack.enter_async_context(directory())
        ports = [free_port() for _ in range(_EDGES)]
        options = {
            "database__replicas": [site.dsn for site in servers.replicas],
            "database__check_interval_seconds": 0.3,
            "database__slow_start_seconds": 0.0,
            "blobs__directory": str(path / "blobs"),
            "cdn__confirm_seconds": 10.0,
            "cdn__targets": [
                {"name": f"edge-{number}", "kind": "edge", "url": f"http://127.0.0.1:{port}"}
                for number, port in enumerate(ports)
            ],
        }
        dsn = servers.primary.dsn
        origin = await stack.enter_async_context(
            started(dsn, path / "origin", node__name="origin", node__roles=ORIGIN_ROLES, **options)
        )
        whole = await stack.enter_async_context(
            started(dsn, path / "whole", node__name="whole", node__roles=[*ORIGIN_ROLES, "edge"], **options)
        )
        gate = await stack.enter_async_context(Gate.before(origin.url))
        points = [
            await stack.enter_async_context(
                # nobody who asks after a change may wait for an answer from before it, however patient
                point(f"edge-{number}", [gate.url], port, path / f"edge-{number}", edge__collapse_seconds=60.0)
            )
            for number, port in enumerate(ports)
        ]
        http = await stack.enter_async_context(client())
        local = local_point(whole, path / "whole", http)
        stock = [await origin.paste(_OLD) for _ in range(80)]
        large = [await origin.paste(_OLD_LARGE) for _ in range(12)]
        await servers.caught_up()
        await lag(servers, "5s")
        await _told(origin)
        yield Service(servers, origin, gate, tuple(points), whole, local, http, stock, large)
        await lag(servers, "0")


async def _told(origin: Node) -> None:
    """Return when every edge follows the feed."""

    async def is_confirmed() -> bool:
        purge = (await delete(origin, await origin.paste("x"))).headers["Pastebin-Purge"]
        return purge.startswith(f"confirmed; edges={_EDGES + 1}")

    await until(is_confirmed)


@dataclass(frozen=True)
class Asking:
    """How a paste is asked for while the origin is stopped: is it stored before, in which way, at what address."""

    is_warm: bool = False
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    target: str = "/{}/raw"
    is_large: bool = False


_ASKINGS = {
    "cold": Asking(),
    "page": Asking(target="/{}", headers={"Accept": "text/html"}),
    "gzip": Asking(headers={"Accept-Encoding": "gzip"}),
    "range": Asking(headers={"Range": "bytes=5-24"}),
    "head": Asking(method="HEAD"),
    "revalidation": Asking(is_warm=True, headers={"Cache-Control": "no-cache"}),
    "head that revalidates": Asking(is_warm=True, method="HEAD", headers={"Cache-Control": "max-age=0"}),
    "gzip that revalidates": Asking(is_warm=True, headers={"Cache-Control": "no-cache", "Accept-Encoding": "gzip"}),
    "large": Asking(is_large=True),
    "deep": Asking(is_large=True, headers={"Range": "bytes=300000-300099"}),
}
# What everybody asks afterwards, in turn.
_AFTERWARDS: list[tuple[str, dict[str, str]]] = [
    ("GET", {}),
    ("GET", {"Accept-Encoding": "gzip"}),
    ("HEAD", {}),
    ("GET", {"Range": "bytes=0-99"}),
    ("GET", {"Cache-Control": "no-cache"}),
    ("GET", {"If-Match": "*"}),
    ("GET", {"Cookie": "owner=x"}),
    ("GET", {TOKEN: "rubbish"}),
    ("GET", {"Authorization": "Bearer x"}),
    ("GET", {"Range": "bytes=-99", "Accept-Encoding": "gzip"}),
]
_WAYS = len(_AFTERWARDS) + 1


async def _afterwards(service: Service, path: str, numbers: range, tag: str) -> list[tuple[str, str, Answer]]:
    """Everything that these readers at each edge get: who answered, to what, and the answer."""

    async def read(at: Point, number: int) -> tuple[str, str, Answer]:
        method, headers = (*_AFTERWARDS, ("GET", {"If-None-Match": tag}))[number % _WAYS]
        return at.name, f"{method} {headers}", await at.get(path, method, **headers)

    return await asyncio.gather(*(read(at, number) for at in service.points for number in numbers))


Change = Callable[[Node, dict[str, Any], bool], Awaitable[Answer]]


async def _revise(of: Node, paste: dict[str, Any], is_large: bool) -> Answer:
    return await revise(of, paste, _NEW_LARGE if is_large else _NEW)


async def _delete(of: Node, paste: dict[str, Any], is_large: bool) -> Answer:
    return await delete(of, paste)


@pytest.mark.parametrize("change", [_revise, _delete], ids=["revise", "delete"])
@pytest.mark.parametrize("stop", STOPS)
async def test_a_change_while_the_origin_is_stopped(stop: Stop, change: Change, service: Service) -> None:
    pastes = {name: (service.large if asking.is_large else service.stock).pop() for name, asking in _ASKINGS.items()}
    paths = {name: _ASKINGS[name].target.format(paste["slug"]) for name, paste in pastes.items()}
    tags = {}
    for name, asking in _ASKINGS.items():
        if asking.is_warm:
            for at in service.points:
                answer = await at.get(paths[name], **{**asking.headers, "Cache-Control": ""})
                assert answer.status == 200
                tags[name] = answer.headers["ETag"]
    service.gate.stops.update(dict.fromkeys(paths.values(), stop))  # ten ways of asking, 11 readers each: 110 an edge
    early = {
        name: [
            asyncio.ensure_future(at.get(paths[name], asking.method, **asking.headers))
            for at in service.points
            for _ in range(3)
        ]
        for name, asking in _ASKINGS.items()
    }
    for path in paths.values():
        await service.gate.when_held(path, _EDGES)
    service.gate.stops.clear()  # who comes from now on is not stopped
    await asyncio.gather(*(change(service.origin, pastes[name], asking.is_large) for name, asking in _ASKINGS.items()))
    assert await service.replica_shows(pastes["cold"]["slug"])
    wrong: list[tuple[str, ...]] = []

    async def check(name: str, numbers: range) -> None:
        for at, how, answer in await _afterwards(service, paths[name], numbers, tags.get(name, '"x"')):
            if _is_old(answer, change, is_large=_ASKINGS[name].is_large, tag=tags.get(name)):
                wrong.append((name, at, how, str(answer.status), answer.headers.get("Cache-Status", "")))

    await asyncio.gather(*(check(name, range(first, first + 3)) for first, name in enumerate(_ASKINGS)))
    service.gate.let_go()
    for name, requests in early.items():
        for answer in await asyncio.gather(*requests):
            assert _is_whole(answer, is_large=_ASKINGS[name].is_large, is_head=_ASKINGS[name].method == "HEAD"), name
    await asyncio.gather(*(check(name, range(_WAYS)) for name in _ASKINGS))
    assert not wrong, wrong[:20]


def _is_old(answer: Answer, change: Change, *, is_large: bool, tag: str | None) -> bool:
    if change is _delete:
        return answer.status not in (404, 410)
    if b"old words" in answer.body or (tag is not None and answer.headers.get("ETag") == tag):
        return True
    if answer.status not in (200, 206):
        return True
    length = answer.headers.get("Content-Length")
    return answer.status == 200 and not answer.body and length == str(len(_OLD_LARGE if is_large else _OLD))


def _is_whole(answer: Answer, *, is_large: bool, is_head: bool) -> bool:
    """Who asked before the change may get what was there, or what is, but nothing between the two."""
    if answer.status in (404, 410) or is_head or b"<html" in answer.body:
        return True
    texts = (_OLD_LARGE, _NEW_LARGE) if is_large else (_OLD, _NEW)
    if answer.status == 206:
        return any(answer.body in text.encode() for text in texts)
    return answer.status == 200 and answer.body.decode() in texts
