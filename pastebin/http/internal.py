"""The internal door: is the loop turning, is the node ready, what are its figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from pastebin.http.app import Routes
from pastebin.metrics import Metrics

Check = Callable[[], Awaitable[str | None]]
Notices = Callable[[], Sequence[str]]

_CACHED_SECONDS = 1.0
_CHECK_SECONDS = 2.0


@dataclass(slots=True)
class Health:
    """The state of the node and the checks of its resources; a check returns None or what is wrong.

    Notices tell what is wrong although the node can do its work; they cost nothing to ask for. `secret` is the
    fingerprint of the secret that the node was given.
    """

    checks: Mapping[str, Check]
    notices: Mapping[str, Notices] = field(default_factory=dict)
    secret: str = ""
    started: bool = False
    draining: bool = False
    _answer: dict[str, str] = field(default_factory=dict)
    _asked: float = float("-inf")

    async def problems(self) -> dict[str, str]:
        """Why the node is not ready; empty if it is. Asked at most once a second, so that probes cost nothing."""
        if not self.started:
            return {"node": "starting"}
        if self.draining:
            return {"node": "draining"}
        if time.monotonic() - self._asked > _CACHED_SECONDS:
            names = list(self.checks)
            results = await asyncio.gather(*(self._ask(self.checks[name]) for name in names))
            self._answer = {name: wrong for name, wrong in zip(names, results, strict=True) if wrong}
            self._asked = time.monotonic()
        return self._answer

    def warnings(self) -> dict[str, list[str]]:
        """What an operator should know of, by resource; empty if all is well."""
        return {name: said for name, notices in self.notices.items() if (said := list(notices()))}

    async def _ask(self, check: Check) -> str | None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return await check()
        except TimeoutError:
            return f"no answer in {_CHECK_SECONDS:g} s"


class InternalHandlers:
    """Health for balancers and service managers, figures for Prometheus."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics

    def routes(self) -> Routes:
        return [
            web.get("/livez", self.live),
            web.get("/readyz", self.ready),
            web.get("/startupz", self.startup),
            web.get("/metrics", self.metrics),
        ]

    async def live(self, _request: web.Request) -> web.Response:
        return _json({"status": "alive"}, 200)

    async def startup(self, _request: web.Request) -> web.Response:
        return _json(
            {"status": "started" if self._health.started else "starting"},
            200 if self._health.started else 503,
        )

    async def ready(self, _request: web.Request) -> web.Response:
        wrong = await self._health.problems()
        self._metrics.ready.set(0 if wrong else 1)
        answer: dict[str, object] = {
            "status": "not ready" if wrong else "ready",
            "problems": wrong,
            "requests_per_second": self._metrics.pace.per_second,
        }
        if self._health.secret:
            answer["secret"] = self._health.secret
        if warnings := self._health.warnings():
            answer["warnings"] = warnings
        return _json(answer, 503 if wrong else 200)

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.expose(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )


def _json(answer: object, status: int) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(answer),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
