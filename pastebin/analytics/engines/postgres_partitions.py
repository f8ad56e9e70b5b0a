"""Room for events and sums in PostgreSQL: partitions by day and by month, made ahead, dropped whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pastebin.analytics.engines.grains import DAY_HOURS, DAY_MINUTES, DAY_MS, date_of, day_of
from pastebin.analytics.engines.postgres_pool import borrowed, transaction
from pastebin.store.connections import Connection, Pool

_LOCK = 0x726F6F6D  # "room", as a transaction's advisory lock
_AHEAD_DAYS = 2
_MAKE_SECONDS = 30.0

# What a day is in the column that tells the partitions apart.
_BY_DAY = {"visits": DAY_MS, "changes": DAY_MS, "facts_minute": DAY_MINUTES, "sums_minute": DAY_MINUTES, "seen": 1}
_BY_MONTH = {"facts_hour": DAY_HOURS, "sums_hour": DAY_HOURS}

_EXISTS = "select to_regclass($1) is not null"
_TAKE_LOCK = "select pg_advisory_xact_lock($1)"
# Attaching holds up nobody who reads or writes; making a partition in one step would.
_MAKE = """
create table {name} (like {table} including all);
alter table {table} attach partition {name} for values from ({lo}) to ({hi})
"""
_PARTITIONS = """
select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = $1::regclass
"""


class Partitions:
    """Knows which days there is room for."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: set[int] = set()

    def forget(self) -> None:
        """Somebody else may have dropped some."""
        self._known.clear()

    async def make_ahead(self, now: datetime) -> None:
        """For today and the days that follow."""
        await self.make(range(day_of(now), day_of(now) + _AHEAD_DAYS + 1))

    async def make(self, days: Iterable[int]) -> None:
        """Room for everything of these days, where there is none."""
        missing = sorted(set(days) - self._known)
        if not missing:
            return
        async with borrowed(self._pool, _MAKE_SECONDS) as connection:
            for day in missing:
                async with transaction(connection):
                    await connection.execute(_TAKE_LOCK, _LOCK, timeout=_MAKE_SECONDS)
                    await _make_day(connection, day)
        self._known.update(missing)

    async def drop(self, connection: Connection, *, days_before: int, months_before: int) -> None:
        """Drop what ends before these days. Raises LockNotAvailableError where somebody is busy with it for long."""
        for tables, before in ((_BY_DAY, days_before), (_BY_MONTH, months_before)):
            for table in tables:
                for row in await connection.fetch(_PARTITIONS, table):
                    name = row["relname"]
                    if _end_of(name.removeprefix(f"{table}_")) <= before:
                        await connection.execute(f"drop table {name}")
        self.forget()


async def _make_day(connection: Connection, day: int) -> None:
    date = date_of(day)
    for table, factor in _BY_DAY.items():
        await _make(connection, table, f"{date:%Y%m%d}", day * factor, (day + 1) * factor)
    month = date.replace(day=1)
    first, last = day_of(month), day_of(_following(month))
    for table, factor in _BY_MONTH.items():
        await _make(connection, table, f"{date:%Y%m}", first * factor, last * factor)


async def _make(connection: Connection, table: str, suffix: str, lo: int, hi: int) -> None:
    name = f"{table}_{suffix}"
    if not await connection.fetchval(_EXISTS, name):
        await connection.execute(_MAKE.format(name=name, table=table, lo=lo, hi=hi), timeout=_MAKE_SECONDS)


def _following(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)


def _end_of(suffix: str) -> int:
    """The day at which a partition ends."""
    if len(suffix) == 6:
        return day_of(_following(datetime.strptime(suffix, "%Y%m").replace(tzinfo=UTC)))
    return day_of(datetime.strptime(suffix, "%Y%m%d").replace(tzinfo=UTC)) + 1
