"""What a lab leaves when its supervisor is killed: processes, networks, files. All of it bears a mark."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import psutil

from tests.lab import networks
from tests.lab.errors import LabError

MARK = "PASTEBIN_LAB"
_STATE = "lab.json"
_SECONDS = 10.0


def note(directory: Path, network: str) -> None:
    """Write down what `clear` cannot see from outside."""
    (directory / _STATE).write_text(json.dumps({"network": network, "supervisor": os.getpid()}), encoding="ascii")


def supervisor(directory: Path) -> int | None:
    """The process that looks after the lab in this directory, if it lives."""
    with suppress(OSError, ValueError, KeyError):
        pid = int(json.loads((directory / _STATE).read_text(encoding="ascii"))["supervisor"])
        return pid if psutil.pid_exists(pid) else None
    return None


async def clear(directory: Path) -> None:
    """End every process of the lab, remove its network and its directory. Raises LabError for a foreign directory."""
    if not directory.exists():
        return
    state = _state(directory)
    if state is None:
        if any(directory.iterdir()):
            raise LabError(f"{directory} holds something else than a lab: name another --directory")
        return
    await asyncio.to_thread(_end_processes, directory)
    if name := str(state.get("network", "")):
        await networks.remove(name)
    for child in directory.iterdir():
        with suppress(OSError):
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
    with suppress(OSError):
        directory.rmdir()


def _state(directory: Path) -> dict[str, object] | None:
    try:
        state = json.loads((directory / _STATE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _end_processes(directory: Path) -> None:
    """Kill whatever bears the mark of this lab, or is a PostgreSQL on its files, which hides its environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and _is_ours(process, directory):
                process.kill()
                found.append(process)
    psutil.wait_procs(found, timeout=_SECONDS)


def _is_ours(process: psutil.Process, directory: Path) -> bool:
    if process.environ().get(MARK) == str(directory):
        return True
    arguments = process.cmdline()
    return any(argument.startswith(f"{directory}/") for argument in arguments[1:3]) and "postgres" in arguments[0]
