"""Whether regions are well: asked from here, damped, and compared with what other name servers find."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import orjson

from pastebin.damping import Damping, State, agreed
from pastebin.http.signing import Signer
from pastebin.sections import GeodnsSection, RegionSection

log = logging.getLogger(__name__)

STATES = "/internal/geodns/states"

_ANSWER_BYTES = 64 * 1024
_FRESH_INTERVALS = 4  # what another one said is worth something for so long
_LOWEST_SHARE = 0.01


class Told(msgspec.Struct, frozen=True):
    """What one name server says of the regions: whether it finds them up."""

    node: str
    regions: dict[str, bool]


class Load(msgspec.Struct, frozen=True):
    """What a probed address may say of its region, as JSON, beside that it is well."""

    requests_per_second: float = 0.0


def share_after(share: float, load: float, capacity: float) -> float:
    """The share of its clients that a region gets next, after so many requests/s came with the present share.

    It goes half of the way to where the load would be the capacity, so that it does not swing.
    """
    if not capacity or load <= 0:
        return 1.0 if not capacity else min(1.0, share * 2)
    wanted = min(max(share * capacity / load, _LOWEST_SHARE), 1.0)
    following = (share + wanted) / 2
    return 1.0 if following > 0.99 else following


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
        self._shares = dict.fromkeys(tables, 1.0)
        self._others: dict[str, tuple[float, Told]] = {}
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
        return {
            region: self._shares[region] if agreed(self._states[region].is_up, self._votes(region)) else 0.0
            for region in self._tables
        }

    def told(self) -> Told:
        """What this name server finds by itself."""
        return Told(self._name, {region: state.is_up for region, state in self._states.items()})

    async def run(self) -> None:
        """Probe for ever."""
        while True:
            due = time.monotonic() + self._section.probe_interval_seconds
            await self.look()
            await asyncio.sleep(max(due - time.monotonic(), 0.05))

    async def look(self) -> None:
        """One round of probes and questions to the others."""
        async with asyncio.TaskGroup() as tasks:
            for region, table in self._tables.items():
                if table.probe:
                    tasks.create_task(self._probe(region, table))
            for url in self._section.peers:
                tasks.create_task(self._hear(url.rstrip("/")))
        self._settle()

    async def _probe(self, region: str, table: RegionSection) -> None:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._load(url)) for url in table.probe]
        loads = [task.result() for task in asked]
        well = [load for load in loads if load is not None]
        self._states[region] = self._damping.after(self._states[region], is_well=bool(well))
        if well:
            self._shares[region] = share_after(self._shares[region], sum(well), table.capacity)

    async def _load(self, url: str) -> float | None:
        """The requests/s that an address speaks of, 0 if of none; None for one that is not well."""
        try:
            async with self._client.get(url, allow_redirects=False) as response:
                if not 200 <= response.status < 300:
                    return None
                body = await response.content.read(_ANSWER_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None
        try:
            load = msgspec.json.decode(body, type=Load).requests_per_second
        except msgspec.DecodeError:
            return 0.0
        return load if 0 <= load < 1e12 else 0.0

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
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return
        if told.node != self._name:  # oneself by another address is no second opinion
            self._others[url] = (time.monotonic(), told)

    def _votes(self, region: str) -> list[bool]:
        oldest = time.monotonic() - _FRESH_INTERVALS * self._section.probe_interval_seconds
        return [told.regions[region] for at, told in self._others.values() if at > oldest and region in told.regions]

    def _settle(self) -> None:
        """Tell of a change, and keep it for the next start."""
        health = self.health
        if health == self._told:
            return
        for region in health:
            if self._told and (health[region] > 0) != (self._told[region] > 0):
                log.warning("region %s is %s", region, "up" if health[region] else "down")
        self._told = health
        self._changed(health)
        self._keep()

    def _keep(self) -> None:
        content = {region: state.is_up for region, state in self._states.items()}
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
                self._states[region] = State(is_up)
