"""The composition root: resources, roles, doors, ready, drain, close."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from pastebin import keyring, resources, roles
from pastebin.config import Config
from pastebin.errors import ResourceUnavailable, StartError
from pastebin.http import app, counted
from pastebin.http import door as http_door
from pastebin.http.clients import Clients
from pastebin.http.door import Traffic
from pastebin.http.internal import Health, InternalHandlers
from pastebin.http.middleware import ErrorPage
from pastebin.http.offer import Front, Offer
from pastebin.http.overload import Limit, Load
from pastebin.http.pages import Pages, html_response
from pastebin.http.portraying import Portrayal
from pastebin.http.problems import Document
from pastebin.http.protocol import Connection
from pastebin.http.timeliness import Timeliness
from pastebin.inherited import Sockets
from pastebin.loops import Loops
from pastebin.metrics import Metrics
from pastebin.notify import notify
from pastebin.resources import Resources
from pastebin.services.counting import Counting

log = logging.getLogger(__name__)

Entered = TypeVar("Entered")

_LAG_SECONDS = 1.0


@dataclass(slots=True)
class Stopping:
    """The wish to stop: the first signal asks kindly, the second one does not wait for anybody."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self) -> None:
        if self.asked.is_set():
            self.hurried.set()
        self.asked.set()


@dataclass(frozen=True, slots=True)
class Running:
    """A node that is ready: where its doors really are (a port of 0 has become a real one)."""

    config: Config
    doors: dict[str, tuple[str, int]]

    def url(self, door: str = "origin") -> str:
        host, port = self.doors[door]
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"http://{shown}:{port}"


async def run(
    config: Config,
    *,
    stopping: Stopping,
    on_ready: Callable[[Running], None],
    notify_address: str = "",
    sockets: Sockets = MappingProxyType({}),
) -> None:
    """Run the node until `stopping` is asked. `sockets` are those that are open already, by the door they are for.

    Raises an exception group that holds a StartError if it cannot start, or whatever ended a background loop.
    """
    if HttpRequestParser is HttpRequestParserPy:
        raise StartError(
            "aiohttp lacks its C parser, and the one in Python is open to request smuggling: install a wheel of it"
        )
    metrics = Metrics()
    async with asyncio.TaskGroup() as tasks:
        loops = Loops(tasks)
        open_now: dict[str, None] = {}
        async with _unwinding(config.node.shutdown_seconds, open_now) as stack:
            needs = roles.needs_of(config.node.roles)
            held = await _enter(stack, open_now, "resources", resources.opened(config, needs, metrics, loops))
            held.sockets = sockets
            health = Health(held.checks, held.notices, next(iter(keyring.fingerprints(config)), ""))
            held.portrayal = Portrayal(config.node, health, metrics, held.parts)
            doors = await _open_doors(config, held, health, stopping, stack, open_now)
            await stack.enter_async_context(loops.running(_watch_lag(metrics), name="loop-lag"))
            health.started = True
            notify(notify_address, "READY=1")
            on_ready(Running(config, doors))
            try:
                await stopping.asked.wait()
            finally:
                held.draining.set()
            notify(notify_address, "STOPPING=1")
            health.draining = True
            await _drain(config.node.drain_seconds, stopping)


async def _open_doors(
    config: Config,
    held: Resources,
    health: Health,
    stopping: Stopping,
    stack: AsyncExitStack,
    open_now: dict[str, None],
) -> dict[str, tuple[str, int]]:
    offers: dict[str, list[Offer]] = {
        "internal": [Offer(own.routes()) for own in (InternalHandlers(health, held.metrics), held.portrayal)]
    }
    for name, role in roles.entered(config):
        offer = await _enter(stack, open_now, f"role {name}", role.enter(held))
        if (place := roles.door_of(role, config.edge)) is not None:
            offers.setdefault(place, []).append(offer)
        offers["internal"].append(Offer(offer.internal))
    for door in held.sockets:
        if door not in offers and (door != "dns" or held.dns_address is None):
            raise ResourceUnavailable(f"systemd passed a socket for doors.{door}, which no role of this node has")
    opened: dict[str, tuple[str, int]] = {}
    for door, behind in offers.items():
        front = next((offer.front for offer in behind if offer.front), None)
        building = _Building(door, [route for offer in behind for route in offer.routes], held, health)
        if front is not None:
            own = front.serving(functools.partial(building.application, Traffic(), "local"))
            await _enter(stack, open_now, f"the edge's origin behind door {door}", own)
        traffic = Traffic()
        opening = http_door.opened(
            door,
            building.application(traffic, door, front),
            traffic,
            config.doors,
            shutdown_seconds=config.node.shutdown_seconds,
            hurried=stopping.hurried,
            connection=_connection(door, front, health, held.counting),
            sockets=held.sockets.get(door, ()),
            # health and figures have to be had when the node has enough to do
            load=_load(door, config, held.metrics, is_final=front is None) if door != "internal" else None,
        )
        opened[door] = await _enter(stack, open_now, f"door {door}", opening)
    if held.dns_address is not None:
        opened["dns"] = held.dns_address
    return opened


