"""The role `cdn-worker`: numbers what has changed and tells every cache of it, sharing the work with other workers."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Set
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace

import aiohttp
import asyncpg

from pastebin.cdn.senders import Delivery, Desk, Heads
from pastebin.cdn.targets import Equipment, Target, kinds
from pastebin.cdn.targets.edge import EdgeTarget, LocalCarrier
from pastebin.errors import PastebinError
from pastebin.http.offer import Offer
from pastebin.portraits import Queue, TargetQueue
from pastebin.resources import Resources
from pastebin.store import cursors as cursor_rows
from pastebin.store.batching import Batcher
from pastebin.store.cursors import Claim, Cursors, assign
from pastebin.store.dead_letters import DeadLetters
from pastebin.store.feed import Feed
from pastebin.store.partitions import Partitions
from pastebin.store.wakeups import Listener

log = logging.getLogger(__name__)

LOCAL = "local:"

_LEAST_PAUSE_SECONDS = 0.02
_UPKEEP_SECONDS = 30.0
_FIGURES_SECONDS = 5.0
_STOP_SECONDS = 3.0
_UNLEASED_BEAT_SECONDS = 5.0
# Nobody else waits for the targets of this process, so their leases may be longer and the database asked less often.
_OWN_LEASES = 3
_DATABASE = (PastebinError, asyncpg.PostgresError)


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Work on the queue of what caches have to be told."""
    async with opened(resources) as worker:
        resources.parts["queue"] = lambda: worker.queue
        listener = Listener(resources.database, ("pastebin_outbox", "pastebin_feed"), worker.wake)
        with resources.database.changes.answered(worker.wake):
            async with (
                resources.loops.running(listener.run(), name="purge-listener"),
                resources.loops.running(worker.run(), name="cdn-worker"),
            ):
                yield Offer()


@asynccontextmanager
async def opened(resources: Resources) -> AsyncIterator[Worker]:
    """A worker with the targets of the configuration, and the edge of this process as soon as there is one."""
    config = resources.config
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client())
        seconds = config.cdn.request_timeout_seconds
        equipment = Equipment(
            client,
            resources.loops,
            seconds,
            config.node.name,
            config.site.url,
            resources.secret,
            config.database.max_lag_seconds if config.database.replicas or config.database.discover else 0.0,
            resources.strangers,
        )
        targets = {}
        for section in config.cdn.targets:
            target = await stack.enter_async_context(kinds.opening(section.kind)(section, equipment))
            targets[section.name] = Aimed(target, soft=section.soft)
        cursors = Cursors(resources.database)
        desk = Desk(
            Feed(resources.database),
            Heads(),
            cursors,
            await stack.enter_async_context(Batcher.running("confirms", cursors.confirm, cursor_rows.BOUNDS)),
            DeadLetters(resources.database),
            resources.purging,
            config.cdn,
            config.edge.lease_seconds / 4 or _UNLEASED_BEAT_SECONDS,
            resources.metrics,
        )
        here: dict[str, Aimed] = {}

        def find() -> dict[str, Aimed]:
            edge = resources.local_edge
            if edge is None:
                return targets
            name = f"{LOCAL}{config.node.name}:{edge.identity}"  # two nodes may have one name, such as that of the host
            if name not in here:
                carrier = LocalCarrier(lambda: resources.local_edge)
                here[name] = Aimed(EdgeTarget(name, carrier, config.node.name))
            return {**targets, name: here[name]}

        partitions = resources.partitions
        yield Worker(config.node.name, find, desk, partitions, lambda: resources.notifier.call("pastebin_feed"))


