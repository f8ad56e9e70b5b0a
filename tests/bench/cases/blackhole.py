"""Hits while analytics accepts everything and never answers, against the same node while it answers."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from pastebin.analytics.engines import Filter, Span
from pastebin.analytics.engines.postgres import PostgresEngine
from pastebin.sections import AnalyticsSection
from pastebin.store import schema
from tests.bench import http_load
from tests.bench.cases import edge_raw
from tests.bench.harness import Case, Contest, WrongAnswer, as_client, durable_postgres, pin_server
from tests.bench.http_load import Request
from tests.scenarios.holes import Divided, divided

CONNECTIONS = 16
PASTES = 200
_WARM_SECONDS = 60.0
_ARRIVAL_SECONDS = 120.0
_NOTED = re.compile(r"^pastebin_visits_noted_total ([0-9.e+]+)$", re.MULTILINE)
_DROPPED = "pastebin_visits_dropped_total{"


class Readings:
    """Both sides read the same pastes of the same node; what is told is how many 99th percentiles fit in a second."""

    def __init__(self, nodes: Divided, engine: PostgresEngine, http: aiohttp.ClientSession) -> None:
        self._nodes = nodes
        self._engine = engine
        self._http = http
        self._requests: list[Request] = []
        self._began = datetime.now(UTC).replace(second=0, microsecond=0)

    async def publish(self) -> None:
        """Make the pastes and read them until they come from memory. Raises WrongAnswer."""
        node = self._nodes.node
        until = time.perf_counter() + _WARM_SECONDS
        for number in range(PASTES):
            content = edge_raw.content(number)
            async with self._http.post(f"{node.url}/api/v1/pastes", data=content) as response:
                path = f"/raw/{(await response.json())['slug']}"
            cached = ""
            while "; hit" not in cached:
                async with self._http.get(f"{node.url}{path}") as response:
                    cached = response.headers.get("Cache-Status", "")
                if time.perf_counter() > until:
                    raise WrongAnswer(f"{path} is not cached: {cached}")
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\nUser-Agent: bench\r\n\r\n"
            self._requests.append((head.encode(), lambda status, body, right=content: status == 200 and body == right))

    async def ours(self, seconds: float) -> float:
        self._nodes.proxy.black_hole()
        try:
            return await self.reference(seconds)
        finally:
            await self._nodes.proxy.restore()
            await self.arrived()

    async def reference(self, seconds: float) -> float:
        order = itertools.cycle(random.sample(self._requests, len(self._requests)))
        async with as_client():
            tally = await http_load.drive(
                "127.0.0.1", self._nodes.node.port, lambda: next(order), connections=CONNECTIONS, seconds=seconds
            )
        latencies = sorted(tally.latencies)
        return 1 / latencies[len(latencies) * 99 // 100]

    async def arrived(self) -> None:
        """Wait until analytics has what the node has noted, no more and no less. Raises WrongAnswer."""
        until = time.perf_counter() + _ARRIVAL_SECONDS
        while (counts := await self._counts())[0] != counts[1]:
            if time.perf_counter() > until:
                raise WrongAnswer(f"{counts[0]} visits were noted, {counts[1]} have arrived")
            await asyncio.sleep(0.5)

    async def _counts(self) -> tuple[int, int]:
        async with self._http.get(f"{self._nodes.node.internal}/metrics") as response:
            text = await response.text()
        noted = _NOTED.search(text)
        if noted is None or _DROPPED in text:
            raise WrongAnswer("visits were dropped, or none was noted")
        span = Span(self._began, self._began + timedelta(days=1))
        return int(float(noted[1])), (await self._engine.totals(span, Filter(audience="all"))).visits


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    async with durable_postgres(directory) as server:
        await schema.migrate(server.dsn)
        async with server.connected() as connection:
            await connection.execute("create database hole")
        dsn = server.dsn_for("hole")
        async with (
            divided(directory, server.dsn, dsn) as nodes,
            PostgresEngine.opened(AnalyticsSection(), dsn) as engine,
            aiohttp.ClientSession() as http,
        ):
            readings = Readings(nodes, engine, http)
            await readings.publish()
            pin_server(nodes.node.pid)
            yield Contest(readings.ours, readings.reference, readings.arrived)


CASE = Case(
    name="blackhole",
    unit="p99 answers in a row/s",
    ours=f"GET /raw/... of {PASTES} pastes, {CONNECTIONS} connections, analytics swallows everything (--seconds=60)",
    reference="the same node while analytics answers",
    goal=0.9,
    prepared=prepared,
)
