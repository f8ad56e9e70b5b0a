"""The diagram on one machine: a network, PostgreSQL, an object store and a process for every box, looked after.

`Lab.up` starts it and takes it down at the end. Only one of its kind is in a directory; what a killed one has left
there is removed before the next begins.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from pastebin.errors import StartError
from tests.lab import clocks, leavings, objects
from tests.lab.boxes import Box
from tests.lab.databases import Postgres
from tests.lab.errors import LabError, reason
from tests.lab.networks import Loopback, Namespaces, Network, can_make_namespaces
from tests.lab.plan import COMMON, Place, Plan, Site, sites
from tests.lab.tables import Secrets, Tables, as_toml
from tests.seaweed import ACCESS_KEY, SECRET_KEY

ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 180.0
_POLL_SECONDS = 0.1
_PROBE_SECONDS = 3.0

Told = Callable[[str], None]


@dataclass(frozen=True)
class Client:
    """Where a client of a region stands: `argv` comes before its command, `address` is what it may bind to."""

    region: str
    argv: Sequence[str]
    address: str
    name_servers: Sequence[tuple[str, int]]
    url: str


class Lab:
    """See above. All methods may be called at any time while it is up; unknown names raise LabError."""

    def __init__(self, plan: Plan, directory: Path, network: Network) -> None:
        self.plan = plan
        self.directory = directory
        self.network = network
        self.sites = {site.name: site for site in sites(plan, network.first, network.ports)}
        self.secrets = _secrets()
        self.boxes: dict[str, Box] = {}
        self.cuts: set[tuple[str, str]] = set()
        self.lags: dict[str, float] = {}
        self.warnings: dict[str, list[str]] = {}  # of nodes that can do their work
        self._postgres: dict[str, Postgres] = {}
        self._tables = Tables(plan, self.sites, network.first, self.secrets, directory)
        self._http: aiohttp.ClientSession

    @classmethod
    @asynccontextmanager
    async def up(
        cls, plan: Plan, directory: Path, *, told: Told = lambda _: None, is_real: bool | None = None
    ) -> AsyncIterator[Lab]:
        """A lab that is ready; gone with all its files afterwards. Raises LabError.

        `is_real`: with namespaces (True), without (False), as this process can (None).
        """
        if problems := list(plan.problems()):
            raise LabError("; ".join(problems))
        objects.program()
        if shutil.which("setpriv") is None:
            raise LabError("setpriv is not installed; try: apt-get install util-linux")
        await leavings.clear(directory)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(leavings.clear, directory)
            chosen = can_make_namespaces() if is_real is None else is_real
            network = await Namespaces.opened(plan.places) if chosen else Loopback.opened()
            stack.push_async_callback(network.close)
            leavings.note(directory, network.name if isinstance(network, Namespaces) else "", network.ports.s3)
            lab = cls(plan, directory, network)
            if isinstance(network, Loopback):
                network.check(door for site in lab.sites.values() for door in site.doors.values())
            lab._http = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_SECONDS))
            )
            stack.push_async_callback(lab._end)
            try:
                await lab._begin(told)
            except* (LabError, StartError, TimeoutError, OSError) as group:
                raise LabError("; ".join(_words(group))) from group
            yield lab

    # What tests and the command line do with it.

    def box(self, name: str) -> Box:
        if name not in self.boxes:
            raise LabError(
                f"there is no box {name!r}; there are {', '.join([*self.boxes, *self.plan.regions, COMMON])}"
            )
        return self.boxes[name]

    def named(self, name: str) -> list[Box]:
        """The box of that name, or all boxes of the place of that name."""
        found = [box for box in self.boxes.values() if box.site.place.name == name]
        return found or [self.box(name)]

    async def kill(self, name: str, *, stays: bool = False) -> None:
        """SIGKILL to a box, or to all of a region; they come again within a second, unless they are to stay down."""
        boxes = self.named(name)
        for box in boxes:
            box.is_wanted = box.is_wanted and not stays
            box.kill()
        if stays:
            await asyncio.gather(*(box.stop(signal.SIGKILL) for box in boxes))

    async def stop(self, name: str) -> None:
        """In order, as a service manager does; it stays down."""
        await asyncio.gather(*(box.stop() for box in self.named(name)))

    async def start(self, name: str) -> None:
        for box in self.named(name):
            box.start()

    async def freeze(self, name: str) -> None:
        """It is there and says nothing (SIGSTOP)."""
        for box in self.named(name):
            box.freeze()

    async def thaw(self, name: str) -> None:
        for box in self.named(name):
            box.thaw()

    async def lag(self, name: str, seconds: float) -> None:
        """Have a replica replay so much later than its primary; 0: at once."""
        replicas = [one for one, postgres in self._postgres.items() if postgres.upstream is not None]
        if name not in replicas:
            raise LabError(f"{name!r} is no replica; there are {', '.join(replicas) or 'none'}")
        await self._postgres[name].lag(seconds)
        self.lags[name] = seconds
        if not seconds:
            del self.lags[name]

    async def skew(self, name: str, seconds: float) -> None:
        """Set the clock of a node ahead by so much, or back; it notices within about a second."""
        if not self.plan.clocks or not self.box(name).site.is_node:
            raise LabError(f"the clock of {name!r} is that of this machine")
        clocks.set_by(self._clock(name), seconds)

    async def behind_seconds(self, name: str) -> float:
        """How long ago what a replica replayed last was written; 0 where it has replayed all that it has heard of."""
        return await self._postgres[name].behind_seconds()

    async def cut(self, one: str, other: str, *, one_way: bool = False) -> None:
        """Nothing gets from one place to the other, nor back unless `one_way`: silence, no refusals."""
        for source, target in self._ways(one, other, one_way):
            await self.network.cut(self._place(source), self._place(target))
            self.cuts.add((source, target))

    async def heal(self, one: str = "", other: str = "", *, one_way: bool = False) -> None:
        """Undo a cut; without names all of them."""
        for source, target in self._ways(one, other, one_way) if one else list(self.cuts):
            await self.network.heal(self._place(source), self._place(target))
            self.cuts.discard((source, target))

    async def ready(self, seconds: float = _READY_SECONDS, names: Iterable[str] | None = None) -> None:
        """Return when every box that is wanted (or those named) can do its work. Raises LabError, with their words."""
        waiting: dict[str, str] = {}
        try:
            async with asyncio.timeout(seconds):
                while waiting := await self.unready(names):  # noqa: ASYNC110  (processes elsewhere have no events)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            told = [f"{name}: {why}" for name, why in waiting.items()]
            told += [f"log of {name}:\n{self.boxes[name].last_words()}" for name in list(waiting)[:2]]
            raise LabError(f"not ready after {seconds:g} s:\n" + "\n".join(told)) from None

    async def unready(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Box -> why it is not ready."""
        wanted = [self.box(name) for name in names] if names is not None else list(self.boxes.values())
        wanted = [box for box in wanted if box.is_wanted or names is not None]
        answers = await asyncio.gather(*(_why(box) for box in wanted))
        return {box.name: why for box, why in zip(wanted, answers, strict=True) if why}

    def client(self, region: str) -> Client:
        """Where to run a client of that region. Raises LabError."""
        if region not in self.plan.regions:
            raise LabError(f"there is no region {region!r}; there are {', '.join(self.plan.regions)}")
        place = self.plan.clients(region)
        servers = tuple(site.doors["dns"] for site in self.sites.values() if site.kind == "geodns")
        address = f"{self.network.first}.{place.number}.1"
        return Client(region, tuple(self.network.client(place)), address, servers, self._tables.site_url)

    def dsn(self, name: str = "primary") -> str:
        """A server of PostgreSQL by its unix socket, which no cut reaches."""
        if name not in self._postgres:
            raise LabError(f"{name!r} is no server of PostgreSQL; there are {', '.join(self._postgres)}")
        return self._postgres[name].dsn("analytics" if name.startswith("analytics") else "pastebin")

    def memory_bytes(self) -> dict[str, int]:
        """Proportional set size of every box."""
        return {name: box.memory_bytes() for name, box in self.boxes.items()}

    # How it comes and goes.

    async def _begin(self, told: Told) -> None:
        for name in self.plan.regions:
            if isinstance(self.network, Namespaces):
                servers = [host for host, _ in self.client(name).name_servers]
                self.network.give_name_servers(self.plan.clients(name), servers)
        (self.directory / "logs").mkdir(exist_ok=True)
        (self.directory / "zone").write_text(self._tables.zone_file(), encoding="ascii")
        self._furnish()
        told("starting PostgreSQL, the object store, name servers, gateways and edges")
        without = ("gateway", "edge", "geodns")
        first = [box for box in self.boxes.values() if box.kind in without]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._begin_primary(told), name="the primary and its replicas")
            tasks.create_task(self._begin_analytics(), name="analytics")
            tasks.create_task(self._begin_objects(), name="objects")
            for box in first:
                box.start()
        told("waiting until every box is ready")
        await self.ready(_READY_SECONDS)

    async def _begin_primary(self, told: Told) -> None:
        primary = self._postgres["primary"]
        await primary.make()
        self.boxes["primary"].start()
        await primary.prepare()
        told("starting web, read and write nodes, workers and replicas")
        for box in self.boxes.values():
            if box.kind in ("web", "read", "write", "worker"):
                box.start()
        async with asyncio.TaskGroup() as tasks:
            for name, postgres in self._postgres.items():
                if postgres.upstream is not None:
                    tasks.create_task(self._begin_replica(name, postgres), name=f"copying {name}")

    async def _begin_replica(self, name: str, postgres: Postgres) -> None:
        await postgres.copy(self._postgres["primary"])
        await postgres.make()
        self.boxes[name].start()

    async def _begin_analytics(self) -> None:
        database = self._postgres["analytics-db"]
        await database.make()
        self.boxes["analytics-db"].start()
        await database.prepare()
        self.boxes["analytics"].start()

    async def _begin_objects(self) -> None:
        self.boxes["objects"].start()
        async with asyncio.timeout(_READY_SECONDS):
            await objects.usable(self.sites["objects"])

    def _furnish(self) -> None:
        for site in self.sites.values():
            if site.kind == "postgres":
                self._add_postgres(site)
            elif site.kind == "objects":
                self._add(site, objects.argv(site, _made(self.directory / site.name)))
            else:
                config = self.directory / f"{site.name}.toml"
                config.touch(mode=0o600)
                config.write_text(as_toml(self._tables.of(site)), encoding="utf-8")
                node = [sys.executable, "-m", "pastebin", "serve", f"--config={config}"]
                self._add(site, ["setpriv", "--pdeathsig", "KILL", "--", *node])

    def _add_postgres(self, site: Site) -> None:
        upstream = self.sites["primary"] if site.name.startswith("replica-") else None
        postgres = Postgres.at(site, self.directory / site.name, self.secrets.database, upstream)
        self._postgres[site.name] = postgres
        self._add(site, postgres.argv, stop=signal.SIGINT)

    def _add(self, site: Site, argv: Sequence[str], stop: signal.Signals = signal.SIGTERM) -> None:
        async def check() -> str:
            if site.kind == "postgres":
                return await self._postgres[site.name].check()
            return await (objects.check(site) if site.kind == "objects" else self._check_node(site))

        clock = clocks.environment(self._clock(site.name)) if self.plan.clocks and site.is_node else {}
        environment = {
            **clock,
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "HOME") if name in os.environ},
            leavings.MARK: str(self.directory),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        self.boxes[site.name] = Box(
            site,
            [*self.network.inside(site.place), *argv],
            directory=ROOT if site.is_node else self.directory,
            log=self.directory / "logs" / f"{site.name}.log",
            environment=environment,
            check=check,
            stop_signal=stop,
        )

    async def _check_node(self, site: Site) -> str:
        try:
            async with self._http.get(f"{site.url('internal')}/readyz") as response:
                said = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return f"does not answer: {reason(error)}"
        self.warnings[site.name] = [text for texts in said.get("warnings", {}).values() for text in texts]
        wrong = [text if name == "node" else f"{name}: {text}" for name, text in said.get("problems", {}).items()]
        return "; ".join(wrong) or ("" if response.status == 200 else f"answers {response.status}")

    async def _end(self) -> None:
        """At once; PostgreSQL gives back what it shares with its children."""
        numbers = {"postgres": signal.SIGQUIT}
        await asyncio.gather(*(box.stop(numbers.get(box.kind, signal.SIGKILL)) for box in self.boxes.values()))

    def _clock(self, name: str) -> Path:
        return self.directory / "clocks" / name

    def _place(self, name: str) -> Place:
        known = {place.name: place for place in self.plan.places}
        if name not in known:
            raise LabError(f"there is no place {name!r}; there are {', '.join(known)}")
        return known[name]

    def _ways(self, one: str, other: str, one_way: bool) -> list[tuple[str, str]]:
        for name in (one, other):
            self._place(name)
        if one == other:
            raise LabError(f"{one} cannot be cut from itself")
        return [(one, other)] if one_way else [(one, other), (other, one)]


async def _why(box: Box) -> str:
    if box.pid is None:
        return box.state
    return await box.check()


def _words(group: BaseExceptionGroup) -> Iterator[str]:
    """What the errors in it say."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _words(error)
        else:
            yield error.detail if isinstance(error, StartError) else str(error) or "it takes too long"


def _secrets() -> Secrets:
    return Secrets(*(secrets.token_hex(24) for _ in range(3)))


def _made(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    return directory
