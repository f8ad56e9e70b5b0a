"""What is left by a kill -9 never stands in the way of the next start, and what was committed is there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import msgspec
import psutil
import pytest

from pastebin.embedded.account import Account
from pastebin.embedded.claims import claim
from pastebin.embedded.server import primary
from pastebin.errors import ResourceUnavailable
from pastebin.sections import EmbeddedSection
from tests.embedded.servers import end, eventually, fetchval, kill, node, start_node, until


async def test_a_server_outlives_its_node_and_is_adopted(section: EmbeddedSection, data_dir: Path) -> None:
    async with node(data_dir) as (process, pid, _):
        await kill(process)
    with claim(data_dir):
        async with primary(section, data_dir) as server:
            assert server.pid == pid
            assert await fetchval(server, "select count(*) from notes") == 0
    assert not _is_alive(pid)


async def test_an_adopted_server_is_watched_too(section: EmbeddedSection, data_dir: Path) -> None:
    async with node(data_dir) as (process, pid, _):
        await kill(process)
    async with primary(section, data_dir) as server, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(server.watch())
        assert server.pid == pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: server.pid not in (pid, None))
        watching.cancel()


async def test_with_other_settings_it_is_started_anew(section: EmbeddedSection, data_dir: Path) -> None:
    async with node(data_dir) as (process, pid, _):
        await kill(process)
    async with primary(msgspec.structs.replace(section, shared_buffers_mb=32), data_dir) as server:
        assert server.pid != pid
        assert not _is_alive(pid)
        assert await fetchval(server, "show shared_buffers") == "32MB"


async def test_a_node_that_ends_in_order_takes_its_server_along(data_dir: Path) -> None:
    async with node(data_dir) as (process, pid, _):
        await end(process)
        assert process.returncode == 0
    assert not _is_alive(pid)


async def test_the_terminal_cannot_interrupt_the_server(data_dir: Path) -> None:
    async with node(data_dir) as (process, pid, _):
        assert os.getsid(pid) != os.getsid(process.pid)
        assert os.getpgid(pid) != os.getpgid(process.pid)
        await end(process)


async def test_both_are_killed(section: EmbeddedSection, data_dir: Path) -> None:
    async with node(data_dir) as (process, pid, dsn):
        connection = await asyncpg.connect(dsn, timeout=10)
        await connection.execute("insert into notes values ('committed')")
        await kill(process)
        os.kill(pid, signal.SIGKILL)
        connection.terminate()
    async with primary(section, data_dir) as server:
        assert server.pid != pid
        assert await fetchval(server, "select text from notes") == "committed"


async def test_processes_that_a_killed_postmaster_leaves_are_ended(section: EmbeddedSection, data_dir: Path) -> None:
    async with primary(section, data_dir) as server:
        connection = await asyncpg.connect(server.dsn, timeout=10)
        backend = await connection.fetchval("select pg_backend_pid()")
        # one that computes does not notice
        busy = asyncio.create_task(connection.fetchval("select sum(i) from generate_series(1, 1e12::bigint) i"))
        await eventually(server, "select state = 'active' from pg_stat_activity where pid = $1", backend)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await until(lambda: server.pid is None)
        await server.start()
        assert not _is_alive(backend)
        assert await fetchval(server, "select true")
        with pytest.raises(Exception, match="connection"):
            await busy
        connection.terminate()


@contextmanager
def _bystander(account: Account, executable: str = "sleep") -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same account that has nothing to do with the server."""
    with subprocess.Popen([executable, "600"], executable="/bin/sleep", cwd="/", **account.spawning) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["sleep", "/elsewhere/bin/postgres"])
async def test_a_number_noted_before_a_crash_may_be_anybodys_now(
    section: EmbeddedSection, data_dir: Path, postgres_account: Account, name: str
) -> None:
    async with primary(section, data_dir) as server:
        socket_dir = server.socket_dir
        assert server.pid is not None
        noted = (server.directory / "postmaster.pid").read_text()
        old = server.pid
    with _bystander(postgres_account, name) as bystander:
        for path, text in {
            data_dir / "postgres" / "postmaster.pid": noted.replace(str(old), str(bystander.pid)),
            socket_dir / ".s.PGSQL.5432.lock": noted.replace(str(old), str(bystander.pid)),
        }.items():
            path.parent.mkdir(exist_ok=True, mode=0o700)
            path.write_text(text)
            path.chmod(0o600)
            postgres_account.own(path)
            if path.parent == socket_dir:
                postgres_account.own(socket_dir)
        async with primary(section, data_dir) as server:
            assert await fetchval(server, "select true")
        assert bystander.poll() is None


@pytest.mark.parametrize("text", ["", "\n", "-17\n", "0\n", "garbage\n/x\n", "99999999999999999999\n"])
async def test_a_file_that_was_cut_short_is_no_obstacle(
    section: EmbeddedSection, data_dir: Path, postgres_account: Account, text: str
) -> None:
    path = data_dir / "postgres" / "postmaster.pid"
    path.write_text(text)
    path.chmod(0o600)
    postgres_account.own(path)
    async with primary(section, data_dir) as server:
        assert await fetchval(server, "select true")


async def test_a_node_killed_while_it_makes_the_database(section: EmbeddedSection, reachable_path: Path) -> None:
    process = await start_node(reachable_path)
    await until(lambda: any(reachable_path.glob("postgres.new-*/base/1/PG_VERSION")))
    await kill(process)
    assert not (reachable_path / "postgres").exists()
    async with primary(section, reachable_path) as server:
        assert await fetchval(server, "select true")
    assert sorted(path.name for path in reachable_path.iterdir()) == [
        "node.lock",
        "postgres",
        "postgres.conf.d",
        "postgres.log",
    ]


@pytest.fixture
def small_disk(reachable_path: Path) -> Iterator[Path]:
    """A file system with room for 24 MiB: less than an empty database takes."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=755", "tmpfs", str(reachable_path)]
    done = subprocess.run(mount, capture_output=True, timeout=60)
    if done.returncode:
        pytest.skip("mounting a file system takes more rights than this user has")
    try:
        yield reachable_path
    finally:
        subprocess.run(["umount", str(reachable_path)], check=True, timeout=60)


async def test_a_full_disk_is_named_when_the_database_is_made(section: EmbeddedSection, small_disk: Path) -> None:
    with pytest.raises(ResourceUnavailable, match=r"initdb failed: .*No space left on device"):
        async with primary(section, small_disk):
            pass
    assert list(small_disk.iterdir()) == []


async def test_a_full_disk_is_named_when_the_server_starts(
    section: EmbeddedSection, small_disk: Path, _made: Path, postgres_account: Account
) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True, timeout=60)
    subprocess.run(["cp", "-a", str(_made), str(small_disk / "postgres")], check=True, timeout=60)
    with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
        while True:
            filler.write(bytes(4096))
    with pytest.raises((ResourceUnavailable, Exception), match=r"disk is full|No space left"):
        async with primary(section, small_disk):
            pass
    (small_disk / "filler").unlink()
    async with primary(section, small_disk) as server:
        assert await fetchval(server, "select true")


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
