"""The role `analytics`: events in, statistics out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pastebin import embedded
from pastebin.analytics.ingest import Ingest
from pastebin.analytics.keeping import Keeping
from pastebin.analytics.showing import showing
from pastebin.errors import ResourceUnavailable
from pastebin.http.offer import Offer
from pastebin.http.signing import SignedRoutes
from pastebin.metrics import Metrics
from pastebin.portraits import Counts
from pastebin.resources import Resources
from pastebin.visits import STATISTICS


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Take events from every node, and answer questions about them.

    Without its database a node that does nothing else does not start, and is not ready; any other goes on serving,
    says so in the notices of /readyz, and tries again.
    """
    config, section = resources.config, resources.config.analytics
    is_alone = config.node.roles == ["analytics"]
    async with AsyncExitStack() as stack:
        keeping = Keeping(section, await _primary(resources, stack), resources.metrics)
        stack.push_async_callback(keeping.close)
        try:
            await keeping.open()
        except ResourceUnavailable:
            if is_alone:
                raise
        if is_alone:
            resources.checks["analytics"] = keeping.check
        resources.notices["analytics"] = keeping.notices
        ingest = Ingest(keeping, section, resources.metrics)
        pace = resources.metrics.paced()
        pace.counts.append(lambda: _events(resources.metrics))
        resources.parts["analytics"] = lambda: Counts(pace.per_second, not keeping.trouble)
        shown = await stack.enter_async_context(showing(resources, keeping))
        ingest.more[STATISTICS], ingest.heard = shown.stats.answer, shown.live.taken
        running = resources.loops.running(keeping.run(ingest.forget_salts), name="analytics-rolling")
        await stack.enter_async_context(running)
        verifier = resources.verifier(config.edge.clock_skew_seconds)
        # batches are counted out where those of this process are, too
        signed = SignedRoutes(verifier, resources.metrics, 10 * section.batches_per_second, resources.strangers)
        resources.local_analytics = ingest
        try:
            yield Offer(shown.routes, internal=ingest.routes(signed))
        finally:
            resources.local_analytics = None


def _events(metrics: Metrics) -> float:
    """How many were kept."""
    samples = (sample for family in metrics.analytics_events.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


async def _primary(resources: Resources, stack: AsyncExitStack) -> str:
    """Where the database is beside which that of analytics may be; a node of its own starts a server for it."""
    config = resources.config
    if resources.dsn or config.analytics.database:
        return resources.dsn
    if not config.uses_embedded:
        return config.database.primary.reveal()
    server = await stack.enter_async_context(embedded.primary(config.embedded, config.data_dir))
    await stack.enter_async_context(resources.loops.running(server.watch(), name="embedded-postgres"))
    return server.dsn
