"""SeaweedFS for tests: a real S3 server, one for the session, others for tests that stop it.

A pytest plugin: `pytest_plugins = ["tests.seaweed"]` in the topmost conftest.py.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from pastebin.metrics import Metrics
from pastebin.sections import BlobsSection, Secret
from pastebin.store.blobs import Blobs
from pastebin.store.budget import Budget
from pastebin.store.directory import DirectoryBlobs
from pastebin.store.s3 import S3Blobs
from pastebin.store.s3_bucket import Bucket
from pastebin.store.s3_failures import Patience
from tests.ports import free_port
from tests.postgres import place
from tests.programs import require

ACCESS_KEY = "tests"
SECRET_KEY = "secret-of-the-tests"
BUCKET = "pastes"

_READY_SECONDS = 120.0
_STOP_SECONDS = 60.0
_PORTS = ("s3", "master", "volume", "filer", "admin")


class Seaweed:
    """`weed mini` on free ports of 127.0.0.1; `start` may be called again after a stop or a kill."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ports = {name: free_port() for name in (*_PORTS, *(f"{name}.grpc" for name in _PORTS))}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def port(self) -> int:
        return self._ports["s3"]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, and wait until the bucket can be used."""
        ports = [
            f"-{name.removesuffix('.grpc')}.port{'.grpc' if name.endswith('.grpc') else ''}={port}"
            for name, port in self._ports.items()
        ]
        options = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false", "-master.telemetry=false"]
        with (self.directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                _program(),
                "mini",
                f"-dir={self.directory / 'data'}",
                f"-bucket={BUCKET}",
                *ports,
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                *options,
                env={**os.environ, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
                cwd=self.directory,
                stdout=log,
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
            )
        await self._until_ready(self._process)

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(_READY_SECONDS), aiohttp.ClientSession() as http:
            while not await self._is_ready(http):
                if process.returncode is not None:
                    raise AssertionError(f"weed ended:\n{(self.directory / 'log').read_text()[-4000:]}")
                await asyncio.sleep(0.05)  # there is no event to await in a process that does not listen yet

    async def _is_ready(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.head(f"{self.endpoint}/{BUCKET}") as response:
                if response.status not in (200, 403):
                    return False
            async with client(self.endpoint) as s3:
                await s3.put_object(Bucket=BUCKET, Key="ready", Body=b"yes")
                await s3.delete_object(Bucket=BUCKET, Key="ready")
        except Exception:  # whatever a server that is half up makes of a client
            return False
        return True

    async def stop(self, number: int = signal.SIGKILL) -> None:
        """End it, at once by default: nothing of what it holds is needed any more, or it survives."""
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(number)
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)

    async def vacuum(self) -> None:
        """Give back the room of removed objects, which the server does only now and then by itself."""
        address = f"http://127.0.0.1:{self._ports['master']}/vol/vacuum"
        async with aiohttp.ClientSession() as http, http.get(address, params={"garbageThreshold": "0.001"}) as response:
            assert response.status == 200, await response.text()

    def section(self, **options: Any) -> BlobsSection:
        """How a node would be configured to use it."""
        given = {
            "endpoint": self.endpoint,
            "bucket": BUCKET,
            "access_key": ACCESS_KEY,
            "secret_key": Secret(SECRET_KEY),
        }
        return BlobsSection(store="s3", addressing="path", **{**given, **options})

    def settings(self, **options: Any) -> dict[str, Any]:
        """The same for `tests.nodes.started`."""
        given = {
            "store": "s3",
            "endpoint": self.endpoint,
            "bucket": BUCKET,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "addressing": "path",
            # it is not away unless a test sees to that, the machine may be busy
            "connect_timeout_seconds": 30.0,
            "read_timeout_seconds": 60.0,
            "part_timeout_seconds": 240.0,
            **options,
        }
        return {f"blobs__{name}": value for name, value in given.items()}


@asynccontextmanager
async def client(endpoint: str, **options: Any) -> AsyncIterator[Any]:
    """A client of its own, to look from outside."""
    config = AioConfig(
        s3={"addressing_style": "path", "payload_signing_enabled": False},
        retries={"total_max_attempts": 1},
        request_checksum_calculation="when_required",
        **{"read_timeout": 60, **options},
    )
    async with get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=config,
    ) as s3:
        yield s3


@asynccontextmanager
async def running() -> AsyncIterator[Seaweed]:
    """A server of one's own, gone with its data afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="pastebin-seaweed-", dir=place()))
    (directory / "data").mkdir()
    server = Seaweed(directory)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
async def seaweed() -> AsyncIterator[Seaweed]:
    """The server of the session, for tests that leave it running; each should use a prefix of its own."""
    async with running() as server:
        yield server


@pytest.fixture(scope="session")
async def seaweed_client(seaweed: Seaweed) -> AsyncIterator[Any]:
    """A client for it: making one takes longer than most tests."""
    async with client(seaweed.endpoint) as s3:
        yield s3


@pytest.fixture
def prefix() -> str:
    """A prefix that nobody else uses."""
    return f"{secrets.token_hex(6)}/"


@pytest.fixture(params=["directory", "s3"])
async def blobs(
    request: pytest.FixtureRequest, tmp_path: Path, seaweed: Seaweed, seaweed_client: Any, prefix: str
) -> AsyncIterator[Blobs]:
    """Both stores, for what has to hold of either."""
    if request.param == "directory":
        async with DirectoryBlobs.opened(tmp_path / "blobs", min_free_bytes=0) as directory:
            yield directory
    else:
        bucket = Bucket(seaweed_client, seaweed.section(prefix=prefix), Patience.with_store("store", Metrics()))
        yield S3Blobs(bucket, bucket, Budget(64 * 1024**2))


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else require("weed")
