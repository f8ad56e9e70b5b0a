"""How the command line talks to the process that looks after a lab: a unix socket, one JSON line each way."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError
from tests.lab.lab import Lab

_SOCKET = "control"
_LINE_BYTES = 1024**2
_SECONDS = 60.0


@asynccontextmanager
async def answering(lab: Lab, ended: asyncio.Event) -> AsyncIterator[None]:
    """Take commands while the block lasts; `ended` is set by the last one."""
    path = lab.directory / _SOCKET

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                command = json.loads(await reader.readline())
                try:
                    answer = await _answer(lab, ended, command)
                except LabError as error:
                    answer = {"error": str(error)}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # whoever asked has gone, or is none of ours
        finally:
            writer.close()

    before = os.umask(0o077)
    try:
        server = await asyncio.start_unix_server(serve, path, limit=_LINE_BYTES)
    finally:
        os.umask(before)
    async with server:
        yield


def ask(directory: Path, do: str, **arguments: Any) -> dict[str, Any]:
    """What the lab in this directory answers. Raises LabError, also where there is none."""
    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(_SECONDS)
        try:
            talk.connect(str(directory / _SOCKET))
        except OSError:
            raise LabError(f"no lab is up in {directory}; try: scripts/lab up") from None
        talk.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
        with talk.makefile("rb") as answers:
            try:
                answer: dict[str, Any] = json.loads(answers.readline() or b'{"error": "the lab has ended"}')
            except TimeoutError:
                raise LabError(
                    f"the lab does not answer within {_SECONDS:g} s; see {directory}/supervisor.log"
                ) from None
    if "error" in answer:
        raise LabError(answer["error"])
    return answer


async def _answer(lab: Lab, ended: asyncio.Event, command: dict[str, Any]) -> dict[str, Any]:
    do = command.pop("do")
    if do == "down":
        ended.set()
        return {}
    if do == "status":
        return await status(lab)
    if do == "client":
        return asdict(lab.client(command["region"]))
    verbs: dict[str, Callable[..., Awaitable[None]]] = {
        name: getattr(lab, name) for name in ("kill", "stop", "start", "freeze", "thaw", "lag", "cut", "heal", "ready")
    }
    await verbs[do](**command)
    return {}


async def status(lab: Lab) -> dict[str, Any]:
    """Everything there is to see."""
    why = await lab.unready()
    memory = await asyncio.to_thread(lab.memory_bytes)
    lags: dict[str, float] = {}
    for name in lab.boxes:
        if name.startswith("replica-"):
            with suppress(LabError):
                lags[name] = await lab.behind_seconds(name)
    return {
        "boxes": [
            {
                "name": box.name,
                "kind": box.kind,
                "region": box.region,
                "address": box.address,
                "state": box.state,
                "why": why.get(box.name, ""),
                "warnings": lab.warnings.get(box.name, []) if box.pid else [],
                "pid": box.pid,
                "starts": box.starts,
                "bytes": memory[box.name],
                "doors": box.doors,
                "lag_seconds": lags.get(box.name),
            }
            for box in lab.boxes.values()
        ],
        "cuts": sorted(lab.cuts),
        "lags": lab.lags,
        "regions": list(lab.plan.regions),
        "url": lab.client(lab.plan.regions[0]).url,
        "networks": lab.network.name if lab.network.is_real else "",
        "zone": lab.plan.zone,
        "directory": str(lab.directory),
    }
