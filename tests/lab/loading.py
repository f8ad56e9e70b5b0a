"""A mixed load by clients of all regions, each where its region's clients are, and their figures by region."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.lab.lab import ROOT, Client

_END_SECONDS = 60.0
_LINE_BYTES = 4 * 1024**2


@dataclass
class Sums:
    """What the clients of one region have met so far; `latest` is the last second."""

    creates: int = 0
    reads: int = 0
    retries: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    latest: dict[str, Any] = field(default_factory=dict)

    def add(self, line: dict[str, Any]) -> None:
        self.latest = line
        self.creates += line["creates"]
        self.reads += line["reads"]
        self.retries += line["retries"]
        self.failures += line["failures"]
        self.seconds += line["seconds"]

    def quantile(self, share: float) -> float:
        """Of all requests that succeeded, in seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


class Load:
    """Runs while `running` does."""

    def __init__(self) -> None:
        self.sums: dict[str, Sums] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._readers: list[asyncio.Task[None]] = []

    @property
    def failures(self) -> list[str]:
        return [f"{region}: {failure}" for region, sums in self.sums.items() for failure in sums.failures]

    async def ended(self) -> None:
        """Return when clients that were given so many seconds have done what they had begun."""
        await asyncio.gather(*self._readers)

    async def start(self, region: str, client: Client, options: Sequence[str]) -> None:
        servers = [f"--server={host}:{port}" for host, port in client.name_servers]
        process = await asyncio.create_subprocess_exec(
            *client.argv,
            *(sys.executable, "-m", "tests.lab.clients", region, client.url, *servers),
            f"--address={client.address}",
            *options,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        self.sums[region] = Sums()
        self._processes[region] = process
        self._readers.append(asyncio.create_task(self._read(region, process), name=f"figures of {region}"))

    async def stop(self) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                # Process.kill would bury one that has just ended, and asyncio look for it in vain
                os.kill(process.pid, signal.SIGKILL)
        for process in self._processes.values():
            await process.wait()
        for reader in self._readers:
            reader.cancel()

    async def _read(self, region: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while text := await process.stdout.readline():
            line = json.loads(text)
            self.sums[region].add(line)
            self.tell(line["made"], besides=region)

    def tell(self, made: Sequence[tuple[str, str]], besides: str = "") -> None:
        """Have clients read pastes that others have made: (path, text)."""
        for name, process in self._processes.items():
            if made and name != besides and process.stdin is not None and not process.stdin.is_closing():
                process.stdin.write(json.dumps(made).encode() + b"\n")


@asynccontextmanager
async def running(
    clients: Mapping[str, Client],
    *,
    rate: float = 20.0,
    seconds: float = 0.0,
    creates: float = 0.2,
    known: Sequence[tuple[str, str]] = (),
    patience: float = 30.0,
) -> AsyncIterator[Load]:
    """A load while the block lasts: so many requests a second in each region, for so long (0: until the block ends).

    `creates` is the share that makes pastes; `known` are pastes that are there already. A request has failed when it
    was tried again for `patience` seconds.
    """
    load = Load()
    options = (f"--rate={rate}", f"--seconds={seconds}", f"--creates={creates}", f"--patience={patience}")
    try:
        for region, client in clients.items():
            await load.start(region, client, options)
        load.tell(known)
        yield load
    finally:
        await load.stop()


def show(clients: Mapping[str, Client], seconds: float, rate: float) -> int:
    """On the terminal until it ends, or Ctrl-C does: 1 if a request has failed."""
    failures: list[str] = []

    async def watch() -> None:
        async with running(clients, rate=rate, seconds=seconds) as load:
            began, ended = time.monotonic(), asyncio.ensure_future(load.ended())
            print(HEADER)
            above = 0
            try:
                while not ended.done():
                    await asyncio.wait([ended], timeout=1.0)
                    lines = list(rows(load.sums, time.monotonic() - began))
                    again = f"\x1b[{above}A" if above and sys.stdout.isatty() else ""
                    print(again + "\n".join(lines), flush=True)
                    above = len(lines)
            finally:
                ended.cancel()
                failures.extend(load.failures)

    with suppress(KeyboardInterrupt):
        asyncio.run(watch())
    for failure in failures[:20]:
        print(f"failed: {failure}")
    return 1 if failures else 0


HEADER = "  time  region    creates    reads  retries  failures  now/s   p50 ms   p99 ms"


def rows(found: Mapping[str, Sums], seconds: float) -> Iterator[str]:
    """The figures of every region, as they are after so many seconds."""
    for region, sums in found.items():
        now = sums.latest.get("creates", 0) + sums.latest.get("reads", 0)
        yield (
            f"{seconds:4.0f} s  {region:<8} {sums.creates:8} {sums.reads:8} {sums.retries:8} {len(sums.failures):9}"
            f" {now:6} {1000 * sums.quantile(0.5):8.1f} {1000 * sums.quantile(0.99):8.1f}"
        )
