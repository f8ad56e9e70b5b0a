"""Starting, stopping and failing of a real node process: one clear line, the right exit code, nothing lost."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from tests.cdn.origins import answer, scripted
from tests.nodes import SECRET, directory
from tests.ports import free_port
from tests.programs import lack
from tests.scenarios.processes import NodeProcess, node_process

pytestmark = pytest.mark.scenario

_SECONDS = 90.0


@pytest.fixture
async def place() -> AsyncIterator[Path]:
    async with directory() as path:
        yield path


async def serve(*options: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run `pastebin serve` to its end; exit code and everything it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pastebin",
        "serve",
        f"--port={free_port()}",
        f"--internal-port={free_port()}",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


def assert_one_clear_line(output: str, *words: str) -> None:
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if line.startswith("pastebin: ")]
    assert len(lines) == 1, output
    assert all(word in lines[0] for word in words), lines[0]


async def test_port_in_use(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, output = await serve(f"--data-dir={place / 'data'}", f"--port={port}")
    assert code == 69
    assert_one_clear_line(output, f"127.0.0.1:{port} is in use", "--port")


async def test_database_away_at_start(place: Path) -> None:
    code, output = await serve(
        f"--data-dir={place / 'data'}",
        f"--set=database.primary=postgresql://pastebin@127.0.0.1:{free_port()}/pastebin",
        f"--set=node.secret={SECRET}",
    )
    assert code == 69
    assert_one_clear_line(output, "database.primary cannot be reached")


async def test_every_problem_of_the_configuration_at_once(place: Path) -> None:
    code, output = await serve("--set=node.region=No!", "--set=database.pool_size=0", "--role=web,nonsense")
    assert code == 78
    assert "Traceback" not in output
    for word in ("node.region: ", "database.pool_size: ", "node.roles: must be one of web, read, write"):
        assert word in output


async def test_unwritable_data_directory(place: Path) -> None:
    with small_disk(place, 1, "ro") as disk:  # root may write everywhere else
        code, output = await serve(f"--data-dir={disk / 'data'}")
    assert code == 73
    assert_one_clear_line(output, str(disk / "data"))


async def test_data_directory_that_is_a_file(place: Path) -> None:
    (place / "data").write_text("not a directory", encoding="ascii")
    code, output = await serve(f"--data-dir={place / 'data'}")
    assert code == 73
    assert_one_clear_line(output, str(place / "data"))


async def test_two_nodes_on_one_directory(place: Path) -> None:
    async with node_process(place / "data") as first:
        code, output = await serve(f"--data-dir={place / 'data'}")
        assert code == 73
        assert_one_clear_line(output, f"in use by the pastebin with process id {first.pid}")


async def test_an_edge_alone_names_the_door_it_has_and_answers_there(place: Path) -> None:
    door = f"127.0.0.1:{free_port()}"
    async with scripted() as origin, aiohttp.ClientSession() as http:
        origin.script("/x", answer(body=b"from the origin"))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "pastebin", "serve", "--role=edge", f"--data-dir={place / 'data'}"),
            *(f"--internal-port={free_port()}", f"--set=doors.edge={door}", f"--set=edge.origin={origin.url}"),
            *("--set", f"node.secret={SECRET}"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_SECONDS):
                greeting = (await process.stdout.readline()).decode()
                assert greeting == f"pastebin is ready at http://{door} (roles: edge)\n"
                async with http.get(f"http://{door}/x") as response:
                    assert (response.status, await response.read()) == (200, b"from the origin")
        finally:
            if process.returncode is None:
                process.terminate()
            code = await process.wait()
    assert code == 0


async def test_a_schema_that_is_newer_than_the_code(place: Path) -> None:
    async with node_process(place / "data") as node:
        await execute(
            node, "insert into schema_migrations (version, name, sha256) values (999, '0999_contract_x.sql', '')"
        )
        assert await node.stop() == 0
        code, output = await serve(f"--data-dir={place / 'data'}")
        assert code == 65
        assert_one_clear_line(output, "newer than this pastebin")


async def execute(node: NodeProcess, sql: str) -> None:
    connection = await asyncpg.connect(node.dsn, timeout=60)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_a_term_lets_requests_finish_and_a_second_one_does_not_wait(place: Path) -> None:
    release = asyncio.Event()
    arrived = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        arrived.set()
        await release.wait()
        yield b"y"

    async with node_process(place / "data") as node, aiohttp.ClientSession() as http:
        upload = asyncio.create_task(post(http, node, body()))
        await arrived.wait()
        os.kill(node.pid, signal.SIGTERM)
        await refused(node.port)
        release.set()
        assert await upload == 201
        assert await node.wait() == 0

        await node.start()
        release.clear()
        arrived.clear()
        upload = asyncio.create_task(post(http, node, body()))
        await arrived.wait()
        os.kill(node.pid, signal.SIGTERM)
        await refused(node.port)
        os.kill(node.pid, signal.SIGTERM)
        assert await node.wait() == 0
        with pytest.raises(aiohttp.ClientError):
            await upload


async def test_while_draining_the_node_is_not_ready_but_accepts(place: Path) -> None:
    async with node_process(place / "data", "--set=node.drain_seconds=60") as node, aiohttp.ClientSession() as http:
        assert (await health(http, node))[0] == 200
        os.kill(node.pid, signal.SIGTERM)
        async with asyncio.timeout(_SECONDS):
            while (await health(http, node))[0] != 503:
                pass
        status, told = await health(http, node)
        assert (status, told["status"], told["problems"]) == (503, "not ready", {"node": "draining"})
        async with http.get(f"{node.url}/api/v1/limits") as response:
            assert response.status == 200
            assert response.headers["Connection"] == "close"
        async with http.get(f"{node.internal}/livez") as response:
            assert response.status == 200
        os.kill(node.pid, signal.SIGTERM)
        assert await node.wait() == 0


async def test_a_database_that_dies_comes_back_and_nothing_acknowledged_is_lost(place: Path) -> None:
    async with node_process(place / "data") as node, aiohttp.ClientSession() as http:
        async with http.post(node.url, data=b"kept\n") as response:
            address = (await response.text()).strip()
        os.kill(node.postmaster_pid, signal.SIGKILL)
        seen = set()
        async with asyncio.timeout(_SECONDS):
            while True:
                async with http.get(f"{address}/raw") as response:
                    seen.add(response.status)
                    if (
                        response.status == 200
                        and await response.read() == b"kept\n"
                        and (await health(http, node))[0] == 200
                    ):
                        break
                    assert response.status in (200, 503), node.log_text[-6000:]
                    assert response.status == 200 or response.headers["Retry-After"]
        assert seen <= {200, 503}
        async with http.post(node.url, data=b"again\n") as response:
            assert response.status == 201


@contextmanager
def small_disk(place: Path, megabytes: int, mode: str = "rw") -> Iterator[Path]:
    """A file system of its own, with a known end."""
    disk = place / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size={megabytes}m,mode=755,{mode} none {disk}") != 0:  # noqa: S605
        lack("mounting a small disk needs root")
    try:
        yield disk
    finally:
        os.system(f"umount {disk}")  # noqa: S605


async def test_a_full_disk_refuses_what_does_not_fit_and_recovers_without_a_restart(place: Path) -> None:
    with small_disk(place, 200) as disk:
        options = (
            "--set=blobs.min_free_bytes=8000000",
            "--set=blobs.grace_seconds=0",
            "--set=sweeping.interval_seconds=0.2",
        )
        async with node_process(disk / "data", *options) as node, aiohttp.ClientSession() as http:
            async with http.post(node.url, data=b"small and safe\n") as response:
                address = (await response.text()).strip()
            statuses = []
            tokens: list[tuple[str, str]] = []
            for _ in range(20):
                async with http.post(f"{node.url}/api/v1/pastes", data=io.BytesIO(os.urandom(10_000_000))) as response:
                    statuses.append(response.status)
                    answer = json.loads(await response.read())
                    if response.status == 201:
                        tokens.append((answer["slug"], answer["token"]))
            assert statuses[0] == 201
            assert statuses[-1] == 507, node.log_text[-3000:]
            assert answer["type"] == "/problems/storage-full"
            async with http.get(f"{address}/raw") as response:
                assert await response.read() == b"small and safe\n"
            for slug, token in tokens:
                headers = {"Authorization": f"Bearer {token}"}
                async with http.delete(f"{node.url}/api/v1/pastes/{slug}", headers=headers) as response:
                    assert response.status == 204
            async with asyncio.timeout(_SECONDS):
                while True:
                    async with http.post(
                        f"{node.url}/api/v1/pastes", data=io.BytesIO(os.urandom(10_000_000))
                    ) as response:
                        if response.status == 201:
                            break
                        assert response.status == 507


async def test_a_database_without_room_for_its_log_says_so_and_comes_back(place: Path) -> None:
    with small_disk(place, 160) as disk:
        options = ("--set=blobs.min_free_bytes=0",)  # or it would be refused before it could fill the disk
        async with node_process(disk / "data", *options) as node, aiohttp.ClientSession() as http:
            async with http.post(node.url, data=b"kept\n") as response:
                address = (await response.text()).strip()
            ballast = disk / "ballast"
            fill(ballast)
            statuses = set()
            for _ in range(1500):
                async with http.post(node.url, data=os.urandom(20_000).hex()) as response:
                    statuses.add(response.status)
                    assert response.status in (201, 503, 507)
                    if response.status != 201:
                        break
            assert statuses - {201}
            ballast.unlink()
            async with asyncio.timeout(_SECONDS):
                while True:
                    async with http.post(node.url, data=b"room again\n") as response:
                        if response.status == 201:
                            break
                        assert response.status in (503, 507)
            async with http.get(f"{address}/raw") as response:
                assert (response.status, await response.read()) == (200, b"kept\n")


def fill(path: Path) -> None:
    """Take every block of the disk."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65_536)
        except OSError:
            return


async def post(http: aiohttp.ClientSession, node: NodeProcess, body: AsyncIterator[bytes]) -> int:
    async with http.post(f"{node.url}/api/v1/pastes", data=body) as response:
        return response.status


async def refused(port: int) -> None:
    """Wait until nobody listens there any more."""
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()


async def health(http: aiohttp.ClientSession, node: NodeProcess) -> tuple[int, object]:
    async with http.get(f"{node.internal}/readyz") as response:
        return response.status, await response.json()
