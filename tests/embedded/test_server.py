from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import asyncpg
import msgspec
import psutil
import pytest

from pastebin.backoff import Backoff
from pastebin.embedded import server as server_module
from pastebin.embedded.account import Account
from pastebin.embedded.server import Server, primary
from pastebin.errors import DataDirectoryUnusable, ResourceUnavailable, SchemaMismatch
from pastebin.sections import EmbeddedSection, Secret
from tests.embedded.servers import eventually, execute, fetchval, until
from tests.ports import free_port


async def test_a_first_start_makes_a_database(section: EmbeddedSection, reachable_path: Path) -> None:
    data_dir = reachable_path / "new" / "data"
    async with primary(msgspec.structs.replace(section, durable=True), data_dir) as server:
        assert await fetchval(server, "select current_user || '@' || current_database()") == "pastebin@pastebin"
        assert await fetchval(server, "show server_encoding") == "UTF8"
        assert await fetchval(server, "show data_checksums") == "on"
        assert await fetchval(server, "show fsync") == "on"
        locale = "select datlocprovider::text || datlocale from pg_database where datname = current_database()"
        assert await fetchval(server, locale) == "bC.UTF-8"
        assert server.directory == data_dir / "postgres"
        assert server.pid is not None
    assert server.pid is None
    assert sorted(path.name for path in data_dir.iterdir()) == ["postgres", "postgres.conf.d", "postgres.log"]


async def test_a_second_start_finds_what_the_first_has_left(section: EmbeddedSection, data_dir: Path) -> None:
    for _ in range(2):
        async with primary(section, data_dir) as server:
            await execute(server, "insert into notes values ('kept')")
    async with primary(section, data_dir) as server:
        assert await fetchval(server, "select count(*) from notes") == 2


async def test_starting_what_runs_and_stopping_what_stands_changes_nothing(
    section: EmbeddedSection, data_dir: Path
) -> None:
    async with primary(section, data_dir) as server:
        before = server.pid
        await server.start()
        assert server.pid == before
        await server.stop()
        await server.stop()
        await server.start()
        assert server.pid not in (before, None)


async def test_the_socket_lies_outside_the_data_and_nowhere_else_does_it_listen(postgres: Server) -> None:
    address = postgres.socket_dir / f".s.PGSQL.{postgres.port}"
    assert address.is_socket()
    assert len(os.fsencode(address)) <= 100
    assert not postgres.socket_dir.is_relative_to(postgres.directory.parent)
    assert postgres.pid is not None
    assert psutil.Process(postgres.pid).net_connections("inet") == []


async def test_libpq_understands_the_dsn(postgres: Server) -> None:
    psql = postgres.cluster.binaries.program("psql")
    done = subprocess.run(
        [psql, "--no-psqlrc", "-Atc", "select current_user", postgres.dsn], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "pastebin", done.stderr


async def test_no_other_role_is_let_in(postgres: Server) -> None:
    await _create_role(postgres, "other")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(postgres.dsn.replace("pastebin@", "other@"), timeout=10)


async def _create_role(server: Server, name: str) -> None:
    await execute(server, f"create role {name} login superuser")


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
async def test_no_other_user_is_let_in(postgres: Server) -> None:
    psql = postgres.cluster.binaries.program("psql")
    done = subprocess.run(
        [psql, "-c", "select 1", postgres.dsn], capture_output=True, text=True, timeout=120, user=65534
    )
    assert done.returncode == 2
    assert "Permission denied" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
async def test_root_drops_its_privileges(postgres: Server, postgres_account: Account) -> None:
    for process in (psutil.Process(postgres.pid), *psutil.Process(postgres.pid).children()):
        with suppress(psutil.NoSuchProcess):  # those of connections come and go
            assert set(process.uids()) == {postgres_account.uid}
            assert set(process.gids()) == {postgres_account.gid}
    status = Path(f"/proc/{postgres.pid}/status").read_text()
    groups = next(line for line in status.splitlines() if line.startswith("Groups:")).split()[1:]
    assert set(map(int, groups)) == set(os.getgrouplist(postgres_account.name, postgres_account.gid))
    environment = Path(f"/proc/{postgres.pid}/environ").read_bytes().split(b"\0")
    assert {item.partition(b"=")[0] for item in environment if item} <= {b"PATH", b"LC_ALL", b"TZ"}


async def test_the_network_needs_the_password(section: EmbeddedSection, data_dir: Path) -> None:
    port = free_port()
    open_section = msgspec.structs.replace(section, listen=f"127.0.0.1:{port}", password=Secret("it's a \\ sëcret"))
    async with primary(open_section, data_dir) as server:
        connection = await _connect(port, "it's a \\ sëcret")
        assert await connection.fetchval(
            "select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = 'pastebin'"
        )
        await connection.close()
        for wrong in ("", "it's a secret"):
            with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InterfaceError)):
                await _connect(port, wrong)
        assert await fetchval(server, "select 1") == 1
    changed = msgspec.structs.replace(open_section, password=Secret("new"))
    async with primary(changed, data_dir):
        await (await _connect(port, "new")).close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await _connect(port, "it's a \\ sëcret")
    assert "sëcret" not in (data_dir / "postgres.log").read_text()


