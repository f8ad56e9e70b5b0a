"""A real PowerDNS for tests, with the configuration of the repository: on a port of its own, never the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message

from tests.nodes import directory
from tests.ports import free_port
from tests.programs import lack, require

_CONF = Path(__file__).resolve().parents[2] / "scripts" / "powerdns" / "pdns.conf"
_MODULES = "usr/lib/*/pdns/libremotebackend.so"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


@asynccontextmanager
async def powerdns(internal: str) -> AsyncIterator[tuple[str, int]]:
    """Run it before the node with the internal door `internal` while the block lasts; yields its address."""
    program = require("pdns_server")
    if not any(Path("/").glob(_MODULES)):
        lack("pdns-backend-remote is not installed; scripts/test installs it when it runs as root")
    async with directory() as place:
        text = _CONF.read_text()
        # a machine that is slow at times is no node that does not answer
        for old, new in (("http://127.0.0.1:9090/", f"{internal}/"), ("timeout=2000", "timeout=30000")):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (place / "pdns.conf").write_text(text)
        port = free_port()
        with (place / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                program,
                *(f"--config-dir={place}", f"--socket-dir={place}", f"--local-port={port}"),
                *("--local-address=127.0.0.1", "--daemon=no", "--guardian=no", "--disable-syslog", "--write-pid=no"),
                stdout=log,
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
            )
        try:
            await _until_ready(process, port, place / "log")
            yield "127.0.0.1", port
        finally:
            if process.returncode is None:
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    query = dns.message.make_query("p.example", "SOA")
    async with asyncio.timeout(_START_SECONDS):
        while True:
            assert process.returncode is None, log.read_text()
            try:
                await dns.asyncquery.udp(query, "127.0.0.1", timeout=0.2, port=port)
            except (OSError, dns.exception.Timeout):
                await asyncio.sleep(0.02)  # there is no event to await in a process that does not listen yet
                continue
            return
