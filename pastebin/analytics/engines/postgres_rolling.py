"""Sums in PostgreSQL, made again from what is below them wherever that has changed: events, minutes, hours, days.

One roller works at a time, under a lock of its session, and sees one state of the database in each transaction. Sums
depend on the events alone: not on the order in which these came, nor on when or how often they were rolled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial

from pastebin.analytics.engines.grains import DAY_HOURS, DAY_MINUTES, HOUR_MINUTES, MINUTE_MS, Run, minute_of, runs
from pastebin.analytics.engines.postgres_partitions import Partitions
from pastebin.analytics.engines.postgres_pool import borrowed, end, transaction
from pastebin.store.connections import Connection, Pool

_LOCK = 0x726F6C6C  # "roll", as a session's advisory lock
_ROLL_SECONDS = 300.0
_WAIT_SECONDS = 60.0
_BATCHES_AT_ONCE = 500
_HOURS_AT_ONCE = 48
_GAP_MINUTES = 5
# Within so long after her last visit under the old salt a visitor is still the same.
_STAY_MS = 3_600_000

_TAKE_LOCK = "select pg_advisory_lock($1)"
_RELEASE = "select pg_advisory_unlock($1)"

FACTS = ["slug", "file", "country", "referrer", "agent", "agent_class", "cache", "region", "pop", "kind", "status"]
SUMS = ["visits", "visitors", "bytes", "hits", "errors", "duration_us"]
_FACTS = ", ".join(FACTS)
# Events whose sums no column could hold must not keep a minute from being rolled for ever.
_MOST = 9 * 10**18
_ADDED = ", ".join(f"least(sum({name}), {_MOST})::bigint" for name in SUMS)

_HAS_UNROLLED = "select exists (select from batches where not is_rolled)"
_UNROLLED = "select id, minutes from batches where not is_rolled order by received_ms, id limit $1"
_KEPT = "select since_day from kept"
_SET_KEPT = "update kept set since_day = greatest(since_day, $1)"
_FRESH_TABLE = "create temporary table if not exists fresh (like seen) on commit delete rows"
_FRESH = """
insert into fresh (period, visitor, first_ms, node, number, before, last_ms)
select distinct on (period, visitor) period, visitor, at_ms, node, number, visitor_before,
       max(at_ms) over (partition by period, visitor)
from visits where at_ms >= $1 and at_ms < $2 and visitor <> 0
order by period, visitor, at_ms, node, number
"""
# Where a visitor has been counted as a newcomer who came earlier as it turns out, or had not left.
_SHIFTED = f"""
select (s.first_ms / {MINUTE_MS})::int as minute
from fresh f join seen s on s.period = f.period and s.visitor = f.visitor
where (f.first_ms, f.node, f.number) < (s.first_ms, s.node, s.number)
union
select (s.first_ms / {MINUTE_MS})::int
from fresh f join seen s on s.period = f.period + 1 and s.before = f.visitor
where f.last_ms >= s.first_ms - {_STAY_MS}
"""
_SEE = """
insert into seen
select distinct on (period, visitor) period, visitor, first_ms, node, number, before,
       max(last_ms) over (partition by period, visitor)
from fresh order by period, visitor, first_ms, node, number
on conflict (period, visitor) do update set
    (first_ms, node, number, before) = (
        select f.first_ms, f.node, f.number, f.before
        from (values (seen.first_ms, seen.node, seen.number, seen.before),
                     (excluded.first_ms, excluded.node, excluded.number, excluded.before))
             f(first_ms, node, number, before)
        order by f.first_ms, f.node, f.number limit 1),
    last_ms = greatest(seen.last_ms, excluded.last_ms)
where (excluded.first_ms, excluded.node, excluded.number) < (seen.first_ms, seen.node, seen.number)
   or excluded.last_ms > seen.last_ms
"""
_CLEAR = "delete from {table} where bucket >= $1 and bucket < $2"
_COUNT = f"""
insert into facts_minute (bucket, {_FACTS}, is_bot, {", ".join(SUMS)})
select (v.at_ms / {MINUTE_MS})::int, slug, file, country, referrer, agent, agent_class, cache, region, pop, kind,
       status::text, is_bot, sum(weight), count(s.visitor), least(sum(bytes * weight), {_MOST}),
       coalesce(sum(weight) filter (where cache in ('hit', 'stale')), 0),
       coalesce(sum(weight) filter (where status >= 500), 0), least(sum(duration_us * weight), {_MOST})
