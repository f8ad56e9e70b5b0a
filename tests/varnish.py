"""Real Varnish for tests, with the VCL that the repository offers: on ports of its own, never the system's service."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pastebin.sections import Secret, TargetSection
from tests.ports import free_port
from tests.postgres import reachable_directory
from tests.programs import lack, require

SECRET = "a-secret-between-worker-and-varnish"

_VCL = Path(__file__).resolve().parent.parent / "scripts" / "varnish"
_MODULES = ("xkey", "var")
_START_SECONDS = 120.0  # it compiles the VCL with the C compiler
_STOP_SECONDS = 60.0


@dataclass
class Varnish:
    """A Varnish that listens on `url` and asks an origin."""

    url: str
    place: Path
    process: asyncio.subprocess.Process = field(repr=False)

    def section(self, **options: object) -> TargetSection:
        """How a worker would be configured to purge it."""
        given = {"name": "varnish", "url": self.url, "token": Secret(SECRET), **options}
        return TargetSection(kind="varnish", **given)  # type: ignore[arg-type]

    async def counters(self) -> dict[str, int]:
        """What varnishstat counts."""
        process = await asyncio.create_subprocess_exec(
            require("varnishstat"), "-n", str(self.place / "work"), "-1", stdout=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), _STOP_SECONDS)
        return {line.split()[0]: int(line.split()[1]) for line in output.decode().splitlines() if line.strip()}


@asynccontextmanager
async def varnish_before(
    origin_port: int, *, port: int | None = None, purgers: str = "127.0.0.1"
) -> AsyncIterator[Varnish]:
    """Run Varnish before an origin on this machine while the block lasts."""
    program = require("varnishd")
    with reachable_directory() as place:
        _write_configuration(place, origin_port, purgers)
        port = port or free_port()
        log = (place / "log").open("ab")
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                "-F",
                *("-n", str(place / "work")),
                *("-a", f"127.0.0.1:{port}"),
                *("-f", str(place / "default.vcl")),
                *("-s", "malloc,64m"),
                *("-p", f"vcl_path={place}"),
                *("-p", "thread_pools=1"),
                *("-p", "thread_pool_min=20"),
                cwd=place,
                stdout=log,
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
            )
        finally:
            log.close()
        try:
            await _until_ready(process, port, place)
            yield Varnish(f"http://127.0.0.1:{port}", place, process)
        finally:
            await _stop(process)


def _write_configuration(place: Path, origin_port: int, purgers: str) -> None:
    """The example, changed where its comments say that it has to be."""
    text = (_VCL / "default.vcl").read_text()
    for old, new in (
        ('.port = "8080";', f'.port = "{origin_port}";'),
        ('    "127.0.0.1";', f'    "{purgers}";'),
        ('    "::1";\n', ""),
        ("/etc/varnish/pastebin.secret", str(place / "secret")),
        ("/etc/varnish/pastebin.vcl", str(place / "pastebin.vcl")),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (place / "default.vcl").write_text(text)
    (place / "secret").write_text(f"{SECRET}\n")
    shutil.copyfile(_VCL / "pastebin.vcl", place / "pastebin.vcl")
    for path in place.iterdir():
        path.chmod(0o644)


async def _until_ready(process: asyncio.subprocess.Process, port: int, place: Path) -> None:
    async with asyncio.timeout(_START_SECONDS):
        while True:
            if process.returncode is not None:
                said = (place / "log").read_text(errors="replace")[-4000:]
                if any(f"vmod {name}" in said or f"libvmod_{name}.so" in said for name in _MODULES):
                    lack(f"varnish-modules is not installed; scripts/test installs it when it runs as root\n{said}")
                raise AssertionError(f"varnishd ended:\n{said}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)  # there is no event to await in a process that does not listen yet
                continue
            writer.close()
            return


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM ends the manager, and that its child; its shared memory is unmapped then, and the directory can go."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        raise
