"""The role as its node runs it: signed batches in, over databases that are there, missing, or away."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest

from pastebin.analytics.engines import Filter, Span
from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.analytics.ingest import Ingest
from pastebin.analytics.keeping import Keeping, beside
from pastebin.embedded.server import Server
from pastebin.errors import ConfigError, Overloaded, StartError, Unavailable
from pastebin.http.signing import Signer
from pastebin.metrics import Metrics
from pastebin.sections import AnalyticsSection
from pastebin.visits import BATCH_BYTES, BATCHES, SALTS, Batch
from tests.analytics.oracle import MIDNIGHT, visit
from tests.nodes import SECRET, Node, started
from tests.tcp_proxy import TcpProxy

SALT = {"period": 20000, "current": "ab" * 16, "previous": "cd" * 16}


def packed(batch: Batch) -> bytes:
    return gzip.compress(msgspec.json.encode(batch))


def of_today(name: str = "b", number: int = 1) -> Batch:
    return Batch(name, "n", [visit(number, datetime.now(UTC) - timedelta(seconds=5))])


async def send(
    node: Node, path: str, body: bytes = b"", method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any]]:
    signed = Signer(SECRET.encode()).headers(method, path, body)
    async with node.http.request(
        method, f"{node.internal}{path}", data=io.BytesIO(body), headers=signed | headers
    ) as got:
        return got.status, await got.json(content_type=None)


def figure(node_metrics: str, name: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in node_metrics.splitlines() if line.startswith(name))


async def metrics(node: Node) -> str:
    async with node.http.get(f"{node.internal}/metrics") as got:
        return await got.text()


async def kept(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("select count(*) from visits"))
    finally:
        await connection.close()


async def drop(server: Server, dsn: str) -> None:
    name = urlsplit(dsn).path[1:]
    async with server.connected() as connection:
        await connection.execute(f'drop database if exists "{name}" with (force)')


async def test_signed_batches_are_taken_once_and_others_refused(
    postgres: Server, database_dsn: str, tmp_path: Path
) -> None:
    """The database is made beside the node's own."""
    try:
        async with started(database_dsn, tmp_path, node__roles=["analytics"]) as node:
            body = packed(of_today())
            assert await send(node, BATCHES, body) == (200, {"taken": True, "rejected": {}, "clamped": {}})
            assert (await send(node, BATCHES, body))[1]["taken"] is False
            old = packed(Batch("old", "n", [visit(2, MIDNIGHT - timedelta(days=4000))]))
            assert (await send(node, BATCHES, old))[1] == {"taken": True, "rejected": {"late": 1}, "clamped": {}}
            for wrong in (body[:-4], b"", b"{}", gzip.compress(bytes(BATCH_BYTES + 1)), gzip.compress(b"{}")):
                assert (await send(node, BATCHES, wrong))[0] == 400
            assert (await send(node, BATCHES, bytes(BATCH_BYTES + 1)))[0] == 413
            for method, path in (("POST", BATCHES), ("POST", SALTS), ("GET", SALTS)):
                assert (await send(node, path, method=method, **{"Pastebin-Signature": "0" * 64}))[0] == 403
            assert await kept(beside(database_dsn)) == 1
            text = await metrics(node)
            assert figure(text, 'pastebin_analytics_batches_total{outcome="taken"}') == 2
            assert figure(text, 'pastebin_analytics_batches_total{outcome="again"}') == 1
            assert figure(text, 'pastebin_analytics_batches_total{outcome="unreadable"}') == 5
            assert figure(text, 'pastebin_analytics_events_rejected_total{reason="late"}') == 1
            assert figure(text, 'pastebin_purge_requests_refused_total{reason="forged"}') == 3
    finally:
        await drop(postgres, beside(database_dsn))


async def test_salts_are_handed_out_and_forgotten() -> None:
    now = datetime.fromtimestamp(20000 * 86400 + 60, UTC)
    ingest = Ingest(Keeping(AnalyticsSection(), "", Metrics()), AnalyticsSection(), Metrics(), lambda: now)
    assert (await ingest.carry("GET", SALTS, b"")).status == 404
    for wrong in (b"", b"{}", b'{"period":1,"current":"x"}', msgspec.json.encode(SALT | {"more": 1})):
        assert (await ingest.carry("POST", SALTS, wrong)).status == 400
    ahead = SALT | {"period": 20002}  # no others could ever replace them
    assert (await ingest.carry("POST", SALTS, msgspec.json.encode(ahead))).status == 400
    assert (await ingest.carry("POST", SALTS, msgspec.json.encode(SALT))).status == 200
    older = SALT | {"period": 19999}
    assert (await ingest.carry("POST", SALTS, msgspec.json.encode(older))).status == 200
    assert msgspec.json.decode((await ingest.carry("GET", SALTS, b"")).body) == SALT
    now += timedelta(days=1)
    assert msgspec.json.decode((await ingest.carry("GET", SALTS, b"")).body) == SALT | {"previous": ""}
    now += timedelta(days=1)
    assert (await ingest.carry("GET", SALTS, b"")).status == 404


