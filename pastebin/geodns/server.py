"""The role `geodns`: the name server of the service's zone."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import hmac
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
from aiohttp import web

from pastebin.config import Config
from pastebin.errors import ConfigError, ResourceUnavailable
from pastebin.geo import Geo
from pastebin.geodns import datagrams, streams
from pastebin.geodns.answers import Answers
from pastebin.geodns.cookies import Cookies
from pastebin.geodns.limits import Limits
from pastebin.geodns.probes import STATES, Probes
from pastebin.geodns.responding import Facts, Responder, Rules
from pastebin.geodns.zone import Zone, load
from pastebin.http.offer import Offer
from pastebin.http.signing import Answer, SignedRoutes, Verifier
from pastebin.places import parse_address
from pastebin.resources import Resources
from pastebin.steering import Steering

log = logging.getLogger(__name__)

_ATTEMPTS = 20
_CALLS_PER_SECOND = 100.0


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Answer for the zone until the end, with whatever was last known to be right.

    Raises ConfigError for a zone that cannot be served, ResourceUnavailable for an address that cannot be had.
    """
    config, section = resources.config, resources.config.geodns
    zone = await asyncio.to_thread(load, section)
    async with AsyncExitStack() as stack:
        geo = stack.enter_context(Geo.opened(config.geo))
        answering = resources.metrics.dns_answers
        rules = Rules(
            Cookies(hmac.digest(resources.secret, b"dns cookies", hashlib.sha256)[:16]),
            Limits(section.responses_per_second, section.slip),
            config.node.name.encode()[:255],
            section.client_subnet,
            section.tcp_idle_seconds,
        )
        facts = Facts(_answers(config, zone), Steering(config.regions), {})
        counters = {word: answering.labels(word).inc for word in ("sent", "slipped", "dropped", "ignored")}
        responder = Responder(rules, facts, geo.place, lambda word: counters[word]())

        def changed(health: Mapping[str, float]) -> None:
            responder.take(replace(responder.facts, health=health))
            for region, share in health.items():
                resources.metrics.region_up.labels(region).set(1 if share else 0)

        path = Path(config.data_dir) / "geodns-states.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        signer = resources.signer
        opening = Probes.opened(config.regions, section, config.node.name, path, signer, changed)
        probes = await stack.enter_async_context(opening)
        sockets = _bound(config.doors.dns, section.sockets)
        for opened in sockets:
            stack.callback(opened.close)
        await stack.enter_async_context(streams.answering(sockets[0], responder, section))
        await stack.enter_async_context(datagrams.answering(sockets[1:], responder))
        host, port = sockets[0].getsockname()[:2]
        resources.dns_address = (host, port)
        log.info("answering for %s on %s port %d", section.zone, host, port)
        reloading = _reloading(config, geo, responder)
        await stack.enter_async_context(resources.loops.running(probes.run(), name="geodns-probes"))
        await stack.enter_async_context(resources.loops.running(reloading, name="geodns-reload"))
        signed = SignedRoutes(Verifier(resources.secret), resources.metrics, _CALLS_PER_SECOND, resources.strangers)
        yield Offer(internal=[web.get(STATES, signed.only(_states(probes)))])


def _answers(config: Config, zone: Zone) -> Answers:
    addresses = {name: table.addresses for name, table in config.regions.items()}
    return Answers(zone, addresses, config.geodns.ttl_seconds)


def _states(probes: Probes) -> Answer:
    async def states(_request: web.Request, _body: bytes) -> web.Response:
        return web.Response(body=msgspec.json.encode(probes.told()), content_type="application/json")

    return states


def _bound(address: str, datagrams_: int) -> list[socket.socket]:
    """One socket for TCP and the others for UDP, all on the same address. Raises ResourceUnavailable."""
    host, port = parse_address(address)
    if host == "localhost":
        host = "127.0.0.1"
    for attempt in range(_ATTEMPTS):
        opened: list[socket.socket] = []
        try:
            opened.append(datagrams.bound(host, port, socket.SOCK_STREAM))
            real = opened[0].getsockname()[1]
            opened += [datagrams.bound(host, real, socket.SOCK_DGRAM) for _ in range(datagrams_)]
        except OSError as error:
            for each in opened:
                each.close()
            if port or error.errno != errno.EADDRINUSE or attempt == _ATTEMPTS - 1:
                reason = error.strerror or str(error)
                raise ResourceUnavailable(f"doors.dns: cannot listen on {address}: {reason}") from error
            continue  # the free port for TCP is taken for UDP
        return opened
    raise ResourceUnavailable(f"doors.dns: no free port for {address}")


async def _reloading(config: Config, geo: Geo, responder: Responder) -> None:
    """Take up another zone file or another map, at intervals and when SIGHUP says so; never one that is wrong."""
    section = config.geodns
    called = asyncio.Event()
    version = await asyncio.to_thread(_version, section.file)
    with _hangup(called):
        while True:
            try:
                async with asyncio.timeout(section.reload_seconds):
                    await called.wait()
            except TimeoutError:
                pass
            is_called = called.is_set()
            called.clear()
            if await asyncio.to_thread(geo.check):
                responder.forget()
            seen = await asyncio.to_thread(_version, section.file)
            if section.file and (is_called or seen != version):
                version = seen
                await _take_zone(config, responder)


async def _take_zone(config: Config, responder: Responder) -> None:
    try:
        zone = await asyncio.to_thread(load, config.geodns)
    except ConfigError as error:
        log.error("the previous zone stays in use: %s", error)  # noqa: TRY400  (the operator's mistake, not ours)
        return
    responder.take(replace(responder.facts, answers=_answers(config, zone)))
    log.info("zone %s taken up anew", config.geodns.zone)


@contextmanager
def _hangup(called: asyncio.Event) -> Iterator[None]:
    """SIGHUP sets the event while the block lasts, where this process may have signals at all."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGHUP, called.set)
    except (ValueError, RuntimeError, NotImplementedError):  # not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


def _version(path: str) -> tuple[int, int, int] | None:
    if not path:
        return None
    try:
        status = Path(path).expanduser().stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
