"""The servers of the database together: who leads, who may be read, who comes and goes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pastebin.errors import ResourceUnavailable
from pastebin.metrics import Metrics
from pastebin.sections import DatabaseSection
from pastebin.store import balancing
from pastebin.store.balancing import Claim, Lag, State, Status, refresh_seconds
from pastebin.store.discovery import Answer, Discovery
from pastebin.store.endpoints import Endpoint, beside
from pastebin.store.members import Member
from pastebin.store.nearness import Nearness

log = logging.getLogger(__name__)

_FIRST_CHECKS = 5


@dataclass(frozen=True, slots=True)
class MemberReport:
    """What is known of one server, to be shown."""

    name: str
    role: str
    state: str
    leads: bool
    timeline: int | None
    lsn: int | None
    lag_seconds: float | None
    lag_bytes: int | None
    latency_seconds: float
    in_flight: int
    trouble: str | None


class Topology:
    """Keeps the set of members and decides who leads whenever one of them has news.

    Only servers of one system (its identifier is that of the first primary seen) are ever used; the highest timeline
    seen stays known, so that a server that has been replaced is never written to again.
    """

    def __init__(self, section: DatabaseSection, listed: Iterable[Endpoint], metrics: Metrics) -> None:
        self.members: dict[str, Member] = {}
        self.leader: Member | None = None
        self.system_id: int | None = None
        self._section = section
        self._metrics = metrics
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._timeline = 0
        self._heard: Status | None = None
        self._discovery: Discovery | None = None
        self._ttl_seconds = 0.0
        self._named: set[str] = set()
        self._listed = {endpoint.name: endpoint for endpoint in listed}
        self._nearness = Nearness(section.near)

    @property
    def balances(self) -> bool:
        """Whether there is, or may come, anybody but the primary to be read."""
        return len(self._listed) > 1 or bool(self._section.discover)

    @property
    def is_urgent(self) -> bool:
        """Whether every second without a primary counts."""
        return self.leader is None or not self.leader.is_up

    async def open(self, discovery: Discovery | None) -> None:
        """Check everybody once. Raises ResourceUnavailable when nobody answers; in any case `close` follows."""
        self._discovery = discovery
        for endpoint in self._listed.values():
            await self._add(endpoint)
        if discovery is not None and (answer := await discovery.ask()) is not None:
            self._ttl_seconds = answer.ttl_seconds
            await self._welcome(answer)
        for _ in range(_FIRST_CHECKS):
            await asyncio.gather(*(member.check() for member in self.members.values()))
            if any(member.status is not None or not member.is_late for member in self.members.values()):
                break  # a check has little time, and a machine on which everything starts may be slow
        self._settle()
        if not self.balances:
            for member in self.members.values():
                member.rest()

    async def close(self) -> None:
        await asyncio.gather(*(member.close() for member in self.members.values()))

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look after everybody while the block lasts. A loop that dies ends the block with its error.

        A lone server is not looked after: there is nothing to choose, and every new connection tells what it is.
        """
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as tasks:
            if self.balances:
                for member in self.members.values():
                    self._watch(member, tasks)
            if self._discovery is not None:
                work = self._discover(self._discovery, tasks)
                self._loops[""] = tasks.create_task(work, name="database-discovery")
            try:
                yield
            except (Exception, asyncio.CancelledError) as error:
                failure = error  # not an affair of the group, which would wrap it
            finally:
                for task in self._loops.values():
                    task.cancel()
        if failure is not None:
            raise failure

    def readable(self, without: Set[Member]) -> list[Member]:
        """Replicas of this system that answer and are recent enough; suspects only when there is nobody else."""
        fit = [
            member
            for member in self.replicas(without)
            if self.lag_of(member).within(self._section.max_lag_seconds, self._section.max_lag_bytes)
        ]
        up = [member for member in fit if member.is_up]
        return up or [member for member in fit if member.health.state is State.SUSPECT]

    def remaining(self, without: Set[Member]) -> list[Member]:
        """When there is nobody to spare: the least bad of the replicas, however old what they show."""
        found = self.replicas(without)
        return [member for member in found if member.health.state is not State.DOWN] or found

    def replicas(self, without: Set[Member]) -> list[Member]:
        """Replicas of this system, whatever their state."""
        return [member for member in self.members.values() if member not in without and self._is_ours(member)]

    def lag_of(self, member: Member) -> Lag:
        return balancing.lag(member.status, self._heard) if member.status is not None else Lag()

    def report(self) -> list[MemberReport]:
        """Everybody, the primary first."""
        reports = [self._report(member) for member in self.members.values()]
        return sorted(reports, key=lambda report: (not report.leads, report.name))

    def notices(self) -> list[str]:
        """What an operator should know of, though the node works."""
        found = [f"{member.name}: {wrong}" for member in self.members.values() if (wrong := self._wrong_with(member))]
        if self._discovery is not None and self._discovery.trouble:
            found.append(f"database.discover: {self._discovery.trouble}")
        if self._nearness and not any(member.is_near for member in self.members.values()):
            found.append("database.near: names none of the servers")
        return found

    def alarm(self) -> None:
        """Somebody met trouble with the primary: ask everybody now."""
        for member in self.members.values():
            member.wake()

    def _is_ours(self, member: Member) -> bool:
        return member.is_replica and member.status is not None and member.status.system_id == self.system_id

    def _settle(self) -> None:
        """After the first checks: which system is ours, and whether the node can start."""
        known = [member for member in self.members.values() if member.status is not None]
        if not known:
            reasons = "; ".join(f"{member.name}: {member.trouble}" for member in self.members.values())
            raise ResourceUnavailable(f"database.primary cannot be reached: {reasons}")
        listed = [member for member in known if member.name in self._listed]
        primaries = [member for member in listed or known if not member.is_replica]
        first = (primaries or listed or known)[0].status
        assert first is not None  # noqa: S101  (known has only those that answered)
        self.system_id = first.system_id
        ours = [member.status for member in known if member.status and member.status.system_id == self.system_id]
        self._timeline = max(status.timeline for status in ours)
        if self.balances:
            self._elect()
        else:
            self.leader = known[0]
            self.leader.leads = True
        for member in self.members.values():
            self._changed(member)
        for notice in self.notices():
            log.warning("database: %s", notice)

    def _changed(self, member: Member) -> None:
        """A member has news: decide who leads. A lone server leads whatever it says."""
        status = member.status
        if status is not None and status.system_id == self.system_id:
            self._timeline = max(self._timeline, status.timeline)
        if self.balances:
            if member.leads and not member.is_up:
                self.alarm()
            self._elect()
        if self.leader is not None and self.leader.status is not None:
            self._heard = self.leader.status
        self._show(member)

    def _elect(self) -> None:
        claims = [
            Claim(member.name, member.status.timeline, member.is_up)
            for member in self.members.values()
            if member.status is not None and not member.is_replica and member.status.system_id == self.system_id
        ]
        before = self.leader
        name = balancing.lead(claims, self._timeline, before.name if before else None)
        self.leader = self.members[name] if name is not None else None
        if self.leader is before:
            return
        if before is not None:
            before.leads = False
            before.expire()
            before.cut()  # whoever still writes there waits for what nobody will ever read
        if self.leader is None:
            log.warning("the database has no primary")
            self.alarm()
            return
        self.leader.leads = True
        self.leader.expire()
        self._metrics.database_elections.inc()
        log.info("database member %s is the primary, on timeline %d", name, self._timeline)

    async def _discover(self, discovery: Discovery, tasks: asyncio.TaskGroup) -> None:
        minimum = self._section.discover_interval_seconds
        while True:
            jitter = random.random()  # noqa: S311  (not a secret)
            await asyncio.sleep(refresh_seconds(self._ttl_seconds, minimum, jitter))
            answer = await discovery.ask()
            self._ttl_seconds = answer.ttl_seconds if answer else 0.0
            if answer is None:
                continue
            for member in await self._welcome(answer):
                member.wake()
                self._watch(member, tasks)
            self._part_with_others(tasks)

    async def _welcome(self, answer: Answer) -> list[Member]:
        """The members that are new in what DNS says."""
        model = next(iter(self._listed.values())).dsn
        found = [beside(model, host, port) for host, port in answer.addresses]
        self._named = {endpoint.name for endpoint in found}
        return [await self._add(endpoint) for endpoint in found if endpoint.name not in self.members]

    def _part_with_others(self, tasks: asyncio.TaskGroup) -> None:
        """Whoever neither the configuration nor DNS names goes, except the one that leads."""
        for member in list(self.members.values()):
            if member.name not in self._listed and member.name not in self._named and not member.leads:
                self._part(member, tasks)

    async def _add(self, endpoint: Endpoint) -> Member:
        member = Member(endpoint, self._section, self._changed)
        member.is_near = self._nearness.is_near(member.name)
        await member.open()
        self.members[endpoint.name] = member
        return member

    def _watch(self, member: Member, tasks: asyncio.TaskGroup) -> None:
        work = member.watch(lambda: self.is_urgent)
        self._loops[member.name] = tasks.create_task(work, name=f"database-check {member.name}")

    def _part(self, member: Member, tasks: asyncio.TaskGroup) -> None:
        log.info("database member %s is no longer named by DNS", member.name)
        del self.members[member.name]
        if (loop := self._loops.pop(member.name, None)) is not None:
            loop.cancel()
        self._metrics.forget_database_member(member.name)
        tasks.create_task(member.close(self._section.discover_drain_seconds), name=f"drain {member.name}")

    def _wrong_with(self, member: Member) -> str | None:
        status = member.status
        if member.trouble is not None:
            return member.trouble
        if status is not None and self.system_id not in (None, status.system_id):
            return f"is not a replica of this primary: system identifier {status.system_id}, not {self.system_id}"
        if status is not None and not member.is_replica and status.timeline < self._timeline:
            return f"says it is the primary on timeline {status.timeline}, but {self._timeline} has begun elsewhere"
        return None

    def _report(self, member: Member) -> MemberReport:
        status = member.status
        behind = self.lag_of(member) if member.is_replica else Lag()
        return MemberReport(
            name=member.name,
            role="unknown" if status is None else "replica" if status.is_replica else "primary",
            state=member.health.state.value,
            leads=member.leads,
            timeline=status.timeline if status else None,
            lsn=status.lsn if status else None,
            lag_seconds=behind.seconds,
            lag_bytes=behind.bytes,
            latency_seconds=member.latency.seconds,
            in_flight=member.in_flight,
            trouble=self._wrong_with(member),
        )

    def _show(self, member: Member) -> None:
        if member.name not in self.members:
            return
        behind = self.lag_of(member) if member.is_replica else Lag()
        self._metrics.show_database_member(
            member.name,
            state=member.health.state.value,
            leads=member.leads,
            in_flight=member.in_flight,
            lag_seconds=behind.seconds,
            lag_bytes=behind.bytes,
        )
