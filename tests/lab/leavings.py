"""What a lab leaves when its supervisor is killed: processes, networks, files. All of it bears a mark."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from tests.lab import clocks, networks, objects
from tests.lab.errors import LabError

MARK = "PASTEBIN_LAB"
_STATE = "lab.json"
_SECONDS = 10.0
_QUIT_SECONDS = 2.0


def note(directory: Path, network: str, s3_port: int) -> None:
    """Write down what `clear` cannot see from outside."""
    me = psutil.Process()
    state = {"network": network, "s3": s3_port, "supervisor": me.pid, "since": me.create_time()}
    (directory / _STATE).write_text(json.dumps(state), encoding="ascii")


def supervisor(directory: Path) -> psutil.Process | None:
    """The process that looks after the lab in this directory, if it lives."""
    with suppress(OSError, ValueError, KeyError, psutil.Error):
        state = json.loads((directory / _STATE).read_text(encoding="ascii"))
        process = psutil.Process(int(state["supervisor"]))
        # a later process may have the same number
        return process if process.create_time() == state["since"] and process.status() != psutil.STATUS_ZOMBIE else None
    return None


async def clear(directory: Path) -> None:
    """End every process of a lab that nobody looks after, remove its network and its directory.

    Raises LabError where somebody does, or where the directory is no lab's.
    """
    if not directory.exists():
        return
    state = _state(directory)
    if state is None:
        if any(directory.iterdir()):
            raise LabError(f"{directory} holds something else than a lab: name another --directory")
        return
    owner = supervisor(directory)
    if owner is not None and owner.pid != os.getpid():
        raise LabError(f"process {owner.pid} runs a lab in {directory}; end that one first")
    await asyncio.to_thread(_end_processes, directory)
    if name := str(state.get("network", "")):
        await networks.remove(name)
    if isinstance(port := state.get("s3"), int):
        objects.clear(port)
    await asyncio.to_thread(_remove, directory)
    clocks.clear()


def _remove(directory: Path) -> None:
    # the last to go tells that there is something to remove
    for child in sorted(directory.iterdir(), key=lambda path: path.name == _STATE):
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
    """End whatever bears the mark of this lab, or is a PostgreSQL on its files, which hides its environment."""
    for number, seconds in ((signal.SIGQUIT, _QUIT_SECONDS), (signal.SIGKILL, _SECONDS)):
        found = list(processes(directory))
        for process in found:
            with suppress(psutil.Error):
                process.resume()
                process.send_signal(number)
        psutil.wait_procs(found, timeout=seconds)


def processes(directory: Path) -> Iterator[psutil.Process]:
    """Those of the lab in this directory, without this one."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and _is_ours(process, directory):
                yield process


def _is_ours(process: psutil.Process, directory: Path) -> bool:
    if process.environ().get(MARK) == str(directory):
        return True
    arguments = process.cmdline()
    return any(argument.startswith(f"{directory}/") for argument in arguments[1:3]) and "postgres" in arguments[0]
