"""Whether regions are well: asked from here, damped, and compared with what other name servers find."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import orjson

from pastebin.damping import Damping, State
from pastebin.decoding import UNREADABLE
from pastebin.geodns.votes import Told, Votes
from pastebin.http.signing import Signer
from pastebin.sections_regions import GeodnsSection, RegionSection
from pastebin.shedding import Share, Shedding, told

log = logging.getLogger(__name__)

STATES = "/internal/geodns/states"

_ANSWER_BYTES = 64 * 1024
# Of an interval of probes: what regions are found is compared so often, and what was heard is good for so long. With
# the defaults a region that goes silent is out of the answers of all within 3 * 5 + 2 + 5 / 4 seconds.
HEARING_INTERVALS, _FRESH_INTERVALS = 0.25, 2.0


class Probes:
    """Asks, and says what came of it. `changed` is called with the health of the regions whenever that is another."""

    def __init__(
        self,
        tables: Mapping[str, RegionSection],
        section: GeodnsSection,
        name: str,
        path: Path,
        signer: Signer,
        client: aiohttp.ClientSession,
        changed: Callable[[Mapping[str, float]], None],
    ) -> None:
        self._tables = tables
        self._section = section
        self._name = name
        self._path = path
        self._signer = signer
        self._client = client
        self._changed = changed
        self._damping = Damping(section.down, section.up)
        self._states = {region: State() for region in tables}
        self._shedding = Shedding(section.ttl_seconds)
        self._shares = dict.fromkeys(tables, Share())
        self._peers = [url.rstrip("/") for url in section.peers]
        self._votes = Votes(name, self._peers, _FRESH_INTERVALS * section.probe_interval_seconds)
        self._verdicts = dict.fromkeys(tables, True)
        self._told: Mapping[str, float] = {}

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        tables: Mapping[str, RegionSection],
        section: GeodnsSection,
        name: str,
        path: Path,
        signer: Signer,
        changed: Callable[[Mapping[str, float]], None],
    ) -> AsyncIterator[Probes]:
        """Begin with what was known at the end of the last run, which is in `path`; without it all is up."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64, ttl_dns_cache=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=section.probe_timeout_seconds),
        ) as client:
            probes = cls(tables, section, name, path, signer, client, changed)
            probes._recall()
            probes._settle()
            yield probes

    @property
    def health(self) -> dict[str, float]:
        """The share of its clients that each region takes: 0 for one that is down."""
        return {region: self._shares[region].part if self._verdicts[region] else 0.0 for region in self._tables}

    def take(self, tables: Mapping[str, RegionSection]) -> None:
        """From now on these are the regions; what is known of those that stay stays known."""
        self._tables = tables
        self._states = {region: self._states.get(region, State()) for region in tables}
        self._shares = {region: self._shares.get(region, Share()) for region in tables}
        self._verdicts = {region: self._verdicts.get(region, True) for region in tables}
        for region, table in tables.items():
            if not table.probe:
                self._states[region], self._shares[region] = State(), Share()
        self._settle()

    def told(self) -> Told:
        """What this name server finds by itself."""
        return Told(self._name, {region: state.is_up for region, state in self._states.items()})

    async def run(self) -> None:
        """Probe for ever, and hear the others more often than that."""
        interval = self._section.probe_interval_seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_every(interval, self.look))
            tasks.create_task(_every(interval * HEARING_INTERVALS, self.hear))

    async def look(self) -> None:
        """One round of probes."""
        async with asyncio.TaskGroup() as tasks:
            for region, table in self._tables.items():
                if table.probe:
                    tasks.create_task(self._probe(region, table))

    async def hear(self) -> None:
        """One round of questions to the others."""
        async with asyncio.TaskGroup() as tasks:
            for url in self._peers:
                tasks.create_task(self._hear(url))
        self._settle()  # who is not heard any more has no vote

    async def _probe(self, region: str, table: RegionSection) -> None:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._load(url)) for url in table.probe]
        loads = [task.result() for task in asked]
        if self._tables.get(region) is not table:
            return
        well = [load for load in loads if load is not None]
        self._states[region] = self._damping.after(self._states[region], is_well=bool(well))
        if well:
            now = time.monotonic()
            self._shares[region] = self._shedding.after(self._shares[region], sum(well), table.capacity, now)
        self._settle()

    async def _load(self, url: str) -> float | None:
        """The requests/s that an address speaks of, 0 if of none; None for one that is not well."""
        try:
            async with self._client.get(url, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    return None
                body = await response.content.read(_ANSWER_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None
        return told(body).requests_per_second

    async def _hear(self, url: str) -> None:
        """What another name server finds; silence is nothing found."""
        try:
            headers = self._signer.headers("GET", STATES, b"")
            async with self._client.get(url + STATES, headers=headers, allow_redirects=False) as response:
                body = await response.content.read(_ANSWER_BYTES)
                self._signer.heard(f"the name server at {url}", response.status, body)
                if response.status != 200:
                    return
                told = msgspec.json.decode(body, type=Told)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, *UNREADABLE):
            return
        self._votes.hear(url, told, time.monotonic())
        self._settle()

    def _settle(self) -> None:
        """Tell of a change, and keep it for the next start."""
        now, before = time.monotonic(), self._verdicts
        self._verdicts = {
            region: self._votes.verdict(region, own=state.is_up, before=before[region], now=now)
            for region, state in self._states.items()
        }
        for region, is_up in self._verdicts.items():
            if is_up != before[region]:
                log.warning("region %s is %s", region, "up" if is_up else "down")
        if self._verdicts != before:
            self._keep()
        if (health := self.health) != self._told:
            self._told = health
            self._changed(health)

    def _keep(self) -> None:
        content = self._verdicts
        unfinished = self._path.with_suffix(".new")
        try:
            unfinished.write_bytes(orjson.dumps(content))
            os.replace(unfinished, self._path)  # noqa: PTH105  (the same, and it says so)
        except OSError as error:
            log.warning("the state of the regions cannot be kept in %s: %s", self._path, error.strerror)

    def _recall(self) -> None:
        try:
            content: Any = orjson.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return
        for region, is_up in content.items() if isinstance(content, dict) else ():
            if self._tables.get(region, RegionSection()).probe and isinstance(is_up, bool):
                self._states[region], self._verdicts[region] = State(is_up), is_up


async def _every(seconds: float, look: Callable[[], Awaitable[None]]) -> None:
    while True:
        due = time.monotonic() + seconds
        await look()
        await asyncio.sleep(max(due - time.monotonic(), 0.05))
