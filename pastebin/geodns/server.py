"""The role `geodns`: the name server of the service's zone."""

from __future__ import annotations

import asyncio
import errno
import functools
import hashlib
import hmac
import logging
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from socket import SOCK_DGRAM, SOCK_STREAM

import msgspec
from aiohttp import web

from pastebin.errors import ResourceUnavailable
from pastebin.geo import Geo
from pastebin.geodns import datagrams, powerdns, streams
from pastebin.geodns.cookies import Cookies
from pastebin.geodns.limits import Limits
from pastebin.geodns.probes import STATES, Probes
from pastebin.geodns.reloading import Source, hangup, reloading
from pastebin.geodns.responding import OUTCOMES, Facts, Responder, Rules
from pastebin.geodns.scopes import Scopes
from pastebin.http.offer import Offer
from pastebin.http.signing import Answer, SignedRoutes
from pastebin.metrics import Metrics
from pastebin.places import parse_address
from pastebin.portraits import Names, Part
from pastebin.resources import Resources
from pastebin.steering import Steering

log = logging.getLogger(__name__)

_ATTEMPTS = 20
_CALLS_PER_SECOND = 100.0
_LATELY = 30


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Answer for the zone until the end, with whatever was last known to be right.

    Raises ConfigError for a zone that cannot be served, ResourceUnavailable for an address that cannot be had.
    """
    config, section = resources.config, resources.config.geodns
    source = Source(section, config.regions)
    answers = await asyncio.to_thread(source.load)
    async with AsyncExitStack() as stack:
        called = stack.enter_context(hangup())
        geo = stack.enter_context(Geo.opened(config.geo))
        answering = resources.metrics.dns_answers
        rules = Rules(
            Cookies(hmac.digest(resources.secret, b"dns cookies", hashlib.sha256)[:16]),
            Limits(section.responses_per_second, section.slip),
            config.node.name.encode()[:255],
            section.client_subnet,
            section.tcp_idle_seconds,
        )
        facts = Facts(answers, Steering(config.regions), {})
        scopes = Scopes(geo, facts.steering, lambda: responder.forget())
        counters = {outcome: answering.labels(outcome).inc for outcome in OUTCOMES}
        responder = Responder(rules, facts, scopes.place, lambda outcome, many: counters[outcome](many))

        def changed(health: Mapping[str, float]) -> None:
            responder.take(replace(responder.facts, health=health))
            for region, share in health.items():
                resources.metrics.region_up.labels(region).set(share)

        resources.parts["dns"] = _watched(resources.metrics, responder, config.regions)
        path = Path(config.data_dir) / "geodns-states.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        signer = resources.signer
        opening = Probes.opened(config.regions, section, config.node.name, path, signer, changed)
        probes = await stack.enter_async_context(opening)
        sockets = _given(resources.sockets.get("dns", ())) or _bound(config.doors.dns, section.sockets)
        for opened in sockets:
            stack.callback(opened.close)
        of_kind = {kind: [one for one in sockets if one.type == kind] for kind in (SOCK_STREAM, SOCK_DGRAM)}
        for opened in of_kind[SOCK_STREAM]:
            await stack.enter_async_context(streams.answering(opened, responder, section))
        await stack.enter_async_context(datagrams.answering(of_kind[SOCK_DGRAM], responder))
        host, port = sockets[0].getsockname()[:2]
        resources.dns_address = (host, port)
        log.info("answering for %s on %s port %d", section.zone, host, port)
        await stack.enter_async_context(resources.loops.running(scopes.run(), name="geodns-scopes"))
        await stack.enter_async_context(resources.loops.running(probes.run(), name="geodns-probes"))
        looking = reloading(source, geo, responder, called)
        await stack.enter_async_context(resources.loops.running(looking, name="geodns-reload"))
        signed = SignedRoutes(resources.verifier(), resources.metrics, _CALLS_PER_SECOND, resources.strangers)
        backend = powerdns.Backend(responder, follows_subnets=section.client_subnet)
        yield Offer(
            internal=[web.get(STATES, signed.only(_states(probes))), web.post(powerdns.PATH, backend.answer)],
        )


def _watched(metrics: Metrics, responder: Responder, regions: Iterable[str]) -> Part:
    """What is told of this name server."""
    pace = metrics.paced()
    pace.counts.append(lambda: _answered(metrics))
    paces = {region: metrics.paced(_LATELY) for region in regions}
    for region, one in paces.items():
        one.counts.append(functools.partial(responder.tally, region))

    def names() -> Names:
        return Names(
            {region: "up" if share else "down" for region, share in responder.facts.health.items()},
            pace.per_second,
            {region: responder.tally(region) for region in paces},
            {region: one.per_second for region, one in paces.items()},
        )

    return names


def _answered(metrics: Metrics) -> float:
    """How many answers were sent."""
    samples = (sample for family in metrics.dns_answers.collect() for sample in family.samples)
    return sum(one.value for one in samples if one.name.endswith("_total") and one.labels["outcome"] == "sent")


def _states(probes: Probes) -> Answer:
    async def states(_request: web.Request, _body: bytes) -> web.Response:
        return web.Response(body=msgspec.json.encode(probes.told()), content_type="application/json")

    return states


def _given(sockets: Sequence[socket.socket]) -> list[socket.socket]:
    """Those that the service manager opened. Raises ResourceUnavailable if it forgot one."""
    for kind, word in ((SOCK_STREAM, "TCP"), (SOCK_DGRAM, "UDP")):
        if sockets and not any(one.type == kind for one in sockets):
            raise ResourceUnavailable(f"doors.dns: systemd passed no socket for {word}")
    return list(sockets)


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