async def test_too_many_batches_are_told_to_come_later() -> None:
    """Before anything is unpacked."""
    section = AnalyticsSection(batches_per_second=0.01)
    ingest = Ingest(Keeping(section, "", Metrics()), section, Metrics())
    with pytest.raises(Unavailable):
        await ingest.carry("POST", BATCHES, packed(of_today()))
    with pytest.raises(Overloaded) as crowded:
        await ingest.carry("POST", BATCHES, packed(of_today()))
    assert crowded.value.retry_after_seconds > 0


async def test_a_node_with_other_roles_serves_while_the_database_is_away(database_dsn: str, tmp_path: Path) -> None:
    """From its start on; when it is there it is used."""
    away = "postgresql://pastebin@127.0.0.1:1/nowhere"
    async with started(
        database_dsn, tmp_path, node__roles=["web", "write", "read", "analytics"], analytics__database=away
    ) as node:
        assert (await node.paste())["slug"]
        async with node.http.get(f"{node.internal}/readyz") as got:
            ready = await got.json()
            assert (got.status, list(ready["warnings"])) == (200, ["analytics"])
        assert (await send(node, BATCHES, packed(of_today())))[0] == 503


async def test_a_node_with_nothing_else_to_do_does_not_start_without_it(database_dsn: str, tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as failed:
        async with started(
            database_dsn,
            tmp_path,
            node__roles=["analytics"],
            analytics__database="postgresql://pastebin@127.0.0.1:1/none",
        ):
            pass
    assert failed.group_contains(StartError, match=r"analytics\.database cannot be reached", depth=None)


async def test_a_database_that_may_not_be_made_is_named(postgres: Server, database_dsn: str) -> None:
    async with postgres.connected() as connection:
        # who connects here may do little; whoever else opens a connection meanwhile stays what they are
        here = f"alter role pastebin in database {urlsplit(database_dsn).path[1:]}"
        await connection.execute(f"{here} set role to pg_monitor")
        try:
            keeping = Keeping(AnalyticsSection(), database_dsn, Metrics())
            with pytest.raises(ConfigError, match="run createdb test_"):
                await keeping.open()
            await keeping.close()
        finally:
            await connection.execute(f"{here} reset role")


async def test_a_database_that_goes_away_and_returns_is_used_again(postgres: Server, empty_database_dsn: str) -> None:
    """What was committed before the answer was lost is not counted twice."""
    name = urlsplit(empty_database_dsn).path[1:]
    async with TcpProxy.opened(postgres.socket_dir / f".s.PGSQL.{postgres.port}") as proxy:
        dsn = f"postgresql://pastebin@127.0.0.1:{proxy.port}/{name}"
        async with PostgresEngine.opened(AnalyticsSection(), dsn) as engine:
            now = datetime.now(UTC)
            assert await engine.take(of_today("a", 1), now) is True
            proxy.refuse()
            with pytest.raises(Unavailable):
                await engine.take(of_today("b", 2), now)
            with pytest.raises(Unavailable):
                await engine.totals(Span(now - timedelta(days=1), now), Filter())
            await proxy.restore()
            assert await engine.take(of_today("b", 2), now) is True
            until = now.replace(second=0, microsecond=0) + timedelta(minutes=2)
            assert (await engine.totals(Span(until - timedelta(days=1), until), Filter())).visits == 2


def test_the_name_beside_a_database() -> None:
    assert beside("postgresql://u:p@h:1,i:2/db?x=1") == "postgresql://u:p@h:1,i:2/db_analytics?x=1"
    assert beside("postgresql://pastebin@/a%20b?host=%2Ftmp") == "postgresql://pastebin@/a%20b_analytics?host=%2Ftmp"
    for nameless in ("", "postgresql://h", "postgresql://h/", f"postgresql://h/{'x' * 60}"):
        with pytest.raises(ConfigError):
            beside(nameless)
