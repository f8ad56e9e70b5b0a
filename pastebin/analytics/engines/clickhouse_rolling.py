"""Sums made again, and what is too old dropped, in ClickHouse."""

from __future__ import annotations

import re
import secrets
from datetime import date, datetime, timedelta

from pastebin.analytics.engines import clickhouse_statements as statements
from pastebin.analytics.engines.clickhouse_client import Client
from pastebin.analytics.engines.clickhouse_intake import REACH_HOURS
from pastebin.analytics.engines.clickhouse_plan import State
from pastebin.analytics.engines.grains import DAY_HOURS, HOUR_MINUTES, day_of, minute_of
from pastebin.sections import AnalyticsSection

# Until then most stragglers of an hour have come; whoever comes later costs making its sums again.
_GRACE_MINUTES = 1
_HOURS_AT_ONCE = 12
_SECONDS = 300.0
# Nobody reads or writes a generation any more that was replaced so long ago.
_FORGOTTEN_SECONDS = 3600
_LAST_HOUR = 2**32 - 1
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_EPOCH = date(1970, 1, 1)


class Rolling:
    """Keeps sums and partitions of one database in order. Others may do the same at the same time."""

    def __init__(self, client: Client, section: AnalyticsSection) -> None:
        self._client = client
        self._raw_days = section.raw_days
        self._rollup_days = max(section.raw_days, section.rollup_days)

    async def roll(self, now: datetime) -> None:
        """Make the sums of every hour that is over and lacks something."""
        await self._roll((minute_of(now) - _GRACE_MINUTES) // HOUR_MINUTES)

    async def _roll(self, before_hour: int) -> State:
        state = await self._state()
        dirty = state.dirty(before_hour)
        for start in range(0, len(dirty), _HOURS_AT_ONCE):
            hours = dirty[start : start + _HOURS_AT_ONCE]
            generation = secrets.randbits(62)
            made = [{"hour": hour, "generation": generation, "covers": 0} for hour in hours]
            # noted first, so that nothing is forgotten that a killed process leaves behind
            await self._client.insert("rolled", made, seconds=_SECONDS)
            for statement in statements.roll(hours, generation):
                await self._client.command(statement, seconds=_SECONDS)
            done = [{"hour": hour, "generation": generation, "covers": state.counted(hour)} for hour in hours]
            await self._client.insert("rolled", done, seconds=_SECONDS)
        return state

    async def _state(self) -> State:
        return State.of(await self._client.ask(statements.state(0, _LAST_HOUR), seconds=_SECONDS))

    async def retain(self, now: datetime) -> None:
        """Events go when their sums are made, and sums when they are too old: whole days, by dropping partitions."""
        today = day_of(now)
        since_day = max(0, today - self._raw_days)
        state = await self._roll(since_day * DAY_HOURS)
        if since_day * DAY_HOURS > state.kept_hour:
            await self._client.insert("kept", [{"since_day": since_day}], seconds=_SECONDS)
        for table, days in (
            ("visits", self._raw_days),
            ("batches", self._raw_days),
            ("marks", self._raw_days + REACH_HOURS // DAY_HOURS + 1),
            *((table, self._rollup_days) for table in ("changes", "sums", "facts", "rolled")),
        ):
            await self._drop(table, today - days)
        await self._sweep(since_day * DAY_HOURS)

    async def _drop(self, table: str, before_day: int) -> None:
        before = (_EPOCH + timedelta(days=max(0, before_day))).isoformat()
        rows = await self._client.ask(
            "select distinct partition from system.parts"
            f" where database = currentDatabase() and table = '{table}' and active",
            seconds=_SECONDS,
        )
        for [partition] in rows:
            day = str(partition).strip("'")
            if _DAY.fullmatch(day) and day < before:
                await self._client.command(f"alter table {table} drop partition '{day}'", seconds=_SECONDS)

    async def _sweep(self, since_hour: int) -> None:
        """Delete generations that were replaced, or never finished, long ago."""
        rows = await self._client.ask(
            "select hour, generation, max(covers) as known, max(made_at) < now() - "
            f"{_FORGOTTEN_SECONDS} as is_old from rolled where hour >= {since_hour} group by hour, generation",
            seconds=_SECONDS,
        )
        newest: dict[int, tuple[int, int]] = {}
        for hour, generation, covers, _ in rows:
            newest[hour] = max(newest.get(hour, (0, 0)), (int(covers), int(generation)))
        stale = [(hour, generation) for hour, generation, _, old in rows if old and generation != newest[hour][1]]
        for start in range(0, len(stale), 1000):
            pairs = ", ".join(f"({int(hour)}, {int(generation)})" for hour, generation in stale[start : start + 1000])
            for table in ("sums", "facts", "rolled"):
                await self._client.command(
                    f"alter table {table} delete where (hour, generation) in ({pairs})", seconds=_SECONDS
                )
