"""The way of one request to a node: which one, whether to another one after it, and whether to two at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import random
from typing import NamedTuple

from pastebin import deadlines, retrying
from pastebin.errors import PastebinError, UpstreamTimeout, UpstreamUnavailable
from pastebin.gateway.figures import Again, Figures
from pastebin.gateway.fleet import Fleet
from pastebin.gateway.grammar import WHOLE_BYTES
from pastebin.gateway.members import Member
from pastebin.gateway.wants import Want
from pastebin.hedging import Latencies
from pastebin.http import problems
from pastebin.http.consistency import MIN_LSN_HEADER, Tokens
from pastebin.http.exchanges import Ask, Exchange, Reply
from pastebin.http.forwarding import TIMEOUT
from pastebin.http.upstreams import IDLE_UNSAFE_SECONDS
from pastebin.positions import BEYOND
from pastebin.retrying import RETRY_RESERVE, Budget
from pastebin.sections_regions import GatewaySection

_RESERVED_HEDGES = 10.0
# Answers that another node might give better.
_REFUSALS = (502, 503, 504)


@dataclass(slots=True)
class Means:
    """What all requests share."""

    section: GatewaySection
    fleet: Fleet
    figures: Figures
    tokens: Tokens
    retries: Budget = field(init=False)
    hedges: Budget = field(init=False)
    latencies: dict[str, Latencies] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.retries = Budget(self.section.retry_share, RETRY_RESERVE)
        self.hedges = Budget(self.section.hedge_share, _RESERVED_HEDGES)

    def observe(self, region: str, seconds: float) -> None:
        """A read was answered there after so many seconds."""
        latencies = self.latencies.get(region)
        if latencies is None:
            latencies = self.latencies[region] = Latencies()
        latencies.observe(seconds)


class Begun(NamedTuple):
    """A request that is at a node already, and when it was sent there."""

    member: Member
    reply: Reply
    at: float


class Route:
    """The nodes that one request is sent to; `end` it when its answer was passed back or will not be.

    Times are those of `time.monotonic`, for loops know them only to a millisecond.
    """

    now = staticmethod(time.monotonic)

    def __init__(self, means: Means, want: Want, address: str) -> None:
        self._means = means
        self._want = want
        self._address = address
        self._regions: Sequence[str] = means.fleet.regions(want, address)
        self._tried: list[Member] = []
        self._held: list[Member] = []
        self._sent: tuple[Member, float] | None = None  # what was not to be repeated
        self._begun: Begun | None = None
        self._has_hopped = False
        self._due = self.now() + deadlines.within(means.section.deadline_seconds)

    async def fetch(self, ask: Ask) -> Reply:
        """See `passing.Through`. Raises BadUpstream, UpstreamUnavailable, UpstreamTimeout."""
        if self._begun is None:
            self._means.retries.note()
        try:
            async with asyncio.timeout(max(self._due - self.now(), 0.0)):
                return await self._fetch(ask)
        except TimeoutError:
            raise UpstreamTimeout from None

    async def begin(self, ask: Ask) -> tuple[Exchange, Reply]:
        """See `passing.Through`. Where nothing was sent, another node is asked."""
        self._means.retries.note()
        ask.headers.pop(TIMEOUT, None)  # a body may take as long as it takes
        while True:
            member = self._choose()
            started = self.now()
            self._hold(member, started)
            try:
                exchange, reply = await member.upstream.begin(ask, idle_seconds=IDLE_UNSAFE_SECONDS)
            except PastebinError:
                member.failed(self.now())
                if not await self._may_retry("unsent"):
                    raise
            except BaseException:
                member.given_up()
                raise
            else:
                self._sent = member, started
                reply.seconds = self._means.section.deadline_seconds
                return exchange, reply

    def headed(self, status: int) -> None:
        """The answer to what was sent once has begun."""
        if self._sent is not None:
            (member, started), self._sent = self._sent, None
            self._judge(member, status, started)

    def end(self, *, is_their_fault: bool) -> None:
        """Let go of every node; the one that what was sent once is still at has failed, or is not judged."""
        if self._sent is not None:
            member, self._sent = self._sent[0], None
            if is_their_fault:
                member.failed(self.now())
            else:
                member.given_up()
        if self._held:
            last = self._held[-1]
            self._means.figures.answered(last.region, last.name)
        while self._held:
            self._held.pop().ended()

    def start(self) -> tuple[Member, Exchange] | None:
        """The first node, and a connection to it that is free at once; None where there is no such.

        Nor where the node is to be told more than what was asked.
        """
        member = self._other()
        if member is None or self._means.fleet.passes_by_edge(member, self._want):
            return None
        exchange = member.upstream.take()
        if exchange is None:
            return None
        self._means.retries.note()
        self._means.hedges.note()
        self._hold(member, self.now())
        return member, exchange

    def resume(self, begun: Begun) -> None:
        """What was sent to the node of `start` is waited for by `fetch`."""
        self._begun = begun

    def patience(self, member: Member) -> float | None:
        """After how many seconds another node is asked as well; None where none is."""
        means = self._means
        latencies = means.latencies.get(member.region)
        if latencies is None or not means.section.hedge_share or means.section.tries <= len(self._tried):
            return None
        return latencies.p95()

    def may_hedge(self) -> bool:
        """Whether another node could be asked now."""
        return self._means.hedges.has_any and self._other() is not None

    def answered(self, member: Member, at: float) -> None:
        """The node of `start` has answered what was sent to it then, and well."""
        now = self.now()
        member.answered(now - at, now)
        self._means.observe(member.region, now - at)

    def give_up(self) -> None:
        """Nobody wants the answer any more; `end` comes next."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.reply.close()
        if self._held:
            self._held[-1].given_up()

    async def _fetch(self, ask: Ask) -> Reply:
        while True:
            begun, self._begun = self._begun, None
            try:
                reply = await self._hedged(begun.member if begun else self._choose(), ask, begun)
            except PastebinError:
                if not await self._may_retry("failed"):
                    raise
                continue
            assert reply.head is not None  # noqa: S101  (it has been waited for)
            is_behind = problems.BEHIND in reply.head.headers and self._hop()
            if is_behind or (reply.head.status in _REFUSALS and await self._may_retry("refused")):
                reply.close()
            else:
                reply.seconds = self._means.section.stream_idle_seconds
                return reply

    async def _hedged(self, first: Member, ask: Ask, begun: Begun | None) -> Reply:
        """The answer of one node, or of two if the first takes longer than most."""
        means = self._means
        if begun is None:
            means.hedges.note()
        latencies = means.latencies.get(first.region)
        seconds = latencies.p95() if latencies is not None and means.section.hedge_share else None
        if seconds is None:
            outcome = await self._attempt(first, ask, begun)
        else:
            outcome = await self._race(first, ask, seconds, begun)
        if isinstance(outcome, PastebinError):
            raise outcome
        return outcome

    async def _race(self, first: Member, ask: Ask, seconds: float, begun: Begun | None) -> Reply | PastebinError:
        if begun is not None:
            seconds = max(begun.at + seconds - self.now(), 0.0)
        async with asyncio.TaskGroup() as tasks:
            one = tasks.create_task(self._attempt(first, ask, begun), name="asking a node")
            running = {one}
            try:
                done, _ = await asyncio.wait(running, timeout=seconds)
                second = None if done or self._means.section.tries <= len(self._tried) else self._other()
                if second is not None and self._means.hedges.take():
                    running.add(tasks.create_task(self._attempt(second, ask), name="asking another node as well"))
                outcome = await _first_good(running)
            finally:
                for task in running:
                    task.cancel()
        for task in running:  # both may have come at the same moment
            if not task.cancelled() and isinstance(late := task.result(), Reply) and late is not outcome:
                late.close()
        if len(running) > 1:
            self._means.figures.hedges.labels(
                "first" if not one.cancelled() and one.result() is outcome else "second"
            ).inc()
        return outcome

    async def _attempt(self, member: Member, ask: Ask, begun: Begun | None = None) -> Reply | PastebinError:
        """Ask one node. What it has answered badly is returned, so that it ends no group of tasks."""
        started, reply = self.now(), None
        if begun is None:
            self._hold(member, started)
        else:
            _, reply, started = begun
        try:
            async with asyncio.timeout(self._patience(started)):
                if reply is None:
                    reply = await member.upstream.fetch(self._told(ask, member))
                else:
                    reply = await member.upstream.fetched(self._told(ask, member), reply, was_idle=True)
                head = reply.head
                assert head is not None  # noqa: S101  (fetch waits for it)
                if head.framing == "length" and (head.length or 0) <= WHOLE_BYTES:
                    await reply.arrived()
        except TimeoutError:
            if reply is not None:
                reply.close()
            member.failed(self.now())
            return UpstreamTimeout()
        except PastebinError as error:
            member.failed(self.now())
            return error
        except BaseException:
            if reply is not None:
                reply.close()
            member.given_up()
            raise
        self._judge(member, head.status, started)
        return reply

    def _judge(self, member: Member, status: int, started: float) -> None:
        now = self.now()
        if status in _REFUSALS:
            member.failed(now)
            return
        member.answered(now - started, now)
        if self._want.is_safe:
            self._means.observe(member.region, now - started)

    def _patience(self, started: float) -> float | None:
        """How much longer a node may take where another one could be asked; statistics take their time."""
        section = self._means.section
        has_more = len(self._tried) < section.tries and self._want.kind != "analytics" and self._other() is not None
        return max(started + section.try_timeout_seconds - self.now(), 0.0) if has_more else None

    def _choose(self) -> Member:
        member = self._other()
        if member is None:
            raise UpstreamUnavailable("No node is left that could answer this; try again shortly.")
        return member

    def _other(self) -> Member | None:
        return self._means.fleet.pick(self._regions, self._want, self._tried, self.now())

    def _hold(self, member: Member, now: float) -> None:
        self._tried.append(member)
        self._held.append(member)
        member.began(now)

    async def _may_retry(self, reason: Again) -> bool:
        """Whether another node is asked; then a moment has passed."""
        means = self._means
        if len(self._tried) >= means.section.tries or self._other() is None:
            return False
        if not means.retries.take():
            means.figures.exhausted.inc()
            return False
        means.figures.retries.labels(reason).inc()
        await asyncio.sleep(retrying.pause_seconds(len(self._tried), random()))  # noqa: S311  (jitter)
        return True

    def _hop(self) -> bool:
        """Go on to the primary's region, once, where a replica has not seen what this client has."""
        means, primary = self._means, self._means.section.primary
        if self._has_hopped or not primary or self._regions[0] == primary or not means.retries.take():
            return False
        self._has_hopped = True
        means.figures.retries.labels("behind").inc()
        self._regions = [primary, *(name for name in self._regions if name != primary)]
        return self._other() is not None

    def _told(self, ask: Ask, member: Member) -> Ask:
        """With what is left of the deadline, in seconds. Who stands behind an edge knows nothing of purges: where it is
        asked instead of that edge, it is to ask the primary and no replica, which may be behind.
        """
        means, headers = self._means, ask.headers.copy()
        headers[TIMEOUT] = f"{max(self._due - self.now(), 0.0):.3f}"
        if means.fleet.passes_by_edge(member, self._want):
            headers[MIN_LSN_HEADER] = means.tokens.seal(BEYOND, now=time.time(), purpose="min-lsn")
        return Ask(ask.method, ask.target, headers)


async def _first_good(running: set[asyncio.Task[Reply | PastebinError]]) -> Reply | PastebinError:
    """The first answer that is one; else the last."""
    waiting = set(running)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        outcomes = [task.result() for task in done]
        for outcome in outcomes:
            if isinstance(outcome, Reply) and outcome.head is not None and outcome.head.status not in _REFUSALS:
                return outcome
        if not waiting:
            return next((outcome for outcome in outcomes if isinstance(outcome, Reply)), outcomes[0])
