"""Real ClickHouse for tests: Debian's server, started from a private configuration, never the system's service.

Also today's, which there is as a library only: in a process of its own. A pytest plugin.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest

from tests.ports import free_port
from tests.postgres import reachable_directory
from tests.programs import lack, require

USER = "tests"
KEY = "a-secret of the tests/?#"

_BRIDGE = str(Path(__file__).with_name("chdb_server.py"))
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_CONFIG = """<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>{place}/log</log><errorlog>{place}/errors</errorlog></logger>
  <http_port>{http}</http_port><tcp_port>{tcp}</tcp_port><interserver_http_port>{inter}</interserver_http_port>
  <listen_host>127.0.0.1</listen_host>
  <max_connections>100</max_connections><keep_alive_timeout>3</keep_alive_timeout>
  <uncompressed_cache_size>8388608</uncompressed_cache_size><mark_cache_size>67108864</mark_cache_size>
  <path>{data}/</path><tmp_path>{data}/tmp/</tmp_path>
  <user_files_path>{data}/user_files/</user_files_path><format_schema_path>{data}/format_schemas/</format_schema_path>
  <users_config>users.xml</users_config><default_profile>default</default_profile>
  <default_database>default</default_database><timezone>Asia/Kathmandu</timezone>
</yandex>
"""
_USERS = """<?xml version="1.0"?>
<yandex>
  <profiles><default><max_memory_usage>4000000000</max_memory_usage></default></profiles>
  <users><{user}>
    <password>{key}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
  </{user}></users>
  <quotas><default></default></quotas>
</yandex>
"""


@dataclass
class Server:
    """A ClickHouse, or what passes for one; `start` may be called again after a stop."""

    place: Path
    port: int
    command: list[str]
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    def dsn(self, database: str, *, user: str = USER, key: str = KEY) -> str:
        """As in `analytics.database`."""
        escaped = "".join(f"%{byte:02x}" for byte in key.encode())
        return f"http://{user}:{escaped}@127.0.0.1:{self.port}/{database}"

    async def start(self) -> None:
        with (self.place / "output").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, cwd=self.place, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL
            )
        async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession() as http:
            while not await self._answers(http):
                if self.process.returncode is not None:
                    raise AssertionError(f"it ended:\n{(self.place / 'output').read_text()[-4000:]}")
                await asyncio.sleep(0.05)  # there is no event to await in a process that does not listen yet

    async def _answers(self, http: aiohttp.ClientSession) -> bool:
        try:
            return await self.told("select 1", http) == "1\n"
        except aiohttp.ClientError:
            return False

    async def told(self, sql: str, http: aiohttp.ClientSession | None = None) -> str:
        """Ask it directly."""
        headers = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": KEY}
        async with (
            aiohttp.ClientSession() as own,
            (http or own).post(f"http://127.0.0.1:{self.port}/", data=sql.encode(), headers=headers) as answer,
        ):
            text = await answer.text()
            assert answer.status == 200, text
            return text

    async def stop(self, number: int = signal.SIGKILL) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)


@asynccontextmanager
async def running() -> AsyncIterator[Server]:
    """Debian's server, on ports and paths of its own, gone with its data afterwards."""
    program = require("clickhouse-server")
    with reachable_directory() as place:
        data = place / "data"
        for name in ("tmp", "user_files", "format_schemas"):
            (data / name).mkdir(parents=True)
        ports = {name: free_port() for name in ("http", "tcp", "inter")}
        (place / "config.xml").write_text(_CONFIG.format(place=place, data=data, **ports))
        (place / "users.xml").write_text(_USERS.format(user=USER, key=KEY))
        server = Server(place, ports["http"], [program, f"--config-file={place / 'config.xml'}"])
        try:
            await server.start()
            yield server
        finally:
            await server.stop()


@asynccontextmanager
async def running_today() -> AsyncIterator[Server]:
    """Today's dialect: chdb behind a bridge."""
    if find_spec("chdb") is None:
        lack("chdb-core is not installed: pip has no wheel of it for this machine")
    with reachable_directory() as place:
        port = free_port()
        server = Server(place, port, [sys.executable, _BRIDGE, str(port), str(place / "data"), USER, KEY])
        try:
            await server.start()
            yield server
        finally:
            await server.stop()


@pytest.fixture(scope="session")
async def old_clickhouse() -> AsyncIterator[Server]:
    """Debian's 18.16, one for the session."""
    async with running() as server:
        yield server


@pytest.fixture(scope="session")
async def new_clickhouse() -> AsyncIterator[Server]:
    """Today's, one for the session."""
    async with running_today() as server:
        yield server


@pytest.fixture(scope="session", params=["old_clickhouse", "new_clickhouse"])
def either_clickhouse(request: pytest.FixtureRequest) -> Server:
    """One after the other."""
    server: Server = request.getfixturevalue(request.param)
    return server


@asynccontextmanager
async def fresh_database(server: Server) -> AsyncIterator[str]:
    """The name of a database that is not there yet, and is not afterwards."""
    name = f"test_{os.getpid()}_{secrets.token_hex(6)}"
    try:
        yield name
    finally:
        await server.told(f"drop database if exists {name}")
