"""What has to be true of a lab when the faults are over: in its database, its store, its queue, its processes."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import asyncpg
import psutil

from tests.histories.checking import Violation, counted, created_once
from tests.histories.operations import Operation
from tests.lab.lab import ROOT
from tests.scenarios.planet import Planet

_DRAIN_SECONDS = 180.0
_COUNT_SECONDS = 180.0
_COMMAND_SECONDS = 120.0
# A visit is in memory for half a second and in a file after that; the machine may be slow.
_IN_MEMORY_SECONDS = 3.0
_COUNTING = ("edge", "web", "read", "write")
# What grows by the work itself, with bounds of its own: caches of answers and pages, pools of connections.
_MORE_BYTES = 16 * 2**20
_MORE_FILES = 32
_SHARE = 0.1


async def rows_of_keys(planet: Planet) -> list[Violation]:
    """No key has made two pastes, whatever its clients were told."""
    connection = await asyncpg.connect(planet.lab.dsn("primary"), timeout=10)
    try:
        rows = await connection.fetch("select title, count(*) from pastes where title is not null group by title")
    finally:
        await connection.close()
    return created_once(planet.ledger.history, {row[0]: row[1] for row in rows})


async def rows_and_objects(planet: Planet) -> list[Violation]:
    """Once everything that is due is swept, without grace, each row has its object and each object its row."""
    sweep = ("blobs", "sweep", "--set", "blobs.grace_seconds=0.001")
    first = await _pastebin(planet, planet.writer, *sweep)
    print(f"sweeping: {first[1].strip().splitlines()[-1:]}")
    code, said = await _pastebin(planet, planet.writer, *sweep, "--dry-run")
    last = (said.strip().splitlines() or [""])[-1]
    found = re.search(r"would remove (\d+), (\d+) missing", last)
    if code == 0 and found is not None and found.groups() == ("0", "0"):
        return []
    return [Violation("rows-and-objects", "", f"{first[1][-2000:]}\n{said[-2000:]}")]


async def queue_drains(planet: Planet) -> list[Violation]:
    """Every edge is told of everything, somebody looks after it, and nothing was refused for good."""
    until = time.monotonic() + _DRAIN_SECONDS
    while True:
        code, said = await _pastebin(planet, "worker-1", "queue", "status")
        if code == 0 and all(" 0 changes behind" in line for line in said.strip().splitlines()):
            return []
        if time.monotonic() > until:
            _, letters = await _pastebin(planet, "worker-1", "queue", "list", "--waiting")
            return [Violation("queue", "", f"{said}\n{letters[-3000:]}")]
        await asyncio.sleep(1.0)


async def _pastebin(planet: Planet, box: str, *arguments: str) -> tuple[int, str]:
    """A command with the configuration of a box, where that box is."""
    site = planet.lab.sites[box]
    config = planet.lab.directory / f"{box}.toml"
    process = await asyncio.create_subprocess_exec(
        *planet.lab.network.inside(site.place),
        *(sys.executable, "-m", "pastebin", *arguments, f"--config={config}"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(_COMMAND_SECONDS):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def counters(planet: Planet) -> list[Violation]:
    """Views by paste, once what was spooled is in; visits that a killed process had in memory may be missing."""
    history = planet.ledger.history
    slugs = {one.slug: one.key for one in history.of("create") if one.slug}
    killed = [at for at, what in planet.marks if ": kill " in what and what.endswith(_COUNTING)]

    def is_certain(operation: Operation) -> bool:
        near = (operation.invoked - 1.0 < at < operation.ended + _IN_MEMORY_SECONDS for at in killed)
        return "//" not in operation.how and not any(near)

    # a gateway may ask twice for what it was asked once: again when no answer came, or beside an answer that is late
    tries = {key: 3 * asked for key, asked in planet.ledger.asked.items()}
    until = time.monotonic() + _COUNT_SECONDS
    while True:
        views = {slugs[slug]: count for slug, count in (await _views(planet)).items() if slug in slugs}
        found = counted(history, views, is_certain, tries)
        if not found or time.monotonic() > until:
            asked = sum(planet.ledger.asked.values())
            print(f"views: {sum(views.values())} counted, {asked} asked for")
            return found
        await asyncio.sleep(1.0)


async def _views(planet: Planet) -> Mapping[str, int]:
    """What analytics has of each paste."""
    views: dict[str, int] = {}
    url: str | None = (
        f"{planet.lab.sites['analytics'].url('origin')}/api/v1/analytics/top?since=2h&limit=1000&audience=all"
    )
    headers = {"Authorization": f"Bearer {planet.lab.secrets.admin}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        while url is not None:
            async with http.get(url) as response:
                assert response.status == 200, await response.text()
                report = await response.json()
            views |= {row["value"]: row["visits"] for row in report["rows"]}
            url = report["next"]
    return views


@dataclass(frozen=True)
class Sizes:
    """What the nodes of a lab hold; PostgreSQL and the object store keep house by themselves."""

    memory_bytes: Mapping[str, list[int]]  # of the node, and of each process that it has started
    files: Mapping[str, int]

    @classmethod
    def of(cls, planet: Planet) -> Sizes:
        boxes = {name: box for name, box in planet.lab.boxes.items() if box.site.is_node}
        files = {name: psutil.Process(box.pid).num_fds() for name, box in boxes.items()}
        return cls({name: box.memory_of_each() for name, box in boxes.items()}, files)

    def grown_to(self, later: Sizes) -> list[Violation]:
        """What has not come back to what it was after the warm-up: a tenth more, and what caches may fill."""
        found = []
        for name in self.files.keys() & later.files.keys():
            before, after = sum(self.memory_bytes[name]), sum(later.memory_bytes[name])
            if after > before * (1 + _SHARE) + _MORE_BYTES:
                found.append(Violation("memory", name, f"{self.told(name)} before, {later.told(name)} after"))
            if later.files[name] > self.files[name] * (1 + _SHARE) + _MORE_FILES:
                found.append(Violation("files", name, f"{self.files[name]} open before, {later.files[name]} after"))
        return found

    def __str__(self) -> str:
        return ", ".join(f"{name} {self.told(name)} {self.files[name]} files" for name in self.files)

    def told(self, name: str) -> str:
        """The memory of each process of a box."""
        return "+".join(str(one >> 20) for one in self.memory_bytes[name]) + " MiB"
