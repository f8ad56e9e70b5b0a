"""The internal door's `/topology`: the node in its own words, for pages that show all nodes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import msgspec
from aiohttp import web

from pastebin import __version__
from pastebin.http.app import Routes
from pastebin.http.internal import Health
from pastebin.metrics import Metrics
from pastebin.portraits import TOPOLOGY, Part, Portrait
from pastebin.sections import NodeSection

_CACHED_SECONDS = 0.5
# Whoever asks has to hear of the node also while something that it needs hangs.
_CHECKS_SECONDS = 1.2


class Portrayal:
    """Puts together what the roles tell. `parts` are by the names that `Portrait` has for them."""

    def __init__(self, node: NodeSection, health: Health, metrics: Metrics, parts: Mapping[str, Part]) -> None:
        self._node = node
        self._health = health
        self._metrics = metrics
        self._parts = parts
        self._started_at = time.time()
        self._made: Portrait | None = None
        self._made_at = float("-inf")

    def routes(self) -> Routes:
        return [web.get(TOPOLOGY, self.show)]

    async def show(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=msgspec.json.encode(await self.portrait()),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def portrait(self) -> Portrait:
        """As of now, or of half a second ago at most."""
        if self._made is None or time.monotonic() - self._made_at > _CACHED_SECONDS:
            problems = await self._problems()
            self._made = Portrait(
                node=self._node.name,
                region=self._node.region,
                roles=list(self._node.roles),
                version=__version__,
                started_at=self._started_at,
                ready=not problems,
                secret=self._health.secret,
                problems={name: wrong[:1024] for name, wrong in problems.items()},
                requests_per_second=self._metrics.pace.per_second,
                **{name: part() for name, part in self._parts.items()},
            )
            self._made_at = time.monotonic()
        return self._made

    async def _problems(self) -> Mapping[str, str]:
        try:
            async with asyncio.timeout(_CHECKS_SECONDS):
                return await self._health.problems()
        except TimeoutError:
            return {"node": f"its checks take longer than {_CHECKS_SECONDS:g} s"}
