"""The SQL servers behind one door: who asks says whether a replica will do; every wait has an end.

Three ways in. `primary()` lends a connection for changes, which are never repeated here: only the client knows whether
it may. `reader()` lends one for reading what may be a moment old. `read()` asks a question, and asks somebody else
when the first one falls silent.

With replicas a read goes to the one that promises the shortest wait, of the near ones while any is usable. A read that
must see a certain position goes to one that has replayed it, after a short wait; everything else falls back on the
primary, within the limits of `Spill`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TypeVar, cast

import asyncpg

from pastebin.deadlines import within
from pastebin.errors import DatabaseUnavailable, Overloaded, ReplicaBehind, ResourceUnavailable
from pastebin.metrics import Metrics
from pastebin.positions import Position
from pastebin.retrying import RETRY_RESERVE, RETRY_SHARE, Budget, pause_seconds
from pastebin.sections import DatabaseSection
from pastebin.store import balancing
from pastebin.store.balancing import State
from pastebin.store.bell import Bell
from pastebin.store.connections import AWAY, ELSEWHERE, LSN, REFUSALS, Connection, Link, translated
from pastebin.store.discovery import Discovery
from pastebin.store.endpoints import Endpoint, endpoints
from pastebin.store.hedges import Hedges
from pastebin.store.members import Member
from pastebin.store.nearness import nearest
from pastebin.store.spill import Spill
from pastebin.store.topology import MemberReport, Topology

__all__ = ["LSN", "Database", "MemberReport", "position_at", "shown_by", "translated"]

T = TypeVar("T")

_RETRIES = 2
_TRYING_SECONDS = 1.0
_ANSWER_SECONDS = 1.0
_POSITION = f"select {LSN}"


class Database:
    """The primary and whoever may be read instead of it; without replicas that is the primary itself."""

    def __init__(self, section: DatabaseSection, topology: Topology, metrics: Metrics, hedges: Hedges) -> None:
        self._section = section
        self._topology = topology
        self._metrics = metrics
        self._hedges = hedges
        self._retries = Budget(RETRY_SHARE, RETRY_RESERVE)
        self._spill = Spill(section)
        # Rings after a commit that caches have to hear of.
        self.changes = Bell()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, section: DatabaseSection, dsn: str, metrics: Metrics | None = None
    ) -> AsyncIterator[Database]:
        """Connect to `dsn` and the replicas of `section`, or raise ResourceUnavailable with what is wrong.

        One server that answers suffices, be it a replica: after a failover the configuration may name the old primary.
        Closing waits a moment for statements under way.
        """
        metrics = metrics or Metrics()
        listed = _listed(section, dsn)
        topology = Topology(section, listed, metrics)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(topology.close)
            await topology.open(Discovery(section.discover, section.discover_nameserver) if section.discover else None)
            async with topology.watched(), Hedges.running(section.hedge_share, metrics) as hedges:
                yield cls(section, topology, metrics, hedges)

    @asynccontextmanager
    async def primary(self) -> AsyncIterator[Connection]:
        """A connection to the server that is the primary now. Nothing is repeated: after an error during a commit the
        change may have been made or not.

        Raises DatabaseUnavailable (nobody is the primary, or it does not answer), Overloaded, StorageFull.
        """
        with translated():
            async with self._leading() as link:
                yield link

    @asynccontextmanager
    async def reader(self, *, at: Position | None = None, from_primary: bool = False) -> AsyncIterator[Connection]:
        """A connection for reading what may be a moment old, but not older than `at`; `from_primary`: not at all.

        Raises as `primary` does, and Overloaded when only the primary could serve and has enough to do.
        """
        with translated():
            async with self._reading(at, from_primary, set()) as link:
                yield link

    async def read(
        self,
        question: Callable[[Connection], Awaitable[T]],
        *,
        at: Position | None = None,
        from_primary: bool = False,
        is_hedged: bool = False,
    ) -> T:
        """The answer to a question that changes nothing: what a replica fails to answer is asked of another one.

        At most three servers are asked, within a budget, and a replica is given `replica_timeout_seconds`. What
        `is_hedged` is asked of two replicas when the first one takes longer than most. Raises as `reader` does.
        """
        tried: set[Member] = set()
        failure: Exception | None = None
        self._retries.note()
        with translated():
            for tries in range(1 + _RETRIES):
                if failure is not None:
                    await self._pause(tries, failure)
                try:
                    if is_hedged and failure is None and (patience := self._hedged_after(from_primary)) is not None:
                        return await self._hedges.race(
                            lambda: self._ask(question, at, from_primary, tried),
                            lambda: self._ask_another(question, at, tried),
                            patience,
                        )
                    return await self._ask(question, at, from_primary, tried)
                except ReplicaBehind:
                    raise  # elsewhere somebody may know more
                except DatabaseUnavailable as refusal:
                    raise failure or refusal from None  # nobody is left to be asked
                except (*AWAY, *ELSEWHERE, asyncpg.QueryCanceledError) as error:
                    if not self._topology.balances:
                        raise
                    failure = error
            assert failure is not None  # noqa: S101  (else it would have returned)
            raise failure

    async def position_of(self, connection: Connection) -> Position:
        """Where the history stands for this connection: not before whatever it has shown or committed so far.

        One round trip. After a commit, because a statement does not know where its own commit will lie.
        """
        with translated():
            return position_at(connection, await connection.fetchval(_POSITION))

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Link]:
        """A connection to the primary beside the pool, for one who listens or calls on it for long.

        Whoever holds it sees to it that it lives, and leaves it when the server is no primary any more. Raises
        DatabaseUnavailable.
        """
        with translated():
            leader = self._topology.leader
            if leader is None:
                raise DatabaseUnavailable("The database has no primary at the moment; try again shortly.")
            async with leader.dedicated() as link:
                if link.is_replica:
                    self._topology.alarm()
                    raise DatabaseUnavailable("The database is changing its primary; try again shortly.")
                yield link

    async def answers(self) -> bool:
        """Whether the primary answers a trivial question now."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self.primary() as connection:
                await connection.fetchval("select 1", timeout=_ANSWER_SECONDS)
        except (DatabaseUnavailable, Overloaded, TimeoutError):
            return False
        return True

    @property
    def has_replicas(self) -> bool:
        """Whether readers may be given anything but the primary."""
        return self._topology.balances

    async def can_read(self) -> bool:
        """Whether a read would be served now, by whomever."""
        return bool(self._topology.readable(set())) or await self.answers()

    def topology(self) -> list[MemberReport]:
        """Every server as this node knows it, the primary first."""
        return self._topology.report()

    def notices(self) -> list[str]:
        """What is wrong with single servers though the node works."""
        return self._topology.notices()

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[Link]:
        for _ in range(_RETRIES):
            leader = self._topology.leader
            if leader is None:
                raise DatabaseUnavailable("The database has no primary at the moment; try again shortly.")
            async with leader.connected(self._acquire_seconds(leader)) as link:
                # who had to wait for its connection may find that another server leads by now
                is_ours = leader is self._topology.leader and link.status.system_id == self._topology.system_id
                if is_ours and not link.is_replica:
                    yield link
                    return
            # perhaps a connection from before a promotion, or the name leads to another server by now
            leader.expire()
        self._topology.alarm()
        raise DatabaseUnavailable("The database is changing its primary; try again shortly.")

    @asynccontextmanager
    async def _reading(self, at: Position | None, from_primary: bool, tried: set[Member]) -> AsyncIterator[Link]:
        """A connection of whoever suits best; `tried` are not asked again, and those asked now are added."""
        topology = self._topology
        if not topology.balances and topology.leader is not None:
            async with topology.leader.connected(within(self._section.acquire_timeout_seconds)) as link:
                yield link
            return
        async with AsyncExitStack() as stack:
            found = None if from_primary else await self._of_replica(stack, at, tried)
            if found is not None:
                self._metrics.database_reads.labels("replica").inc()
                yield found
                return
            leader = topology.leader
            if leader is None or leader in tried:
                raise DatabaseUnavailable if at is None else ReplicaBehind
            tried.add(leader)
            try:
                stack.enter_context(self._spill.admitted())
            except Overloaded:
                self._metrics.database_reads.labels("refused").inc()
                raise
            link = await stack.enter_async_context(self._leading())
            self._metrics.database_reads.labels("primary").inc()
            yield link

    async def _ask(
        self,
        question: Callable[[Connection], Awaitable[T]],
        at: Position | None,
        from_primary: bool,
        tried: set[Member],
    ) -> T:
        began = asyncio.get_running_loop().time()
        async with self._reading(at, from_primary, tried) as link, self._patience(link):
            answer = await question(link)
            if link.is_replica:
                self._hedges.latencies.observe(asyncio.get_running_loop().time() - began)
            return answer

    async def _ask_another(
        self, question: Callable[[Connection], Awaitable[T]], at: Position | None, tried: set[Member]
    ) -> T:
        """Of a replica that was not tried; the primary is spared. Raises DatabaseUnavailable if there is none."""
        async with AsyncExitStack() as stack:
            link = await self._of_replica(stack, at, tried)
            if link is None:
                raise DatabaseUnavailable
            self._metrics.database_reads.labels("replica").inc()
            async with self._patience(link):
                return await question(link)

    def _hedged_after(self, from_primary: bool) -> float | None:
        """After how many seconds another replica is asked too; None where there is no choice of them."""
        if from_primary or not self._topology.balances or len(self._topology.readable(set())) < 2:
            return None
        return self._hedges.patience()

    async def _pause(self, tries: int, failure: Exception) -> None:
        """Before a question is asked again. Raises the failure where the budget for that is spent."""
        if not self._retries.take():
            self._metrics.retries_refused.labels("database").inc()
            raise failure
        self._metrics.database_retries.inc()
        await asyncio.sleep(pause_seconds(tries, random.random()))  # noqa: S311  (jitter, not a secret)

    async def _of_replica(self, stack: AsyncExitStack, at: Position | None, tried: set[Member]) -> Link | None:
        """A connection of the replica that suits best, held by `stack`; None if there is none to be had."""
        for _ in range(_RETRIES):
            member = await self._replica(at, tried)
            if member is None:
                return None
            tried.add(member)
            try:
                async with AsyncExitStack() as attempt:
                    seconds = within(min(_TRYING_SECONDS, self._section.acquire_timeout_seconds))
                    link = await attempt.enter_async_context(member.connected(seconds))
                    if at is None or member.covers(at):
                        stack.push_async_exit(attempt.pop_all())
                        return link
            except (Overloaded, *REFUSALS):
                continue  # noted where it happened
        return None

    async def _replica(self, at: Position | None, tried: set[Member]) -> Member | None:
        topology = self._topology
        fit = topology.readable(tried)
        if at is not None:
            ahead = [member for member in fit if member.covers(at)]
            return self._chosen(ahead) if ahead else await self._first_to_reach(at, fit)
        if not fit and (topology.leader is None or topology.leader.health.state is State.DOWN):
            fit = topology.remaining(tried)
        return self._chosen(fit) if fit else None

    def _chosen(self, members: Sequence[Member]) -> Member:
        now = asyncio.get_running_loop().time()
        members = nearest(members, lambda member: member.is_near)
        return balancing.choose(members, lambda member: member.cost(now), random.random)

    async def _first_to_reach(self, at: Position, members: Sequence[Member]) -> Member | None:
        """Whoever has replayed `at` first, if that takes no longer than `wait_for_replay_seconds`."""
        with ExitStack() as stack:
            waits = {stack.enter_context(member.waiting_for(at)): member for member in members if member.may_reach(at)}
            if not waits:
                return None
            seconds = self._section.wait_for_replay_seconds
            done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return waits[done.pop()] if done else None

    def _acquire_seconds(self, leader: Member) -> float:
        """Nobody queues for long for a primary that does not answer, but it is always tried."""
        seconds = within(self._section.acquire_timeout_seconds)
        return seconds if leader.is_up else min(seconds, _TRYING_SECONDS)

    def _patience(self, link: Link) -> asyncio.Timeout:
        """How long a question may take where somebody else can answer it."""
        is_shared = self._topology.balances and link.is_replica
        return asyncio.timeout(within(self._section.replica_timeout_seconds) if is_shared else None)


def position_at(connection: Connection, lsn: int) -> Position:
    """The position of an LSN that was read on this connection (see LSN), without asking anybody.

    An LSN read in a statement bounds from above what the statement has seen. Raises InterfaceError if the connection
    has ended since.
    """
    if connection.is_closed():
        raise asyncpg.InterfaceError("the connection has ended")
    return cast(Link, connection).position(lsn)


def shown_by(connection: Connection) -> Position | None:
    """A position that everything read on this connection from now on includes, without asking anybody.

    As recent as the last check of its server; None where that is unknown, or the server was promoted meanwhile.
    """
    link = cast(Link, connection)
    position = link.latest().position
    return position if position is not None and position.timeline == link.timeline else None


def _listed(section: DatabaseSection, dsn: str) -> list[Endpoint]:
    dsns = [dsn, *(replica.reveal() for replica in section.replicas)]
    try:
        return [endpoint for text in dsns for endpoint in endpoints(text)]
    except ValueError as error:
        raise ResourceUnavailable(f"database: {error}") from error
