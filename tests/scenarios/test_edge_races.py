"""Changes while edges are asking: whatever stood between the question and the answer, nobody is served the old text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import pytest

from pastebin.cdn.targets import Batch
from pastebin.http.consistency import Tokens
from pastebin.positions import Position
from tests.cdn import origins
from tests.cluster import Servers, cluster, until
from tests.nodes import SECRET, Node, directory, started
from tests.ports import free_port
from tests.scenarios.gates import STOPS, Gate, Stop
from tests.scenarios.points import (
    ORIGIN_ROLES,
    Answer,
    Point,
    client,
    delete,
    lag,
    local_point,
    point,
    reaching,
    revise,
)

pytestmark = pytest.mark.scenario

TOKEN = "Pastebin-Consistency"
_EDGES = 4
_OLD, _NEW = "old words\n" * 40, "new words\n" * 44
# Beyond what an edge keeps in memory.
_OLD_LARGE, _NEW_LARGE = _OLD * 800, _NEW * 800


@dataclass(frozen=True)
class Service:
    """An origin whose replica lags 30 s, edges before it with a gate between, and a node with every role."""

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
            "database__max_lag_seconds": 120.0,  # it is asked all the same
            "blobs__directory": str(path / "blobs"),
            "cdn__confirm_seconds": 30.0,
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
        stock = [await origin.paste(_OLD) for _ in range(160)]
        large = [await origin.paste(_OLD_LARGE) for _ in range(16)]
        await servers.caught_up()
        await lag(servers, "30s")
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


@pytest.mark.parametrize("stop", [*STOPS, "before 304"])
async def test_a_purge_while_a_stale_answer_is_revalidated(stop: Stop | Literal["before 304"]) -> None:
    """Behind the answer that may be served stale for a while, an origin that knows nothing yet is asked."""
    target, fresh = "/slug-0000/raw", {"CDN-Cache-Control": "max-age=600", "Surrogate-Key": "p-slug-0000 all"}
    stale = {**fresh, "CDN-Cache-Control": "max-age=1, stale-while-revalidate=600", "Age": "5", "ETag": '"old"'}
    release = asyncio.Event()
    body = b"old words"
    late: origins.Answer
    if stop in ("before head", "before 304"):
        late = origins.answer(304 if stop == "before 304" else 200, stale, body, before=[release])
    elif stop == "after head":
        late = origins.answer(200, stale, body, after_head=[release])
    else:
        head = origins.answer(200, stale, body).steps[0]
        late = origins.raw(head, body[:4], release, body[4:], closes=False)
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(origins.scripted())
        ports = [free_port() for _ in range(_EDGES)]
        path = await stack.enter_async_context(directory())
        points = [
            await stack.enter_async_context(
                point(f"edge-{number}", [origin.url], port, path / f"edge-{number}", edge__lease_seconds=0.0)
            )
            for number, port in enumerate(ports)
        ]
        carrying = await stack.enter_async_context(reaching(*(f"http://127.0.0.1:{port}" for port in ports)))
        for target_of in carrying:
            await target_of.purge(Batch("epoch", 0, 1, flush=True))
        origin.script(target, *[origins.answer(200, stale, body)] * _EDGES, *[late] * _EDGES)
        for at in points * 2:
            assert (await at.get(target)).body == body
        await origin.when_asked(target, 2 * _EDGES)
        origin.script(target, origins.answer(200, {**fresh, "ETag": '"new"'}, b"new words"))
        position = Position(7, 1, 500)
        for target_of in carrying:
            await target_of.purge(Batch("epoch", 1, 2, ("p-slug-0000",), position=position))
        before = await asyncio.gather(*(at.get(target) for at in points))
        release.set()
        after = await asyncio.gather(*(at.get(target) for at in points for _ in range(100)))
        assert {answer.body for answer in (*before, *after)} == {b"new words"}
        tokens = Tokens(SECRET.encode(), 60)
        for refill in origin.asked(target)[2 * _EDGES :]:
            token = refill.headers["Pastebin-Min-LSN"]
            assert tokens.unseal(token, now=0, purpose="min-lsn") == position


async def test_a_change_while_the_edge_of_the_same_process_asks(service: Service) -> None:
    """The replica takes its time to answer; the primary does not."""
    pastes = [service.stock.pop() for _ in range(8)]
    proxy = service.servers.replicas[0].proxy
    proxy.delay_seconds = 0.5
    try:
        early = [asyncio.ensure_future(service.local.get(f"/{paste['slug']}/raw")) for paste in pastes * 3]
        await asyncio.sleep(0.1)  # until they wait for the replica: nothing announces it
        half = len(pastes) // 2
        await asyncio.gather(*(revise(service.whole, paste, _NEW) for paste in pastes[:half]))
        await asyncio.gather(*(delete(service.whole, paste) for paste in pastes[half:]))
        before = [await service.local.get(f"/{paste['slug']}/raw") for paste in pastes]
        await asyncio.gather(*early)
    finally:
        proxy.delay_seconds = 0.0
    for _ in range(100 // len(pastes) + 1):
        after = await asyncio.gather(*(service.local.get(f"/{paste['slug']}/raw") for paste in pastes))
        for answers in (before, after):
            assert [answer.body for answer in answers[:half]] == [_NEW.encode()] * half
            assert [answer.status for answer in answers[half:]] == [404] * half


async def test_a_burn_while_edges_ask_for_it(service: Service) -> None:
    """Its page and its refusals may be asked for anywhere; the text goes to one reader and is nowhere afterwards."""
    secret = "a secret that is told once " * 5
    paste = await service.origin.paste(secret, burn=True)
    paths = [f"/{paste['slug']}", f"/{paste['slug']}/raw", f"/api/v1/pastes/{paste['slug']}"]
    service.gate.stops.update(dict.fromkeys(paths, STOPS[0]))
    early = [asyncio.ensure_future(at.get(path)) for at in service.all for path in paths]
    for path in paths:
        await service.gate.when_held(path, _EDGES)
    service.gate.stops.clear()
    reveals = await asyncio.gather(
        *(at.get(f"/api/v1/pastes/{paste['slug']}/reveal", "POST") for at in service.all for _ in range(5))
    )
    assert sorted(answer.status for answer in reveals) == [200] + [404] * (len(reveals) - 1)
    service.gate.let_go()
    for answer in await asyncio.gather(*early):
        assert secret.encode() not in answer.body
    after = await asyncio.gather(*(at.get(path) for at in service.all for path in paths for _ in range(30)))
    assert {answer.status for answer in after} == {404}
    assert not any([await at.holds(secret.encode()) for at in service.all])


async def test_many_cold_readers_ask_the_origin_once(service: Service) -> None:
    for paste, text in ((service.stock.pop(), _OLD), (service.large.pop(), _OLD_LARGE)):
        path = f"/{paste['slug']}/raw"
        answers = await asyncio.gather(*(service.points[0].get(path) for _ in range(500)))
        assert {answer.body for answer in answers} == {text.encode()}
        assert service.gate.asked.count(path) == 1


async def test_a_name_that_edges_say_is_free_works_as_soon_as_it_is_given(service: Service) -> None:
    for number in range(5):
        slug = f"once-asked-for-{number}"
        for at in (*service.all, *service.all):
            assert (await at.get(f"/{slug}/raw")).status == 404
        asking = [asyncio.ensure_future(at.get(f"/{slug}/raw")) for at in service.all for _ in range(10)]
        await (service.origin if number % 2 else service.whole).paste(f"{number}\n", slug=slug)
        await asyncio.gather(*asking)
        answers = await asyncio.gather(*(at.get(f"/{slug}/raw") for at in service.all for _ in range(5)))
        assert {answer.body for answer in answers} == {b"%d\n" % number}


async def test_a_new_link_works_at_every_edge_at_once(service: Service) -> None:
    async def create_and_read(number: int) -> set[bytes]:
        paste = await (service.origin if number % 2 else service.whole).paste(f"{number}\n")
        return {(await at.get(f"/{paste['slug']}/raw")).body for at in service.all}

    found = await asyncio.gather(*(create_and_read(number) for number in range(50)))
    assert found == [{b"%d\n" % number} for number in range(50)]
