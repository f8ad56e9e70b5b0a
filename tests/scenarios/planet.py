"""A lab with clients in all its regions, and hands that break it by a schedule and mend it again."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from yarl import URL

from tests.histories.access import Access, Resolver, opened
from tests.histories.checking import Violation, violations
from tests.histories.clients import Ledger
from tests.histories.faults import Fault, Ground
from tests.histories.places import sockets
from tests.histories.playing import Play
from tests.histories.telling import summary, told
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.plan import COMMON

READY_SECONDS = 30.0
# where the machine is shared: whoever wants to know how long it takes has it for himself
_SLOW_SECONDS = 180.0
_MEND_SECONDS = 60.0
_CRASH = re.compile(r"^(?=\S+ error .*\n(?:future: .*\n)?Traceback \(most recent call last\))", re.MULTILINE)
# the drivers of HTTP and of PostgreSQL leave tasks behind whose end nobody waits for
_DRIVERS = re.compile(r"Task exception was never retrieved\nfuture: .*/site-packages/")


@dataclass
class Planet:
    """The lab, its clients' ways in, and what was done to it when."""

    lab: Lab
    accesses: tuple[Access, ...]
    ledger: Ledger
    logs: Mapping[str, int]  # how long the log of each node was in the beginning
    marks: list[tuple[float, str]] = field(default_factory=list)

    @property
    def writer(self) -> str:
        """A box that may write to the database and the store."""
        return f"{self.lab.plan.regions[0]}-write"

    @property
    def ground(self) -> Ground:
        """What there is to break."""
        kinds = {name: box.kind for name, box in self.lab.boxes.items() if name != "analytics-db"}
        places = (*self.lab.plan.regions, COMMON) if self.lab.network.is_real else ()
        return Ground(kinds, places, has_clocks=self.lab.plan.clocks)

    def play(self, seed: int, **options: float) -> Play:
        return Play(seed, self.ledger, self.accesses, **options)  # type: ignore[arg-type]

    def mark(self, what: str) -> None:
        self.marks.append((time.monotonic(), what))
        print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)

    async def suffer(self, faults: Sequence[Fault]) -> None:
        """Everything on the schedule, from now on; whole again when it returns, but for what has to come back."""
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as tasks:
                for fault in faults:
                    tasks.create_task(self._suffer(fault, began))
        finally:
            await self.mend()

    async def _suffer(self, fault: Fault, began: float) -> None:
        await asyncio.sleep(began + fault.at - time.monotonic())
        do, undo = self._hands(fault)
        self.mark(str(fault))
        try:
            await do()
        except LabError as error:
            self.mark(f"not done, {error}")
            return
        await asyncio.sleep(began + fault.until - time.monotonic())
        if fault.action != "kill":
            self.mark(f"over: {fault.action} {fault.target} {fault.other}")
        await self._until_done(undo)

    def _hands(self, fault: Fault) -> tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]:
        """What breaks it, and what mends it."""
        lab, target, other = self.lab, fault.target, fault.other
        one_way = fault.action == "cut one way"
        match fault.action:
            case "kill":
                return lambda: lab.kill(target), lambda: lab.start(target)
            case "stop":
                return lambda: lab.stop(target), lambda: lab.start(target)
            case "freeze":
                return lambda: lab.freeze(target), lambda: lab.thaw(target)
            case "lag":
                return lambda: lab.lag(target, fault.amount), lambda: lab.lag(target, 0)
            case "skew":
                return lambda: lab.skew(target, fault.amount), lambda: lab.skew(target, 0)
            case _:
                return (
                    lambda: lab.cut(target, other, one_way=one_way),
                    lambda: lab.heal(target, other, one_way=one_way),
                )

    async def _until_done(self, undo: Callable[[], Awaitable[None]]) -> None:
        """A server that is just coming back cannot be told anything yet."""
        async with asyncio.timeout(_MEND_SECONDS):
            while True:
                with suppress(LabError):
                    return await undo()
                await asyncio.sleep(0.2)

    async def mend(self) -> None:
        """Undo whatever is still undone."""
        await self.lab.heal()
        for name, box in self.lab.boxes.items():
            box.thaw()
            await self.lab.start(name)
        for name in list(self.lab.lags):
            await self._until_done(lambda: self.lab.lag(name, 0))  # noqa: B023  (awaited here)

    async def settle(self, seconds: float = _SLOW_SECONDS) -> list[Violation]:
        """Every box has to be ready again, without a hand."""
        began = time.monotonic()
        waiting = await self.lab.unready()
        while waiting:
            if time.monotonic() > began + seconds:
                logs = "\n".join(self.lab.boxes[name].last_words() for name in waiting)
                return [Violation("ready", "", f"not ready in {seconds:g} s: {waiting}\n{logs}")]
            await asyncio.sleep(0.1)
            waiting = await self.lab.unready(waiting)
        self.mark(f"everything is ready, {time.monotonic() - began:.1f} s after the last fault")
        return []

    def judge(self, found: Sequence[Violation], keep: Path, faults: Sequence[Fault] = ()) -> str:
        """What is wrong, with all that it takes to understand it; empty if nothing is. `keep` has history and logs."""
        history, oddities = self.ledger.history, self.ledger.oddities
        everything = [*found, *violations(history), *self._crashes()]
        print(*summary(history), sep="\n")
        print(f"{len(history.operations)} operations, {len(everything)} violations, {len(oddities)} odd answers")
        history.save(keep / "history.jsonl")
        if not everything and not oddities:
            return ""
        shutil.copytree(self.lab.directory / "logs", keep / "logs", dirs_exist_ok=True)
        lines = [f"{len(everything)} violations, {len(oddities)} answers that no fault explains; see {keep}"]
        return "\n".join([*lines, *map(str, faults), told(everything[:20], history, self.marks), *oddities[:20]])

    def _crashes(self) -> list[Violation]:
        """Exceptions that no node expected, by its log."""
        found = []
        for name, start in self.logs.items():
            text = (self.lab.directory / "logs" / f"{name}.log").read_bytes()[start:].decode(errors="replace")
            crashes = [part for part in _CRASH.split(text)[1:] if not _DRIVERS.search(part)]
            found += [Violation("errors", name, part[:4000]) for part in crashes[:3]]
        return found


@asynccontextmanager
async def planet(lab: Lab) -> AsyncIterator[Planet]:
    """Clients in every region of a lab, each with a resolver and a network of its own."""
    # an edge that was not told revalidates once it has heard nothing for so long
    lease_seconds = lab.plan.settings["*"]["edge.lease_seconds"] + 1.0
    ledger = Ledger(lease_seconds=lease_seconds, patience=20.0 + lab.plan.ttl_seconds)
    async with AsyncExitStack() as stack:
        accesses = []
        for region in lab.plan.regions:
            where = lab.client(region)
            url = URL(where.url)
            open_socket = stack.enter_context(sockets(where.argv, where.address))
            names = Resolver(region, str(url.host), int(url.port or 80), where.name_servers, open_socket, ledger.note)
            accesses.append(await stack.enter_async_context(opened(region, url.authority, names, open_socket)))
        nodes = {name: box.log.stat().st_size for name, box in lab.boxes.items() if box.site.is_node}
        yield Planet(lab, tuple(accesses), ledger, nodes)
