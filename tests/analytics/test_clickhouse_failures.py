"""What the engine on ClickHouse says when its server is away, full, strange or too slow; and what it asks of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pastebin.analytics.engines import Filter, Span
from pastebin.analytics.engines.clickhouse import ClickHouseEngine
from pastebin.errors import ConfigError, Overloaded, ResourceUnavailable, Unavailable
from pastebin.sections import AnalyticsSection
from pastebin.visits import Batch
from tests.analytics.contract import SINCE, UNTIL, WHOLE, one_batch
from tests.analytics.oracle import MIDNIGHT, visit
from tests.clickhouse import Server, fresh_database, running
from tests.ports import free_port

_Answering = Callable[[web.Request, str], Awaitable[web.Response]]


def opened(dsn: str, *, collect_seconds: float = 0, **options: Any) -> AbstractAsyncContextManager[ClickHouseEngine]:
    return ClickHouseEngine.opened(AnalyticsSection(**options), dsn, collect_seconds=collect_seconds)


@asynccontextmanager
async def speaking(answering: _Answering) -> AsyncIterator[str]:
    """Where something listens that answers as it likes, for what no real server can be brought to say."""

    async def answer(request: web.Request) -> web.Response:
        return await answering(request, request.query.get("query") or await request.text())

    app = web.Application()
    app.router.add_post("/", answer)
    async with TestServer(app) as server:
        yield f"http://user:password@127.0.0.1:{server.port}/name"


def plain(sql: str) -> web.Response:
    """An empty database of today's."""
    rows = '[["26.9.1.1"]]' if "version()" in sql else '[["name"]]' if "system.databases" in sql else "[]"
    return web.Response(text=f'{{"data": {rows}}}')


@pytest.mark.parametrize(
    ("dsn", "told"),
    [
        ("http://127.0.0.1:8123/", "the name has letters"),
        ("http://127.0.0.1:8123/a;drop", "the name has letters"),
        ("http://:pass-word@127.0.0.1:x/a", "malformed"),
        ("http:///a", "the name has letters"),
    ],
)
async def test_an_address_that_cannot_be_is_told_without_the_password(dsn: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        async with opened(dsn):
            pass
    assert "pass-word" not in str(caught.value)


async def test_a_server_that_is_away_is_named_at_the_start() -> None:
    with pytest.raises(ResourceUnavailable, match="cannot be reached"):
        async with opened(f"http://127.0.0.1:{free_port()}/name"):
            pass


async def test_a_wrong_password_is_named_and_not_repeated(
    either_clickhouse: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = either_clickhouse
    with pytest.raises(ResourceUnavailable, match="refuses the user or the password") as caught:
        async with opened(server.dsn("any", key="wr-ng")):
            pass
    assert "wr-ng" not in str(caught.value) + caplog.text


@pytest.mark.parametrize("version", ["1.1.54388", "18.14.19", "", "banana"])
async def test_a_server_that_is_too_old_is_refused(version: str) -> None:
    async def answering(_request: web.Request, _sql: str) -> web.Response:
        return web.Response(text=f'{{"data": [["{version}"]]}}')

    async with speaking(answering) as dsn:
        with pytest.raises(ResourceUnavailable, match=r"18\.16 or later is needed"):
            async with opened(dsn):
                pass


@pytest.mark.parametrize("status", [200, 302, 404])
async def test_what_is_no_clickhouse_is_told_from_one(status: int) -> None:
    async def answering(_request: web.Request, _sql: str) -> web.Response:
        return web.Response(status=status, text="<h1>Welcome</h1>", headers={"Location": "http://127.0.0.1:1/"})

    async with speaking(answering) as dsn:
        with pytest.raises(ResourceUnavailable, match="no answer of ClickHouse|cannot be understood"):
            async with opened(dsn):
                pass


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)", "disk is full"),
        ("Code: 74, e.displayText() = DB::ErrnoException: Cannot write: No space left on device", "disk is full"),
        ("Code: 252. DB::Exception: Too many parts (300)", "too much to do"),
        ("Code: 60. DB::Exception: Table name.visits doesn't exist: abc", "tables is missing"),
        ("Code: 9999. DB::Exception: 'hostile <text>'", "ClickHouse error 9999"),
    ],
)
async def test_an_error_is_told_in_words_and_nothing_is_kept_back_for_ever(said: str, told: str) -> None:
    has_trouble = True

    async def answering(_request: web.Request, sql: str) -> web.Response:
        if has_trouble and "insert into visits" in sql:
            return web.Response(status=500, text=said)
        return plain(sql)

    async with speaking(answering) as dsn, opened(dsn) as engine:
        with pytest.raises(Unavailable, match=told) as caught:
            await engine.take(one_batch(visit(1, MIDNIGHT)), UNTIL)
        assert "hostile" not in str(caught.value)
        has_trouble = False
        await engine.take(one_batch(visit(1, MIDNIGHT)), UNTIL)