async def _connect(port: int, password: str) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(
        host="127.0.0.1", port=port, user="pastebin", password=password, database="pastebin", timeout=10, ssl=False
    )


async def test_a_port_that_is_taken_is_named(section: EmbeddedSection, data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ResourceUnavailable, match=r"could not bind IPv4 address.*Address already in use"):
            async with primary(msgspec.structs.replace(section, listen=listen, password=Secret("p")), data_dir):
                pass


async def test_a_killed_server_is_started_again(
    section: EmbeddedSection, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with primary(section, data_dir) as server, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(server.watch())
        await execute(server, "insert into notes values ('kept')")
        for _ in range(2):
            before = server.pid
            assert before is not None
            os.kill(before, signal.SIGKILL)
            await eventually(server, "select pg_postmaster_start_time() is not null")
            await server.start()  # it may answer before it is known to: who dies then did not start
            assert server.pid not in (before, None)
            assert f"process {before} ended, killed by SIGKILL; starting it again" in caplog.text
        assert await fetchval(server, "select text from notes") == "kept"
        watching.cancel()


async def test_one_that_cannot_start_is_tried_for_ever(
    section: EmbeddedSection, data_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "BACKOFF", Backoff(0.1, 0.1))
    async with primary(section, data_dir) as server, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(server.watch())
        control = server.directory / "global" / "pg_control"
        control.rename(control.with_name("hidden"))
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: caplog.text.count("did not start") >= 3)
        control.with_name("hidden").rename(control)
        await eventually(server, "select true")
        watching.cancel()


async def test_one_that_lost_its_socket_is_started_again(
    section: EmbeddedSection, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_LOOK_SECONDS", 0.05)
    async with primary(section, data_dir) as server, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(server.watch())
        (server.socket_dir / f".s.PGSQL.{server.port}").unlink()
        await eventually(server, "select true")
        watching.cancel()


async def test_one_that_was_stopped_stays_so(section: EmbeddedSection, data_dir: Path) -> None:
    async with primary(section, data_dir) as server, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(server.watch())
        await asyncio.sleep(0)
        await server.stop()
        done, _ = await asyncio.wait([watching], timeout=0.3)
        assert not done
        assert server.pid is None
        await server.start()
        assert await fetchval(server, "select true")
        watching.cancel()


async def test_data_that_vanish_are_not_replaced_by_none(section: EmbeddedSection, data_dir: Path) -> None:
    async with primary(section, data_dir) as server:
        await server.stop()
        server.directory.rename(data_dir / "elsewhere")
        with pytest.raises(DataDirectoryUnusable, match="not mounted"):
            await server.start()


async def test_the_log_keeps_no_contents(section: EmbeddedSection, data_dir: Path) -> None:
    async with primary(section, data_dir) as server:
        await execute(server, "alter table notes add check (length(text) < 3)")
        with pytest.raises(asyncpg.CheckViolationError):
            await execute(server, "insert into notes values ('confidential')")
    log = (data_dir / "postgres.log").read_text()
    assert "violates check constraint" in log
    assert "confidential" not in log


async def test_data_of_another_version_are_refused(section: EmbeddedSection, data_dir: Path) -> None:
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(SchemaMismatch, match=r"made by PostgreSQL 17 and this is PostgreSQL 18"):
        async with primary(section, data_dir):
            pass


async def test_data_of_something_else_are_left_alone(
    section: EmbeddedSection, reachable_path: Path, postgres_account: Account
) -> None:
    foreign = reachable_path / "postgres"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    postgres_account.own(foreign)
    with pytest.raises(DataDirectoryUnusable, match="is not empty and holds no PostgreSQL data"):
        async with primary(section, reachable_path):
            pass
    assert (foreign / "thesis.tex").exists()