def _load(door: str, config: Config, metrics: Metrics, *, is_final: bool) -> Load | None:
    if not config.doors.max_delay_seconds:
        return None
    limit = Limit(config.doors.max_delay_seconds)
    metrics.concurrency.labels(door).set_function(lambda: limit.value)
    return Load(limit, lambda kind: metrics.shed.labels(door, kind).inc(), is_final)


def _connection(
    door: str, front: Front | None, health: Health, counting: Counting | None
) -> Callable[..., Connection] | None:
    """What makes the connections of a door. Where no edge stands before it, they count visits."""
    if front is not None:
        return functools.partial(front.connection, lambda: health.draining)
    if door == "origin" and counting is not None:
        return functools.partial(Connection, on_answered=counted.noting(counting))
    return None


@dataclass(frozen=True, slots=True)
class _Building:
    """Makes the application behind a door, once for the door and once more for an edge that stands before it."""

    door: str
    routes: list[web.RouteDef]
    held: Resources
    health: Health

    def application(self, traffic: Traffic, name: str, front: Front | None = None) -> web.Application:
        held, is_internal = self.held, self.door == "internal"
        return app.build(
            name,
            self.routes,
            traffic,
            held.metrics,
            _no_page if is_internal else _error_page(held.pages),
            lambda: self.health.draining,
            None if self.door in ("edge", "gateway") else held.config.limits,
            held.tokens if self.door == "origin" else None,
            front,
            held.config.cdn.dialects if self.door == "origin" and name != "local" and front is None else (),
            None if is_internal else self._timeliness(name),
        )

    def _timeliness(self, name: str) -> Timeliness:
        """Who says how long he waits: a proxy that is trusted, or the edge of this process."""
        doors = self.held.config.doors
        is_trusted = Clients(doors.trusted_proxies).is_trusted if name != "local" else lambda _address: True
        return Timeliness(is_trusted, doors.max_timeout_seconds)


@asynccontextmanager
async def _unwinding(seconds: float, open_now: dict[str, None]) -> AsyncIterator[AsyncExitStack]:
    """Close everything in reverse; after `seconds` say who is late, and stop waiting for them."""
    async with AsyncExitStack() as stack:
        try:
            yield stack
        finally:
            inner = stack.pop_all()
            try:
                async with asyncio.timeout(seconds):
                    await inner.aclose()
            except TimeoutError:
                late = ", ".join(open_now) or "nothing"
                log.error("not closed after %g s: %s", seconds, late)  # noqa: TRY400  (the trace would be of this line)


async def _enter(
    stack: AsyncExitStack, open_now: dict[str, None], name: str, context: AbstractAsyncContextManager[Entered]
) -> Entered:
    """Enter a context and keep its name for as long as it is open."""
    stack.callback(open_now.pop, name, None)
    entered = await stack.enter_async_context(context)
    open_now[name] = None
    return entered


async def _drain(seconds: float, stopping: Stopping) -> None:
    """Not ready, still accepting: balancers get the time to notice."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.hurried.wait()
    except TimeoutError:
        pass


async def _watch_lag(metrics: Metrics) -> None:
    while True:
        due = time.monotonic() + _LAG_SECONDS
        await asyncio.sleep(_LAG_SECONDS)
        now = time.monotonic()
        metrics.loop_lag.set(max(now - due, 0.0))
        metrics.look(now)


def _error_page(pages: Pages) -> ErrorPage:
    def page(document: Document) -> web.Response:
        text = pages.render(
            "error.html",
            status=document.status,
            title=document.title,
            detail=document.detail,
            problems=document.errors,
            request_id=document.request_id,
        )
        return html_response(text, document.status)

    return page


def _no_page(document: Document) -> web.Response:
    return web.Response(status=document.status, body=document.as_json(), content_type="application/problem+json")


@asynccontextmanager
async def signalled() -> AsyncIterator[Stopping]:
    """A `Stopping` that SIGTERM and SIGINT ask, while the block lasts."""
    loop = asyncio.get_running_loop()
    stopping = Stopping()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stopping.ask)
    try:
        yield stopping
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
