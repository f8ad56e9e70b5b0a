"""The role `edge`: a cache before the node's own application, or before upstreams elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from aiohttp import web

from pastebin.cdn import intents
from pastebin.cdn.answers import Edge
from pastebin.cdn.cache import Cache
from pastebin.cdn.errands import Errands
from pastebin.cdn.feed import Feed
from pastebin.cdn.fetching import Fetching
from pastebin.cdn.figures import Figures
from pastebin.cdn.generations import Generations
from pastebin.cdn.hits import noting
from pastebin.cdn.local import LocalOrigin
from pastebin.cdn.obtaining import Obtaining
from pastebin.cdn.origins import Origins
from pastebin.cdn.prepared import Prepared
from pastebin.cdn.queries import Queries
from pastebin.cdn.readers import WithReaders
from pastebin.cdn.shortcut import EdgeConnection, Shortcut
from pastebin.config import Config
from pastebin.http import counted
from pastebin.http.clients import Clients
from pastebin.http.counted import ANALYTICS, Sink
from pastebin.http.middleware import Observer
from pastebin.http.offer import Offer
from pastebin.http.passing import Passing
from pastebin.http.protocol import Connection
from pastebin.http.signing import SignedRoutes
from pastebin.http.upstreams import RemoteOrigin
from pastebin.metrics import Metrics
from pastebin.resources import Resources

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

_ERRANDS = 256
_MINUTE = 60
# What is for caches that are purged, of which this is the last one before the client.
_FOR_CACHES = frozenset({"surrogate-key", "surrogate-control"})


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Answer from the cache what may be, and fetch the rest."""
    config = resources.config
    section = config.edge
    async with AsyncExitStack() as stack:
        figures = Figures(resources.metrics.registry)
        generations = Generations(section.tombstone_seconds)
        cache = await stack.enter_async_context(Cache.opened(section, config.edge_directory, generations, figures))
        errands = await stack.enter_async_context(Errands.running(_ERRANDS))
        local = LocalOrigin() if section.origin == "local" else None
        origins = _origins(resources, local)
        stack.callback(origins.close)
        feed, is_counting = _feed(resources, cache, generations), resources.counting is not None
        fetching = Fetching(
            section,
            origins,
            cache,
            generations,
            feed,
            resources.tokens,
            errands,
            figures,
            is_local=local is not None,
            is_counting=is_counting,
            strangers=resources.strangers,
        )
        queries = Queries(section.query, is_local=local is not None)
        obtaining = Obtaining(section, cache, generations, feed, fetching, errands, queries)
        feed.drop, feed.warm = obtaining.drop, obtaining.warm
        idle, silent = config.doors.body_idle_seconds, section.response_timeout_seconds
        passing = Passing(origins, idle, silent, is_counting=is_counting)
        edge = Edge(
            cache,
            generations,
            feed,
            resources.tokens,
            obtaining,
            passing,
            figures,
            is_local=local is not None,
            is_fed=section.lease_seconds > 0,
            bypass_cookies=frozenset(section.bypass_cookies),
            queries=queries,
            idle_seconds=idle,
            hidden=_FOR_CACHES,
            hosts=frozenset(map(intents.host_in_keys, section.hosts)),
        )
        prepared = Prepared(cache, feed, _FOR_CACHES | {ANALYTICS.lower()})
        resources.parts["hit_ratio"] = _watched(resources.metrics, figures, prepared)
        routes = [] if local else [web.route("*", "/{path:.*}", edge.forward)]
        verifier = resources.verifier(section.clock_skew_seconds)
        signed = SignedRoutes(verifier, resources.metrics, section.purges_per_second, resources.strangers)
        resources.local_edge = feed
        try:
            yield Offer(
                routes, feed.routes(signed), EdgeFront(edge, Shortcut(prepared), local, config, resources.counting)
            )
        finally:
            resources.local_edge = None


def _watched(metrics: Metrics, figures: Figures, prepared: Prepared) -> Callable[[], float | None]:
    """Have the hits that are answered before the full road counted; how many of the answers of a minute were hits."""
    figures.watch_shortcut(prepared.figures)
    metrics.pace.counts.append(lambda: sum(prepared.figures().values()))
    hits, misses = metrics.paced(_MINUTE), metrics.paced(_MINUTE)
    hits.counts += [lambda: sum(prepared.figures().values()), lambda: figures.answered("hit", "stale")]
    misses.counts.append(lambda: figures.answered("miss"))

    def ratio() -> float | None:
        answers = hits.grown + misses.grown
        return round(hits.grown / answers, 4) if answers else None

    return ratio


def _feed(resources: Resources, cache: Cache, generations: Generations) -> Feed:
    """The feed of purges, from where the last process left it."""
    state = cache.feed_state()
    return Feed(
        cache,
        generations,
        resources.metrics,
        lease_seconds=resources.config.edge.lease_seconds,
        noted=None if state is None else (state.epoch, state.sequence),
        identity=cache.identity,
    )


class EdgeFront:
    """What the edge puts before the application of its door."""

    def __init__(
        self, edge: Edge, shortcut: Shortcut, local: LocalOrigin | None, config: Config, sink: Sink | None
    ) -> None:
        self.middleware: Middleware = edge.middleware()
        self.sign = edge.sign
        self.changed = edge.changed
        self.takes = edge.takes
        self._shortcut = shortcut
        self._local = local
        self._config = config
        self._on_answered = None
        if sink is not None:
            shortcut.on_visit = noting(sink, shortcut.prepared, Clients(config.doors.trusted_proxies))
            self._on_answered = counted.noting(sink)

    def watch(self, observer: Observer) -> None:
        """Hits have figures of their own."""

    def connection(self, is_draining: Callable[[], bool], manager: web.Server, **options: Any) -> Connection:
        self._shortcut.prepared.is_draining = is_draining
        return EdgeConnection(manager, shortcut=self._shortcut, on_answered=self._on_answered, **options)

    def serving(self, build: Callable[[], web.Application]) -> AbstractAsyncContextManager[None]:
        if self._local is None:
            return nullcontext()
        return self._local.serving(build(), self._config.doors, self._config.node.shutdown_seconds)


def _origins(resources: Resources, local: LocalOrigin | None) -> Origins | WithReaders:
    """Where this edge fetches; what changes something, and what readers answer, may have origins of its own."""
    section, metrics = resources.config.edge, resources.metrics
    if local is not None:
        return Origins([local], section, is_limited=False, metrics=metrics)

    def remote(urls: Iterable[str], writers: Origins | None = None) -> Origins:
        return Origins([*map(RemoteOrigin, urls)], section, is_limited=True, metrics=metrics, writers=writers)

    pages = remote(
        [section.origin] if isinstance(section.origin, str) else section.origin,
        remote(section.write_origin) if section.write_origin else None,
    )
    return WithReaders(pages, remote(section.read_origin)) if section.read_origin else pages