def _client() -> aiohttp.ClientSession:
    """One for all targets, without a bound of its own: what is slow for one must not be so for others."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, limit_per_host=8, ttl_dns_cache=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
    )


@dataclass(frozen=True)
class Aimed:
    """A target, and whether what is stored there may be served stale while it is fetched again."""

    target: Target
    soft: bool = False


@dataclass(frozen=True)
class Held:
    """A target that this worker has, the task that tells it, and when the lease ends by the clock of the loop."""

    claim: Claim
    task: asyncio.Task[None]
    ends_at: float


class Worker:
    """Takes its share of the targets and tells them. All it knows is in the database, so it may die at any moment.

    `find` yields the targets by name; those that live in this process begin with LOCAL and are nobody else's.
    """

    def __init__(
        self,
        node: str,
        find: Callable[[], dict[str, Aimed]],
        desk: Desk,
        partitions: Partitions,
        call_others: Callable[[], None],
    ) -> None:
        self.name = f"{node}:{secrets.token_hex(4)}"
        self._node = node
        self._find = find
        self._desk = desk
        self._partitions = partitions
        self._call_others = call_others
        self._held: dict[str, Held] = {}
        self._met: set[str] = set()
        self._shown: set[str] = set()
        # as of the last look at it
        self.queue = Queue()

    @property
    def held(self) -> Set[str]:
        """The targets that this worker has."""
        return self._held.keys()

    def wake(self) -> None:
        """There may be something new."""
        self._desk.heads.wanted.set()

    async def run(self) -> None:
        """Work for ever; when cancelled, give everything back, so that nobody has to wait for the leases to end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._number(), name="numbering changes")
                tasks.create_task(self._repeat(self._keep_claims(tasks), self._desk.section.lease_seconds / 3))
                tasks.create_task(self._repeat(self._keep_room, _UPKEEP_SECONDS), name="keeping room for the feed")
                tasks.create_task(self._repeat(self._measure, _FIGURES_SECONDS), name="measuring the queue")
        finally:
            await self._leave()

    async def _number(self) -> None:
        """Give numbers to what is new whenever somebody calls, and now and then without."""
        poll, wanted = self._desk.section.poll_seconds, self._desk.heads.wanted
        while True:
            wanted.clear()
            before = self._desk.heads.latest
            try:
                head = await self._desk.feed.advance()
            except _DATABASE as error:
                log.warning("changes cannot be numbered now: %s", error)
                await asyncio.sleep(poll)
                continue
            self._desk.heads.show(head)
            if before is not None and head.told > before.told:
                self._call_others()
            await asyncio.sleep(_LEAST_PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(poll):
                    await wanted.wait()

    async def _repeat(self, work: Callable[[], Awaitable[None]], pause_seconds: float) -> None:
        while True:
            try:
                await work()
            except _DATABASE as error:
                log.warning("the purge queue cannot be looked after now: %s", error)
            await asyncio.sleep(pause_seconds)

    def _keep_claims(self, tasks: asyncio.TaskGroup) -> Callable[[], Awaitable[None]]:
        async def keep() -> None:
            lease = self._desk.section.lease_seconds
            try:
                # a statement may wait for longer than the claims last
                async with asyncio.timeout(lease):
                    await self._share(tasks)
            except TimeoutError:
                log.warning("the claims on targets cannot be renewed in time")
            finally:
                now = asyncio.get_running_loop().time()
                # others have them by now, or will in a moment
                self._drop({name for name, held in self._held.items() if now > held.ends_at})

        return keep

    async def _share(self, tasks: asyncio.TaskGroup) -> None:
        """Prolong the leases, give back what is another worker's share, take what is ours."""
        cursors = self._desk.cursors
        targets = self._find()
        own = {name for name in targets if name.startswith(LOCAL)}
        shared = targets.keys() - own
        await cursors.register({name: self._node if name in own else "" for name in targets})
        workers = await cursors.appear(self.name, shared, self._desk.section.lease_seconds) if shared else {}
        await self._renew()
        mine = own | {name for name, worker in assign(workers).items() if worker == self.name}
        surplus = self._drop(self._held.keys() - mine)
        if surplus:
            await cursors.release(self.name, surplus)
        free = targets.keys() - self._held.keys()
        left, self._met = own - self._met, self._met | own
        for is_own, names in ((True, free & own), (False, free & shared)):
            lease, began = self._lease_seconds(is_own=is_own), asyncio.get_running_loop().time()
            for claim in await cursors.claim(self.name, names & mine, names - mine, lease, left=left) if names else ():
                aimed = targets[claim.name]
                delivery = Delivery(aimed.target, claim, self._desk, soft=aimed.soft)
                task = tasks.create_task(delivery.run(), name=f"target {claim.name}")
                self._held[claim.name] = Held(claim, task, began + lease)

    async def _renew(self) -> None:
        """Prolong what has less than two thirds left."""
        self._drop({name for name, held in self._held.items() if held.task.done()})
        for is_own in (True, False):
            lease, now = self._lease_seconds(is_own=is_own), asyncio.get_running_loop().time()
            due = {
                name: held
                for name, held in self._held.items()
                if name.startswith(LOCAL) == is_own and held.ends_at < now + lease * 0.7
            }
            if not due:
                continue
            kept = await self._desk.cursors.renew(self.name, [held.claim for held in due.values()], lease)
            self._drop(due.keys() - kept)
            for name in kept:
                self._held[name] = replace(due[name], ends_at=now + lease)

    def _lease_seconds(self, *, is_own: bool) -> float:
        return self._desk.section.lease_seconds * (_OWN_LEASES if is_own else 1)

    def _drop(self, names: Set[str]) -> list[Claim]:
        """Tell these no more."""
        dropped = [self._held.pop(name) for name in names]
        for held in dropped:
            held.task.cancel()
        return [held.claim for held in dropped]

    async def _leave(self) -> None:
        """The tasks have ended already."""
        claims = [held.claim for held in self._held.values()]
        with suppress(TimeoutError, *_DATABASE):  # else the leases end by themselves
            async with asyncio.timeout(_STOP_SECONDS):
                await self._desk.cursors.release(self.name, claims)
                await self._desk.cursors.disappear(self.name)

    async def _keep_room(self) -> None:
        await self._partitions.keep()
        for target, count in (await self._desk.letters.forget()).items():
            log.warning("target %s: %d of what it refuses is given up: too many, or too old", target, count)
            self._desk.metrics.letters_dropped.labels(target).inc(count)
        await self._desk.cursors.forget_gone(self._desk.section.retention_seconds)

    async def _measure(self) -> None:
        """What this worker sees to; what it gave away is shown by somebody else."""
        metrics = self._desk.metrics
        reports = [report for report in await self._desk.cursors.report() if report.name in self._held]
        dead = await self._desk.letters.count()
        for name in self._shown - {report.name for report in reports}:
            for gauge in (metrics.purge_depth, metrics.purge_oldest_age, metrics.dead_letters):
                gauge.remove(name)
        for report in reports:
            metrics.purge_depth.labels(report.name).set(report.depth)
            metrics.purge_oldest_age.labels(report.name).set(report.oldest_seconds or 0.0)
            metrics.dead_letters.labels(report.name).set(dead.get(report.name, 0))
        self._shown = {report.name for report in reports}
        self.queue = _queue(
            {
                one.name: TargetQueue(one.depth, max(one.oldest_seconds or 0.0, 0.0), dead.get(one.name, 0))
                for one in reports
            }
        )


def _queue(targets: dict[str, TargetQueue]) -> Queue:
    queues = targets.values()
    return Queue(
        max((queue.depth for queue in queues), default=0),
        max((queue.oldest_seconds for queue in queues), default=0.0),
        sum(queue.dead_letters for queue in queues),
        targets,
    )