async def test_a_server_that_hangs_is_given_up() -> None:
    hangs = asyncio.Event()
    goes_on = asyncio.Event()

    async def answering(_request: web.Request, sql: str) -> web.Response:
        if hangs.is_set():
            await goes_on.wait()
        return plain(sql)

    async with speaking(answering) as dsn, opened(dsn, question_timeout_seconds=0.1) as engine:
        hangs.set()
        with pytest.raises(Unavailable, match="does not answer in time"):
            await engine.totals(WHOLE, Filter())
        goes_on.set()


async def test_who_may_not_wait_any_longer_is_told_so() -> None:
    """Batches that wait for a slow server are bounded."""
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def answering(_request: web.Request, sql: str) -> web.Response:
        if "insert into batches" in sql:
            begun.set()
            await goes_on.wait()
        return plain(sql)

    many = [visit(1, MIDNIGHT)] * 90_000
    async with speaking(answering) as dsn, opened(dsn) as engine:
        async with asyncio.TaskGroup() as tasks:
            waiting = [
                tasks.create_task(engine.take(Batch(f"b{index}", "node", visits=many), UNTIL)) for index in range(4)
            ]
            await begun.wait()
            with pytest.raises(Overloaded):
                await engine.take(Batch("one too many", "node", visits=many), UNTIL)
            for task in waiting:
                task.cancel()
        goes_on.set()


async def test_neither_password_nor_text_of_others_is_in_an_address() -> None:
    seen: list[web.Request] = []

    async def answering(request: web.Request, sql: str) -> web.Response:
        seen.append(request)
        rows = f'[["marks", {int(MIDNIGHT.timestamp()) // 3600}, 1, 0]]' if "from marks" in sql else ""
        return web.Response(text=f'{{"data": {rows}}}') if rows else plain(sql)

    async with speaking(answering) as dsn, opened(dsn) as engine:
        await engine.take(one_batch(visit(1, MIDNIGHT, slug="hostile")), UNTIL)
        await engine.breakdown("file", WHOLE, Filter("hostile"), 5, after=(3, "hostile"))
    assert {request.headers["X-ClickHouse-Key"] for request in seen} == {"password"}
    for request in seen:
        assert "password" not in str(request.url)
        assert "hostile" not in str(request.url)


async def test_small_batches_are_written_together() -> None:
    """And each is answered when it is in."""
    inserts: list[int] = []

    async def answering(request: web.Request, sql: str) -> web.Response:
        if "insert into visits" in sql:
            inserts.append((await request.text()).count("\n"))
        return plain(sql)

    batches = [one_batch(visit(number, MIDNIGHT), name=f"b{number}") for number in range(60)]
    async with speaking(answering) as dsn, opened(dsn, collect_seconds=0.05) as engine:
        await asyncio.gather(*(engine.take(batch, UNTIL) for batch in batches))
    assert sum(inserts) == 60
    assert len(inserts) <= 2


async def test_whoever_writes_for_all_may_be_cancelled(old_clickhouse: Server) -> None:
    async with fresh_database(old_clickhouse) as name:
        async with opened(old_clickhouse.dsn(name)) as engine:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(engine.take(one_batch(visit(1, MIDNIGHT), name="a"), UNTIL))
                others = [
                    tasks.create_task(engine.take(one_batch(visit(number, MIDNIGHT), name=f"b{number}"), UNTIL))
                    for number in range(2, 12)
                ]
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                writing.cancel()
            assert all(task.result() for task in others)
            assert 10 <= (await engine.totals(WHOLE, Filter())).visits <= 11


