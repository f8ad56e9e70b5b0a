"""Watching all nodes of the installation: each is asked for its portrait while somebody looks, and only then."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal

import aiohttp
import msgspec

from pastebin.decoding import UNREADABLE
from pastebin.portraits import TOPOLOGY, Portrait
from pastebin.sections_regions import RegionNodeSection, RegionSection

# up: ready; waiting: it answers and is not ready; silent: it does not answer; unknown: nobody can ask, or has yet.
State = Literal["up", "waiting", "silent", "unknown"]

_PAUSE_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_PATIENCE_SECONDS = 1.2
_INTEREST_SECONDS = 10.0
_ANSWER_BYTES = 1024**2
_AT_ONCE = 64

Own = Callable[[], Awaitable[Portrait]]


@dataclass(frozen=True, slots=True)
class Station:
    """A node by the configuration. `internal` is the address of its internal door; empty where it cannot be asked."""

    name: str
    region: str
    roles: tuple[str, ...] = ()
    internal: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of a node. `since` is the time of day when it came into its state, None while that is unknown.

    The portrait of one that is silent is the last it gave.
    """

    station: Station
    state: State = "unknown"
    since: float | None = None
    detail: str = ""
    portrait: Portrait | None = None

    def after(self, found: Portrait | str, now: float, secrets: Collection[str] = ()) -> Sight:
        """What is known next: it has given a portrait, or a reason why there is none.

        `secrets` are the fingerprints of those that it may have; where there are none it is not compared.
        """
        if isinstance(found, str):
            state: State = "silent"
            detail, portrait = found, self.portrait
        else:
            state = "up" if found.ready else "waiting"
            details = [f"{name}: {wrong}" for name, wrong in found.problems.items()]
            if found.secret and secrets and found.secret not in secrets:
                details.insert(0, "it has another node.secret than this node: give every node the same")
            if found.node != self.station.name:
                details.insert(0, f"it calls itself {found.node}")
            detail, portrait = "; ".join(details), found
        since = self.since if state == self.state else now
        if self.state == "unknown" and portrait is not None and state == "up":
            since = portrait.started_at  # for all that is known
        return replace(self, state=state, since=since, detail=detail, portrait=portrait)


@dataclass(frozen=True, slots=True)
class Topology:
    """Everybody, and when that was."""

    at: float
    nodes: list[Sight]


def stations(
    regions: Mapping[str, RegionSection], others: Iterable[RegionNodeSection], name: str, region: str
) -> list[Station]:
    """Everybody in the configuration, and the node `name` itself."""
    found = [
        Station(node.name, region_name, tuple(node.roles), node.internal)
        for region_name, table in regions.items()
        for node in table.nodes
    ]
    found += [Station(node.name, "", tuple(node.roles), node.internal) for node in others]
    if all(station.name != name for station in found):
        found.append(Station(name, region))
    return found


class Watching:
    """Keeps the sights. However many look, every node is asked once a second, and by one who does not wait for others.

    `own` is the portrait of this node, which need not ask itself by the network. `secrets` are the fingerprints of
    those that nodes may have.
    """

    def __init__(
        self,
        watched: Iterable[Station],
        name: str,
        own: Own,
        client: aiohttp.ClientSession,
        secrets: Collection[str] = (),
    ) -> None:
        self._sights = {station.name: Sight(station) for station in watched}
        self._name = name
        self._own = own
        self._client = client
        self._secrets = secrets
        self._asking: set[str] = set()
        self._looked_at = {name: float("-inf") for name in self._sights}
        self._interest_at = float("-inf")
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, watched: Iterable[Station], name: str, own: Own, secrets: Collection[str] = ()
    ) -> AsyncIterator[Watching]:
        """`run` has to run while somebody looks."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_AT_ONCE, ttl_dns_cache=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as client:
            yield cls(watched, name, own, client, secrets)

    async def sights(self) -> list[Sight]:
        """Everybody as of a second or two ago; who looks for the first time waits a moment for the answers."""
        now = asyncio.get_running_loop().time()
        is_stale = now - self._interest_at > 3 * _PAUSE_SECONDS
        self._interest_at = now
        self._wanted.set()
        if is_stale:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    while any(looked_at < now for looked_at in self._looked_at.values()):
                        await self._news.wait()
        return list(self._sights.values())

    async def run(self) -> None:
        """Ask for ever, while somebody is interested."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._wanted.wait()
                if loop.time() - self._interest_at > _INTEREST_SECONDS:
                    self._wanted.clear()
                    continue
                for sight in self._sights.values():
                    if sight.station.name not in self._asking:
                        self._asking.add(sight.station.name)
                        tasks.create_task(self._look(sight.station), name=f"looking at {sight.station.name}")
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _look(self, station: Station) -> None:
        try:
            if station.name == self._name or station.internal:
                found = await self._portrait(station)
                self._sights[station.name] = self._sights[station.name].after(found, time.time(), self._secrets)
        finally:
            self._asking.discard(station.name)
            self._looked_at[station.name] = asyncio.get_running_loop().time()
            self._news.set()
            self._news = asyncio.Event()

    async def _portrait(self, station: Station) -> Portrait | str:
        """The portrait, or why there is none."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if station.name == self._name:
                    return await self._own()
                return await self._fetched(station.internal.rstrip("/"))
        except TimeoutError:
            return f"no answer in {_ANSWER_SECONDS:g} s"
        except UNREADABLE:
            return "it answers with what is no portrait of a node"
        except (aiohttp.ClientError, OSError) as error:
            number = error.errno if isinstance(error, OSError) else None
            return os.strerror(number) if number is not None and number > 0 else type(error).__name__

    async def _fetched(self, url: str) -> Portrait | str:
        async with self._client.get(f"{url}{TOPOLOGY}", allow_redirects=False) as response:
            if response.status != 200:
                return f"it answers with {response.status}"
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > _ANSWER_BYTES:
                    return f"it answers with more than {_ANSWER_BYTES} bytes"
            return msgspec.json.decode(content, type=Portrait)
