"""Sockets that somebody else opened: as systemd passes them, to real processes."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import aiohttp
import dns.asyncquery
import dns.message
import pytest

from tests.geodns.dns_client import ZONE
from tests.ports import free_port
from tests.programs import require

_PATIENCE = 120.0
_COMMON = """
[node]
secret = "a secret of thirty-two characters, or more"
data_dir = "{path}/data"
roles = ["{role}"]
[doors]
internal = "127.0.0.1:0"
dns = "127.0.0.1:1"
gateway = "127.0.0.1:2"
[geodns]
zone = "p.example"
file = "{path}/zone"
[regions.us]
addresses = ["192.0.2.1"]
nodes = [{{ name = "gone", roles = ["web"], url = "http://127.0.0.1:1" }}]
"""
# the descriptors may overlap with those that they are to become
_AS_SYSTEMD = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in sys.argv[1].split(",")]
for place, number in enumerate(high, 3):
    os.dup2(number, place)
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""


def opened(kind: socket.SocketKind, port: int = 0) -> socket.socket:
    """What a socket unit does."""
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    if kind is socket.SOCK_STREAM:
        made.listen(16)
    return made


@asynccontextmanager
async def spawned(
    path: Path, role: str, sockets: Sequence[socket.socket], names: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A node with these sockets from descriptor 3 on (sd_listen_fds(3)); asked to stop at the end."""
    (path / "zone").write_text(ZONE)
    (path / "node.toml").write_text(_COMMON.format(path=path, role=role))
    (path / "node.toml").chmod(0o600)
    numbers = ",".join(str(one.fileno()) for one in sockets)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _AS_SYSTEMD, numbers, names),
        *("-m", "pastebin", "serve", "--config", str(path / "node.toml")),
        pass_fds=[one.fileno() for one in sockets],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), _PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()


async def ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(_PATIENCE):
        line = await process.stdout.readline()
    assert b"is ready" in line, (line, (await process.communicate())[1])


async def test_a_name_server_answers_on_sockets_it_was_given_and_a_restart_loses_nobody(tmp_path: Path) -> None:
    port = free_port()
    with closing(opened(socket.SOCK_STREAM, port)) as stream:
        with closing(opened(socket.SOCK_DGRAM, port)) as datagrams:
            given = [stream, datagrams]
            query = dns.message.make_query("www.p.example", "CNAME")
            async with spawned(tmp_path, "geodns", given, "dns:dns") as process:
                await ready(process)
                for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
                    answer = await ask(query, "127.0.0.1", timeout=_PATIENCE, port=port)
                    assert answer.authority
            assert process.returncode == 0
            # nobody listens, and yet they are not refused: the sockets are still there
            early = [
                asyncio.create_task(ask(query, "127.0.0.1", timeout=_PATIENCE, port=port))
                for ask in (dns.asyncquery.udp, dns.asyncquery.tcp)
            ]
            async with spawned(tmp_path, "geodns", given, "dns:dns") as process:
                await ready(process)
                for answered in early:
                    assert (await answered).authority


@pytest.mark.parametrize(
    ("role", "kinds", "names", "told"),
    [
        ("geodns", [socket.SOCK_STREAM], "dns", "doors.dns: systemd passed no socket for UDP"),
        ("geodns", [socket.SOCK_DGRAM], "dns", "doors.dns: systemd passed no socket for TCP"),
        ("gateway", [socket.SOCK_STREAM], "pastebin.socket", "FileDescriptorName must be one of"),
        ("gateway", [socket.SOCK_DGRAM], "gateway", "doors.gateway that is not for TCP"),
        ("gateway", [socket.SOCK_STREAM], "edge", "doors.edge, which no role of this node has"),
    ],
)
async def test_a_socket_of_no_use_is_refused(
    tmp_path: Path, role: str, kinds: list[socket.SocketKind], names: str, told: str
) -> None:
    async with AsyncExitStack() as stack:
        sockets = [stack.enter_context(closing(opened(kind))) for kind in kinds]
        process = await stack.enter_async_context(spawned(tmp_path, role, sockets, names))
        async with asyncio.timeout(_PATIENCE):
            _, errors = await process.communicate()
        assert process.returncode not in (0, None)
        assert told in errors.decode()


async def test_systemd_itself_starts_a_gateway_for_the_first_request(tmp_path: Path) -> None:
    program, port = require("systemd-socket-activate"), free_port()
    (tmp_path / "zone").write_text(ZONE)
    (tmp_path / "node.toml").write_text(_COMMON.format(path=tmp_path, role="gateway"))
    (tmp_path / "node.toml").chmod(0o600)
    process = await asyncio.create_subprocess_exec(
        *(program, f"--listen=127.0.0.1:{port}", "--fdname=gateway"),
        *(sys.executable, "-m", "pastebin", "serve", "--config", str(tmp_path / "node.toml")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(_PATIENCE):
            while b"Listening on" not in (line := await process.stderr.readline()):
                assert line
            async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/x") as response:
                assert response.status in (502, 503)
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), _PATIENCE)