from visits v left join seen s
    on v.visitor <> 0 and s.period = v.period and s.visitor = v.visitor
    and s.first_ms = v.at_ms and s.node = v.node and s.number = v.number
    and not exists (
        select from seen b where s.before <> 0 and b.period = s.period - 1 and b.visitor = s.before
        and b.last_ms >= s.first_ms - {_STAY_MS})
where v.at_ms >= $1 and v.at_ms < $2
group by (v.at_ms / {MINUTE_MS})::int, slug, file, country, referrer, agent, agent_class, cache, region, pop, kind,
         status, is_bot
"""
_NAMED = " ".join(f"when {name} is not null then '{name}'" for name in FACTS)
_SPLIT = f"""
insert into sums_minute (bucket, dimension, value, is_bot, {", ".join(SUMS)})
select bucket, case {_NAMED} else 'all' end, coalesce({_FACTS}, ''), is_bot, {_ADDED}
from facts_minute where bucket >= $1 and bucket < $2
group by grouping sets ((bucket, is_bot), {", ".join(f"(bucket, is_bot, {name})" for name in FACTS)})
"""
_SPLIT_CHANGES = f"""
insert into sums_minute (bucket, dimension, value, is_bot, {", ".join(SUMS)})
select (at_ms / {MINUTE_MS})::int, 'change', kind, false, count(*), 0, least(sum(size), {_MOST}), 0, 0, 0
from changes where at_ms >= $1 and at_ms < $2 group by 1, 3
union all
select (at_ms / {MINUTE_MS})::int, 'syntax', syntax, false, count(*), 0, least(sum(size), {_MOST}), 0, 0, 0
from changes where at_ms >= $1 and at_ms < $2 and kind = 'created' group by 1, 3
"""
_ROLLED = "update batches set is_rolled = true where id = any($1)"
_SOIL = "insert into dirty_{grain} select unnest($1::int[]) on conflict do nothing"
_DIRTY_HOURS = "select bucket from dirty_hours where bucket < $1 order by bucket limit $2"
_DIRTY_DAYS = f"""
select bucket from dirty_days d where bucket < $1
and not exists (select from dirty_hours h where h.bucket / {DAY_HOURS} = d.bucket) order by bucket limit $2
"""
_CLEAN = "delete from dirty_{grain} where bucket = any($1)"
_ADD_FACTS = f"""
insert into facts_hour
select bucket / {HOUR_MINUTES}, {_FACTS}, is_bot, {_ADDED} from facts_minute where bucket >= $1 and bucket < $2
group by bucket / {HOUR_MINUTES}, {_FACTS}, is_bot
"""
_ADD_HOURS = f"""
insert into sums_hour
select bucket / {HOUR_MINUTES}, dimension, value, is_bot, {_ADDED} from sums_minute where bucket >= $1 and bucket < $2
group by bucket / {HOUR_MINUTES}, dimension, value, is_bot
"""
_ADD_DAYS = f"""
insert into sums_day
select bucket / {DAY_HOURS}, dimension, value, is_bot, {_ADDED} from sums_hour where bucket >= $1 and bucket < $2
group by bucket / {DAY_HOURS}, dimension, value, is_bot
"""
_FORGET_DAYS = "delete from sums_day where bucket < $1"
_FORGET_BATCHES = "delete from batches where is_rolled and received_ms < $1"
_FORGET_STRETCHES = "delete from stretches where received_ms < $1"
_PATIENCE = "set local lock_timeout = '2s'"


class Rolling:
    """The sums, and whoever makes them."""

    def __init__(self, pool: Pool, partitions: Partitions) -> None:
        self._pool = pool
        self._partitions = partitions

    async def has_unrolled(self) -> bool:
        """Whether sums by minute lack anything."""
        async with borrowed(self._pool, _WAIT_SECONDS) as connection:
            return bool(await connection.fetchval(_HAS_UNROLLED))

    async def roll_minutes(self) -> None:
        """Everything that was taken before this is in the sums by minute afterwards."""
        async with self._rolling() as connection:
            await self._all_minutes(connection)

    async def roll(self, now: datetime) -> None:
        """The same, and hours and days that are over are added up."""
        hour = minute_of(now) // HOUR_MINUTES
        async with self._rolling() as connection:
            await self._all_minutes(connection)
            while await self._hours(connection, hour):
                pass
            while await self._days(connection, hour // DAY_HOURS):
                pass

    async def forget(self, *, events_before: int, sums_before: int, batches_before_ms: int) -> None:
        """Drop what is older than these days; the ledger's own retention is by time of arrival."""
        async with self._rolling() as connection:
            async with transaction(connection):
                await connection.execute(_PATIENCE)
                await connection.execute(_SET_KEPT, events_before)
                await self._partitions.drop(connection, days_before=events_before, months_before=sums_before)
            async with transaction(connection):
                await connection.execute(_FORGET_DAYS, sums_before)
                await connection.execute(_FORGET_BATCHES, batches_before_ms)
                await connection.execute(_FORGET_STRETCHES, batches_before_ms)

    @asynccontextmanager
    async def _rolling(self) -> AsyncIterator[Connection]:
        """The one connection that may roll: the lock comes before the first look at anything."""
        async with borrowed(self._pool, _WAIT_SECONDS) as connection:
            await connection.execute(_TAKE_LOCK, _LOCK, timeout=_WAIT_SECONDS)
            try:
                await connection.execute(_FRESH_TABLE)
                yield connection
            finally:
                await end(connection, partial(connection.execute, _RELEASE, _LOCK))

    async def _all_minutes(self, connection: Connection) -> None:
        while await self._minutes(connection) == _BATCHES_AT_ONCE:
            pass

    async def _minutes(self, connection: Connection) -> int:
        """Roll some batches, the oldest first; how many."""
        async with transaction(connection, isolation="repeatable_read"):
            batches = await connection.fetch(_UNROLLED, _BATCHES_AT_ONCE)
            if not batches:
                return 0
            first = await connection.fetchval(_KEPT) * DAY_MINUTES
            touched = {minute for batch in batches for minute in batch["minutes"] if minute >= first}
            for lo, hi in runs(touched, _GAP_MINUTES):
                await _run(connection, _FRESH, (lo * MINUTE_MS, hi * MINUTE_MS))
            touched |= {row["minute"] for row in await connection.fetch(_SHIFTED) if row["minute"] >= first}
            await connection.execute(_SEE, timeout=_ROLL_SECONDS)
            for run in runs(touched, _GAP_MINUTES):
                await _rebuild(connection, run)
            hours = {minute // HOUR_MINUTES for minute in touched}
            await connection.execute(_SOIL.format(grain="hours"), sorted(hours))
            await connection.execute(_ROLLED, [batch["id"] for batch in batches])
        return len(batches)

    async def _hours(self, connection: Connection, before: int) -> int:
        async with transaction(connection, isolation="repeatable_read"):
            dirty = [row["bucket"] for row in await connection.fetch(_DIRTY_HOURS, before, _HOURS_AT_ONCE)]
            for first, last in runs(dirty):
                minutes = (first * HOUR_MINUTES, last * HOUR_MINUTES)
                for table, add in (("facts_hour", _ADD_FACTS), ("sums_hour", _ADD_HOURS)):
                    await _run(connection, _CLEAR.format(table=table), (first, last))
                    await _run(connection, add, minutes)
            await connection.execute(_SOIL.format(grain="days"), sorted({hour // DAY_HOURS for hour in dirty}))
            await connection.execute(_CLEAN.format(grain="hours"), dirty)
        return len(dirty)

    async def _days(self, connection: Connection, before: int) -> int:
        async with transaction(connection, isolation="repeatable_read"):
            dirty = [row["bucket"] for row in await connection.fetch(_DIRTY_DAYS, before, _HOURS_AT_ONCE)]
            for first, last in runs(dirty):
                await _run(connection, _CLEAR.format(table="sums_day"), (first, last))
                await _run(connection, _ADD_DAYS, (first * DAY_HOURS, last * DAY_HOURS))
            await connection.execute(_CLEAN.format(grain="days"), dirty)
        return len(dirty)


async def _rebuild(connection: Connection, run: Run) -> None:
    lo, hi = run
    events = (lo * MINUTE_MS, hi * MINUTE_MS)
    await _run(connection, _CLEAR.format(table="facts_minute"), run)
    await _run(connection, _COUNT, events)
    await _run(connection, _CLEAR.format(table="sums_minute"), run)
    await _run(connection, _SPLIT, run)
    await _run(connection, _SPLIT_CHANGES, events)


async def _run(connection: Connection, statement: str, run: Sequence[int]) -> None:
    await connection.execute(statement, *run, timeout=_ROLL_SECONDS)
