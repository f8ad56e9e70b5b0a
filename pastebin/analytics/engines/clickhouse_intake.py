"""Batches into ClickHouse: many at once, each answered when it is in, and again without a trace.

There are no transactions. So everything that is written twice replaces itself, and the ledger comes last: an attempt
that died is made again by the sender, and changes nothing but what was missing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from pastebin.analytics.engines.clickhouse_client import Client, Table
from pastebin.analytics.engines.grains import DAY_HOURS, HOUR_MINUTES, MINUTE_MS, day_of
from pastebin.errors import Overloaded, PastebinError, Unavailable
from pastebin.visits import Batch, Change, Visit

HOUR_MS = HOUR_MINUTES * MINUTE_MS
# How much later than the events of a period something may still change who is new in it: the life of a salt.
REACH_HOURS = 48
# Below this ClickHouse wants rows to be collected: every insert makes a part, and parts have to be merged.
_ENOUGH_ROWS = 1000
_MOST_ROWS = 100_000
_WAITING_ROWS = 400_000
_WRITE_SECONDS = 20.0
_IDS = "id String"


class _VisitRow(msgspec.Struct, frozen=True, gc=False):
    hour: int
    node: str
    number: int
    at_ms: int
    slug: str
    file: str
    kind: str
    cache: str
    region: str
    pop: str
    country: str
    referrer: str
    agent: str
    agent_class: str
    is_bot: int
    status: int
    bytes: int
    duration_us: int
    weight: int
    period: int
    visitor: int
    visitor_before: int

    @classmethod
    def of(cls, node: str, visit: Visit) -> _VisitRow:
        row = [visit.at_ms // HOUR_MS, node, *msgspec.structs.astuple(visit)]
        row[_IS_BOT] = int(visit.is_bot)  # JSON's true is no number to an old server
        return cls(*row)


class _ChangeRow(msgspec.Struct, frozen=True, gc=False):
    hour: int
    node: str
    number: int
    at_ms: int
    kind: str
    slug: str
    size: int
    syntax: str

    @classmethod
    def of(cls, node: str, change: Change) -> _ChangeRow:
        return cls(change.at_ms // HOUR_MS, node, *msgspec.structs.astuple(change))


_IS_BOT = _VisitRow.__struct_fields__.index("is_bot")


@dataclass(eq=False, slots=True)
class _Waiting:
    batch: Batch
    received_at: datetime
    outcome: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def rows(self) -> int:
        return len(self.batch.visits) + len(self.batch.changes)


class Intake:
    """Writes what waits, one group after another, no more often than every `collect_seconds` while it is little."""

    def __init__(self, client: Client, collect_seconds: float) -> None:
        self._client = client
        self._collect_seconds = collect_seconds
        self._waiting: list[_Waiting] = []
        self._turn = asyncio.Lock()
        self._enough = asyncio.Event()
        self._last_at = float("-inf")

    async def take(self, batch: Batch, received_at: datetime) -> bool:
        """Whoever finds nobody writing writes for all. Raises Unavailable; nobody's cancellation harms the others."""
        mine = _Waiting(batch, received_at)
        if self._rows() + mine.rows > _WAITING_ROWS:
            raise Overloaded("the analytics database is too slow for what arrives")
        self._waiting.append(mine)
        if self._rows() >= _ENOUGH_ROWS:
            self._enough.set()
        try:
            async with self._turn:
                if not mine.outcome.done():
                    await self._collect()
                    await self._write_for(self._group(mine))
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
            if not mine.outcome.done():
                mine.outcome.cancel()
        return mine.outcome.result()

    def _rows(self) -> int:
        return sum(one.rows for one in self._waiting)

    async def _collect(self) -> None:
        rest = self._last_at + self._collect_seconds - asyncio.get_running_loop().time()
        if rest > 0 and self._rows() < _ENOUGH_ROWS:
            self._enough.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), rest)

    def _group(self, mine: _Waiting) -> list[_Waiting]:
        group, rows = [mine], mine.rows
        for one in self._waiting:
            if one is not mine and rows + one.rows <= _MOST_ROWS:
                group.append(one)
                rows += one.rows
        return group

    async def _write_for(self, group: list[_Waiting]) -> None:
        """Once written, or failed to be, they wait no longer; a cancelled writer leaves them to the next."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                taken = await self._write(group)
        except TimeoutError:
            self._fail(group, Unavailable("the analytics database does not answer in time"))
            return
        except PastebinError as error:
            self._fail(group, error)
            return
        finally:
            self._last_at = asyncio.get_running_loop().time()
        for one in group:
            if not one.outcome.done():
                # of two alike in one group only the first is taken
                one.outcome.set_result(one.batch.id in taken)
            taken.discard(one.batch.id)
        self._forget(group)

    def _fail(self, group: list[_Waiting], error: PastebinError) -> None:
        for one in group:
            if not one.outcome.done():
                one.outcome.set_exception(error)
                one.outcome.exception()  # seen: whoever waits may have been cancelled
        self._forget(group)

    def _forget(self, group: list[_Waiting]) -> None:
        self._waiting = [one for one in self._waiting if one not in group]

    async def _write(self, group: Sequence[_Waiting]) -> set[str]:
        """The ids of those that are taken now. Marks stand before the rows and after them: see `clickhouse_plan`."""
        batches = {one.batch.id: one.batch for one in group}
        since_hour, done, begun = await self._known(batches)
        fresh = {name: batch for name, batch in batches.items() if name not in done}
        if not fresh:
            return set()
        attempt = secrets.randbits(62)
        visits, changes = _events(fresh.values(), since_hour)
        if again := [batch for name, batch in fresh.items() if name in begun]:
            visits, changes = (
                await self._lacking("visits", again, visits),
                await self._lacking("changes", again, changes),
            )
        day = day_of(group[0].received_at)
        ledger = [{"id": name, "day": day, "attempt": attempt} for name in fresh]
        marks = [{"hour": hour, "attempt": attempt, "marks": 1} for hour in sorted(_touched(visits, changes))]
        await self._insert("batches", ledger)
        await self._insert("marks", marks)
        await self._insert("visits", visits)
        await self._insert("changes", changes)
        await self._insert("marks", [mark | {"attempt": attempt + 1} for mark in marks])
        await self._insert("batches", [entry | {"is_done": 1} for entry in ledger])
        return await self._won(fresh, attempt)

    async def _insert(self, table: str, rows: Sequence[Any]) -> None:
        if rows:
            await self._client.insert(table, rows, seconds=_WRITE_SECONDS)

    async def _known(self, ids: Iterable[str]) -> tuple[int, set[str], set[str]]:
        """The first hour that is kept; of these batches those that are in, and those that somebody began with."""
        rows = await self._client.ask(
            "select 'kept' as name, toUInt32(max(since_day)) as value from kept union all"
            " select concat('=', id) as name, toUInt32(max(is_done)) as value from batches"
            " where id in (select id from asked) group by id",
            [_asked(ids)],
            seconds=_WRITE_SECONDS,
        )
        known = {name: int(value) for name, value in rows}
        since_hour = known.pop("kept", 0) * DAY_HOURS
        done = {name[1:] for name, value in known.items() if value}
        return since_hour, done, {name[1:] for name in known} - done

    async def _lacking(self, table: str, batches: Iterable[Batch], rows: Sequence[Any]) -> list[Any]:
        """Without those of a first attempt that are there: on arrival they may have been dated otherwise than now."""
        nodes = {batch.node for batch in batches}
        doubtful = [row for row in rows if row.node in nodes]
        if not doubtful:
            return list(rows)
        first, last = min(row.hour for row in doubtful) - DAY_HOURS, max(row.hour for row in doubtful) + DAY_HOURS
        there = await self._client.ask(
            f"select distinct node, number from {table} where hour between {first} and {last}"
            " and (node, number) in (select node, number from asked)",
            [
                Table(
                    "asked", "node String, number Int64", [{"node": row.node, "number": row.number} for row in doubtful]
                )
            ],
            seconds=_WRITE_SECONDS,
        )
        known = {(node, int(number)) for node, number in there}
        return [row for row in rows if (row.node, row.number) not in known]

    async def _won(self, ids: Iterable[str], attempt: int) -> set[str]:
        """Those whose first entry in the ledger is of this attempt.

        Two nodes may write the same batch at once. A part is numbered when it becomes visible, and merging keeps the
        order: whoever sees an entry of somebody else before his own knows that the other one cannot see it otherwise.
        """
        rows = await self._client.ask(
            "select id, attempt, _part from batches where is_done = 1 and id in (select id from asked)"
            " settings max_threads = 1",  # each part in its order
            [_asked(ids)],
            seconds=_WRITE_SECONDS,
        )
        first: dict[str, int] = {}
        for name, by, _ in sorted(rows, key=lambda row: int(row[2].split("_")[1])):
            first.setdefault(name, int(by))
        return {name for name, by in first.items() if by == attempt}


def _asked(ids: Iterable[str]) -> Table:
    return Table("asked", _IDS, [{"id": name} for name in ids])


def _events(batches: Iterable[Batch], since_hour: int) -> tuple[list[_VisitRow], list[_ChangeRow]]:
    """Rows of what is not older than is kept."""
    visits: list[_VisitRow] = []
    changes: list[_ChangeRow] = []
    for batch in batches:
        visits += [_VisitRow.of(batch.node, one) for one in batch.visits if one.at_ms >= since_hour * HOUR_MS]
        changes += [_ChangeRow.of(batch.node, one) for one in batch.changes if one.at_ms >= since_hour * HOUR_MS]
    return visits, changes


def _touched(visits: Iterable[_VisitRow], changes: Iterable[_ChangeRow]) -> set[int]:
    """The hours whose sums change, or the first of those.

    A visit changes its hour and later ones. Who is still seen under the pseudonym of a day that has passed may be no
    newcomer of the next day after all: then it changes everything since that began.
    """
    hours = {row.hour for row in changes}
    for row in visits:
        hours.add(row.hour)
        last = (row.period + 1) * DAY_HOURS - 1
        if max(0, row.hour - REACH_HOURS) <= last < row.hour:
            hours.add(last)
    return hours
