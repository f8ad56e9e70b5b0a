from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from pastebin.http.signing import Signer
from pastebin.metrics import Metrics
from pastebin.sections import VisitsSection
from pastebin.services.shipping import Shipping, judged
from pastebin.services.spool import Spool
from pastebin.services.statistics import BATCH_HEADER, Answer, Statistics
from pastebin.visits import BATCHES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """An analytics service that keeps what it takes; `faults` are what it does to the next requests instead.

    It commits what comes, then does as the fault says: a status, or one of `cut` and `hang`.
    """

    def __init__(self) -> None:
        self.batches: dict[str, list[int]] = {}
        self.faults: list[int | str] = []
        self.seen: list[str] = []
        self.news = asyncio.Event()
        self.released = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        assert (request.method, request.path) == ("POST", BATCHES)
        batch = orjson.loads(zlib.decompress(await request.read(), 31))
        identity = request.headers[BATCH_HEADER]
        assert batch["id"] == identity
        self.seen.append(identity)
        fault = self.faults.pop(0) if self.faults else 200
        numbers = [number for (number,) in batch["visits"]]
        if fault in (200, "cut", "hang"):  # the same id always holds the same
            assert self.batches.setdefault(identity, numbers) == numbers
        self.news.set()
        if fault == "cut":
            assert request.transport is not None
            request.transport.abort()
        if fault == "hang":
            await self.released.wait()
        return web.json_response({}, status=fault if isinstance(fault, int) else 200)

    async def has(self, *numbers: int) -> None:
        """Return when exactly these are here."""
        while sorted(number for batch in self.batches.values() for number in batch) != sorted(numbers):
            await self.told()

    async def told(self) -> None:
        """Return when something has come again."""
        self.news.clear()
        await self.news.wait()


@asynccontextmanager
async def shipping(path: Path, receiver: Receiver, **options: Any) -> AsyncIterator[tuple[Spool, Metrics]]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.answer)
    metrics = Metrics()
    async with TestServer(app) as server:
        section = VisitsSection(url=str(server.make_url("/")), **{"retry_max_seconds": 0.02, **options})
        async with (
            Statistics.opened(section, Signer(b""), lambda: None) as statistics,
            Spool.opened(path, most_bytes=10**6, batch_events=3, dropped=print) as spool,
            asyncio.timeout(60),
        ):
            running = asyncio.ensure_future(Shipping(spool, statistics, section, metrics).run())
            try:
                yield spool, metrics
            finally:
                receiver.released.set()
                running.cancel()
                await asyncio.wait([running])


def put(spool: Spool, *numbers: int) -> None:
    spool.put([b"[%d]" % number for number in numbers])


async def test_what_is_put_in_arrives(tmp_path: Path) -> None:
    receiver = Receiver()
    async with shipping(tmp_path, receiver) as (spool, _):
        put(spool, 1, 2, 3, 4)
        await receiver.has(1, 2, 3, 4)
        put(spool, 5)
        await receiver.has(1, 2, 3, 4, 5)


@pytest.mark.parametrize("fault", [503, 507, 429, 500, 403, 401, 404, "cut", "hang"])
async def test_whatever_the_other_side_does_everything_arrives_once(tmp_path: Path, fault: int | str) -> None:
    receiver = Receiver()
    receiver.faults = [fault] * (1 if fault == "hang" else 4)
    async with shipping(tmp_path, receiver, request_timeout_seconds=0.1) as (spool, _):
        put(spool, *range(5))
        await receiver.has(*range(5))
        put(spool, 5)  # one is in the air at most, so the others are settled when this one is here
        await receiver.has(*range(6))
    assert len(receiver.seen) > len(receiver.batches)
    assert len(list(tmp_path.iterdir())) <= 1


async def test_a_batch_that_can_never_be_taken_does_not_hold_up_others(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.faults = [422]
    async with shipping(tmp_path, receiver) as (spool, metrics):
        put(spool, *range(6))
        await receiver.has(3, 4, 5)
        (kept,) = tmp_path.glob("*.refused")
        assert kept.name.startswith(receiver.seen[0])
        outcome = {"outcome": "refused"}
        assert metrics.registry.get_sample_value("pastebin_visit_batches_total", outcome) == 1


async def test_a_batch_on_which_the_service_fails_is_given_up_while_others_are_taken(tmp_path: Path) -> None:
    receiver = Receiver()

    class Failing(Receiver):
        async def answer(self, request: web.Request) -> web.StreamResponse:
            receiver.faults = [500] if receiver.seen[:1] in ([], [request.headers[BATCH_HEADER]]) else []
            return await receiver.answer(request)

    async with shipping(tmp_path, Failing()) as (spool, _):
        put(spool, *range(3))
        while not list(tmp_path.glob("*.refused")):
            put(spool, *range(len(receiver.seen), len(receiver.seen) + 3))
            await receiver.told()
    assert receiver.seen[0] not in receiver.batches


async def test_what_waits_when_the_process_ends_arrives_with_the_next(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.faults = ["cut", *[503] * 1000]
    async with shipping(tmp_path, receiver) as (spool, _):
        put(spool, *range(4))
        await spool.flushed()
        while len(receiver.seen) < 2:
            await receiver.told()
    receiver.faults = []
    async with shipping(tmp_path, receiver) as (spool, _):
        put(spool, 4)
        await receiver.has(*range(5))


class Broken:
    """A service of this process with an error in it, at first."""

    def __init__(self) -> None:
        self.calls = 0
        self.taken = asyncio.Event()

    async def carry(self, _method: str, _path: str, _body: bytes) -> Answer:
        self.calls += 1
        if self.calls < 3:
            raise ZeroDivisionError
        self.taken.set()
        return Answer(200)


async def test_an_error_of_the_service_in_this_process_is_no_end_of_it(tmp_path: Path) -> None:
    broken, section = Broken(), VisitsSection(retry_max_seconds=0.01)
    async with (
        Statistics.opened(section, Signer(b""), lambda: broken) as statistics,
        Spool.opened(tmp_path, most_bytes=10**6, batch_events=3, dropped=print) as spool,
    ):
        running = asyncio.ensure_future(Shipping(spool, statistics, section, Metrics()).run())
        put(spool, 1)
        async with asyncio.timeout(60):
            await broken.taken.wait()
        running.cancel()
        await asyncio.wait([running])


@given(st.integers(0, 999))
def test_only_what_the_content_is_to_blame_for_is_refused(status: int) -> None:
    verdict = judged(status)
    assert (verdict == "taken") == (200 <= status <= 299)
    assert verdict != "refused" or (400 <= status <= 499 and status not in (401, 403, 408, 425, 429))
