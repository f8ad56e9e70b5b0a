"""What every case shares: rounds that take turns, medians, ratios, and processors of their own for both sides."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pastebin.embedded import binaries
from pastebin.embedded.server import Server, primary
from pastebin.sections import EmbeddedSection
from tests.bench import accounts

_WARM_UP_SECONDS = 2.0


class WrongAnswer(Exception):
    """Something was fast, but not right."""


@dataclass(frozen=True)
class Contest:
    """A case that is set up: two measurements to be taken in turns, each for the given seconds, in operations/s.

    `parties` names the processes whose processor time is accounted for beside that of the load generator.
    """

    ours: Callable[[float], Awaitable[float]]
    reference: Callable[[float], Awaitable[float]]
    check: Callable[[], Awaitable[None]]
    parties: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A measurement, what it is held against, and the ratio that it has to reach."""

    name: str
    unit: str
    ours: str
    reference: str
    goal: float
    prepared: Callable[[Path], AbstractAsyncContextManager[Contest]]


@dataclass
class Result:
    """What came of a case."""

    name: str
    unit: str
    goal: float
    ours: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    failure: str | None = None
    # Of each round: microseconds of processor time for one operation, by who used it.
    used: dict[str, list[dict[str, float]]] = field(default_factory=lambda: {"ours": [], "reference": []})

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.reference) if self.ours else 0.0

    @property
    def is_good(self) -> bool:
        return self.failure is None and self.ratio >= self.goal

    def as_json(self) -> dict[str, Any]:
        medians = {
            f"{side}_median": round(statistics.median(values), 1)
            for side, values in (("ours", self.ours), ("reference", self.reference))
            if values
        }
        return {**asdict(self), **medians, "ratio": round(self.ratio, 3), "reached": self.is_good}


async def run(case: Case, rounds: int, seconds: float) -> Result:
    """Play the rounds; a wrong answer anywhere fails the case."""
    result = Result(case.name, case.unit, case.goal)
    print(f"{case.name}: {case.ours}\n{'':{len(case.name)}}  against {case.reference}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="pastebin-bench-") as name:
            directory = Path(name)
            directory.chmod(0o755)
            async with case.prepared(directory) as contest:
                gc.collect()
                gc.freeze()
                gc.set_threshold(10_000, 10, 10)  # as a node does when it is ready
                await contest.ours(min(seconds, _WARM_UP_SECONDS))
                await contest.reference(min(seconds, _WARM_UP_SECONDS))
                for number in range(1, rounds + 1):
                    result.ours.append(await _measured(contest, "ours", seconds, result))
                    result.reference.append(await _measured(contest, "reference", seconds, result))
                    print(f"  round {number}: {result.ours[-1]:>10,.0f} {result.reference[-1]:>10,.0f}", flush=True)
                await contest.check()
    except (WrongAnswer, TimeoutError, OSError, subprocess.SubprocessError) as error:
        result.failure = f"{type(error).__name__}: {error}"
    _tell(result)
    return result


async def _measured(contest: Contest, side: str, seconds: float, result: Result) -> float:
    parties = {**contest.parties, "load generator": os.getpid()}
    before, began = accounts.account(parties), time.perf_counter()
    rate = await (contest.ours if side == "ours" else contest.reference)(seconds)
    operations = rate * (time.perf_counter() - began)
    result.used[side].append(accounts.account(parties).since(before, operations))
    return rate


def _tell(result: Result) -> None:
    if result.failure is not None:
        print(f"  FAILED: {result.failure}", flush=True)
        return
    ratios = [one / other for one, other in zip(result.ours, result.reference, strict=True)]
    ours, reference = statistics.median(result.ours), statistics.median(result.reference)
    print(
        f"  median:  {ours:>10,.0f} {reference:>10,.0f} {result.unit}"
        f"   ratio {result.ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}), goal {result.goal:g}:"
        f" {'reached' if result.is_good else 'MISSED'}",
        flush=True,
    )
    for side, rounds in result.used.items():
        spent = {party: statistics.median(used[party] for used in rounds) for party in rounds[0]}
        print(f"  {side} used: " + ", ".join(f"{party} {spent[party]:,.0f} us" for party in spent), flush=True)


def processors() -> tuple[set[int], set[int]]:
    """Those of the server and those of the client; the same where there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    return ({mine[0]}, set(mine[1:])) if len(mine) > 1 else (set(mine), set(mine))


@asynccontextmanager
async def durable_postgres(directory: Path, *, is_pinned: bool = False) -> AsyncIterator[Server]:
    """A PostgreSQL that loses nothing, on a real disk, free to run on every processor unless it is pinned."""
    home = directory / "server"
    home.mkdir(exist_ok=True)
    home.chmod(0o755)
    async with primary(EmbeddedSection(max_connections=120, shared_buffers_mb=256), home) as server:
        async with server.connected() as connection:
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                if (value := await connection.fetchval("select current_setting($1)", name)) != "on":
                    raise WrongAnswer(f"{name} is {value}: nothing durable would be measured")
        if is_pinned and server.pid is not None:
            for pid in accounts.descendants(server.pid):
                pin_server(pid)
        yield server


@asynccontextmanager
async def as_client() -> AsyncIterator[None]:
    """Keep this process, and what it starts, off the server's processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors()[1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin_server(pid: int) -> None:
    """Keep a process, with the threads it has so far and whatever it starts, on the server's processor."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), processors()[0])


def pin_client(pid: int) -> None:
    """Keep a process off the server's processor."""
    os.sched_setaffinity(pid, processors()[1])


async def pgbench(server: Server, script: str, variables: dict[str, str], *, clients: int, seconds: float) -> float:
    """Transactions/s of pgbench with prepared statements, as `clients` of one thread. Raises WrongAnswer."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        options = [f"--define={name}={value}" for name, value in variables.items()]
        process = await asyncio.create_subprocess_exec(
            binaries.find().program("pgbench"),
            *("-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(max(1, round(seconds)))),
            *("-f", file.name, *options, server.dsn),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), seconds + 60)
    text = out.decode()
    if process.returncode or "number of failed transactions: 0 " not in text:
        raise WrongAnswer(f"pgbench: {text[-500:]}")
    return float(next(line for line in text.splitlines() if line.startswith("tps")).split()[2])