@pytest.mark.parametrize("cut_at", ["batches", "marks", "visits", "batches, done"])
async def test_an_attempt_that_died_is_made_again_without_a_trace(new_clickhouse: Server, cut_at: str) -> None:
    """Also if the same event is dated otherwise the second time, in another hour."""
    first, second = (
        one_batch(visit(1, MIDNIGHT - timedelta(seconds=shift)), visit(2, MIDNIGHT - timedelta(hours=1)))
        for shift in (2, -2)
    )
    async with fresh_database(new_clickhouse) as name:
        async with opened(new_clickhouse.dsn(name)) as engine:
            client = engine._client
            keep = client.insert

            async def dying(table: str, rows: Sequence[Any], *, seconds: float) -> None:
                await keep(table, rows, seconds=seconds)
                if cut_at == (f"{table}, done" if isinstance(rows[0], dict) and "is_done" in rows[0] else table):
                    raise Unavailable("the connection was cut")

            client.insert = dying  # type: ignore[method-assign]
            with pytest.raises(Unavailable):
                await engine.take(first, UNTIL)
            client.insert = keep  # type: ignore[method-assign]
            assert await engine.take(second, UNTIL) is (cut_at != "batches, done")
            assert await engine.take(second, UNTIL) is False
            assert (await engine.totals(WHOLE, Filter())).visits == 2
            await engine.roll(UNTIL)
            assert (await engine.totals(WHOLE, Filter())).visits == 2


async def test_a_server_that_was_killed_has_what_it_had() -> None:
    async with running() as server, opened(server.dsn("mine")) as engine:
        await engine.take(one_batch(visit(1, MIDNIGHT), name="a"), UNTIL)
        await server.stop()
        for call in (engine.take(one_batch(visit(2, MIDNIGHT), name="b"), UNTIL), engine.roll(UNTIL)):
            with pytest.raises(Unavailable):
                await call
        await server.start()
        assert await engine.take(one_batch(visit(2, MIDNIGHT), name="b"), UNTIL) is True
        assert (await engine.series([SINCE, UNTIL], Filter()))[0].visits == 2


async def test_replaced_generations_are_swept(either_clickhouse: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server = either_clickhouse
    monkeypatch.setattr("pastebin.analytics.engines.clickhouse_rolling._FORGOTTEN_SECONDS", -1)
    async with fresh_database(server) as name:
        async with opened(server.dsn(name)) as engine:
            for number in range(3):
                batch = one_batch(visit(number, MIDNIGHT - timedelta(minutes=9)), name=f"b{number}")
                await engine.take(batch, UNTIL)
                await engine.roll(UNTIL)
            await engine.retain(UNTIL)
            generations = f"select count(distinct generation) from {name}.sums"
            async with asyncio.timeout(90):
                while await server.told(generations) != "1\n":  # noqa: ASYNC110  (a server tells nobody)
                    await asyncio.sleep(0.05)
            assert (await engine.totals(WHOLE, Filter())).visits == 3


async def test_years_of_hours_can_be_asked_for_at_once(either_clickhouse: Server) -> None:
    """Old servers take addresses of 16 KiB."""
    days = 800
    edges = [MIDNIGHT + timedelta(days=day, minutes=30) for day in range(-days, 2)]
    visits = [visit(hour, MIDNIGHT - timedelta(hours=hour), slug=f"paste{hour % 3}") for hour in range(500)]
    async with fresh_database(either_clickhouse) as name, opened(either_clickhouse.dsn(name)) as engine:
        await engine.take(one_batch(*visits), UNTIL)
        for _ in range(2):
            series = await engine.series(edges, Filter())
            assert [sum(one.visits for one in series), len(series)] == [500, days + 1]
            for dimension in ("status", "syntax"):
                await engine.breakdown(
                    dimension, Span(edges[0], edges[-1]), Filter("paste1", "all"), 1000, (9, "x" * 9)
                )
            await engine.roll(UNTIL)
            await engine.retain(UNTIL)
