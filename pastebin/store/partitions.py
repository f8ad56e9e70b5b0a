"""Room for the log of changes: partitions by time, made ahead and dropped whole, so that nothing is ever vacuumed."""

from __future__ import annotations

import logging
import math
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import asyncpg

from pastebin.errors import Overloaded
from pastebin.store.changes import KEPT
from pastebin.store.connections import Connection
from pastebin.store.database import Database

log = logging.getLogger(__name__)

Table = Literal["outbox", "feed"]
TABLES: tuple[Table, ...] = ("outbox", "feed")

_SLOTS = 24
_AHEAD = 2
_SHORTEST_SECONDS, _LONGEST_SECONDS = 5, 6 * 3600
_NAME = re.compile(r"(?:outbox|feed)_(\d{1,12})_(\d{1,12})")
_LOCK = 0x70616765  # "page", as a transaction's advisory lock

# Whoever waits for a table's lock holds up everybody who comes after: better to try again in the next round.
_PATIENCE = "set local lock_timeout = '100ms'; set local statement_timeout = '5s'"
_TRY_LOCK = "select pg_try_advisory_xact_lock($1)"
_NOW = "select extract(epoch from now())::float8"
_CHILDREN = """
select c.relname::text as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = $1::regclass
"""
_MAKE = """
create table {name} (like {table} including defaults);
alter table {table} attach partition {name} for values from ('{start}') to ('{end}')
"""
_TIME = "select to_timestamp($1)::text"
# Analytics may lag behind, but not for ever.
_IS_WANTED = """
select exists (select from change_cursor where wanted_until > now() and sequence < (select max(sequence) from {name}))
   and to_timestamp($1) > now() - $2::interval
"""
_REST_ENDS = "select extract(epoch from max(sequenced_at))::float8 from feed_rest"
_DROP = "drop table {name}"
_EMPTY_REST = "truncate {table}_rest"
_REST_IS_OVER = {
    "outbox": "select max(created_at) < now() - make_interval(secs => $1) from outbox_rest",
    "feed": "select max(sequenced_at) < now() - make_interval(secs => $1) from feed_rest",
}


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A partition: the seconds since the epoch from which and up to which its rows are."""

    start: int
    end: int

    @classmethod
    def of(cls, name: str) -> Slot | None:
        """None for the one that takes the rest."""
        match = _NAME.fullmatch(name)
        return cls(int(match[1]), int(match[2])) if match else None


def slot_seconds(retention_seconds: float) -> int:
    """How long a partition is, so that dropping one frees a small part of what is kept."""
    return int(min(max(retention_seconds / _SLOTS, _SHORTEST_SECONDS), _LONGEST_SECONDS))


def missing(slots: Iterable[Slot], now: float, length: int) -> list[Slot]:
    """What is to be made so that there is room ahead. Nothing that has begun: its rows may be elsewhere already.

    What is there may be of another length, or far ahead because a clock was wrong: the gap before it is filled in time.
    """
    known = sorted(slot for slot in slots if slot.end > now)
    current = known.pop(0) if known and known[0].start <= now else None
    end = current.end if current is not None else (math.floor(now / length) + 1) * length
    wanted: list[Slot] = []
    while True:
        while known and known[0].start <= end:
            end = max(end, known.pop(0).end)
        if end >= now + _AHEAD * length:
            return wanted
        following = (end // length + 1) * length
        if known:
            following = min(following, known[0].start)
        wanted.append(Slot(end, following))
        end = following


def outdated(slots: Iterable[Slot], now: float, retention_seconds: float) -> list[Slot]:
    """What may go, oldest first."""
    return sorted(slot for slot in slots if slot.end < now - retention_seconds)


class Partitions:
    """Looks after the partitions of the outbox and the feed. Any node may; of several at once one does."""

    def __init__(self, database: Database, retention_seconds: float) -> None:
        self._database = database
        self._retention_seconds = retention_seconds

    async def keep(self) -> None:
        """Make what is missing and drop what is outdated. What somebody is busy with is left for the next time.

        Raises as `Database.primary` does.
        """
        for table in TABLES:
            now, slots = await self._look(table)
            length = slot_seconds(self._retention_seconds)
            # where a configured retention became shorter the slots that are there already are kept
            for slot in missing(slots, now, length):
                await self._patiently(table, "make", slot)
            for slot in outdated(slots, now, self._retention_seconds):
                await self._patiently(table, "drop", slot)
            await self._patiently(table, "empty", None)

    async def _look(self, table: Table) -> tuple[float, Sequence[Slot]]:
        async with self._database.primary() as connection:
            now = await connection.fetchval(_NOW)
            names = [row["name"] for row in await connection.fetch(_CHILDREN, table)]
        return now, [slot for name in names if (slot := Slot.of(name)) is not None]

    async def _patiently(self, table: Table, what: Literal["make", "drop", "empty"], slot: Slot | None) -> None:
        try:
            async with self._database.primary() as connection, connection.transaction():
                if not await connection.fetchval(_TRY_LOCK, _LOCK):
                    return
                await connection.execute(_PATIENCE)
                if slot is None:
                    await self._empty_rest(connection, table)
                elif what == "make":
                    await _make(connection, table, slot)
                else:
                    await _drop(connection, table, slot)
        except Overloaded as error:
            log.info("%s: cannot %s a partition now: %s", table, what, error.__cause__ or error)
        except (asyncpg.DuplicateTableError, asyncpg.UndefinedTableError):
            return  # another node was faster

    async def _empty_rest(self, connection: Connection, table: Table) -> None:
        if await connection.fetchval(_REST_IS_OVER[table], self._retention_seconds):
            ends = await connection.fetchval(_REST_ENDS) if table == "feed" else None
            if ends is not None and await _is_wanted(connection, "feed_rest", ends):
                return
            await _note_loss(connection, table, f"{table}_rest")
            await connection.execute(_EMPTY_REST.format(table=table))


async def _make(connection: Connection, table: Table, slot: Slot) -> None:
    start, end = [await connection.fetchval(_TIME, float(moment)) for moment in (slot.start, slot.end)]
    await connection.execute(_MAKE.format(table=table, name=_name(table, slot), start=start, end=end))


async def _drop(connection: Connection, table: Table, slot: Slot) -> None:
    if table == "feed" and await _is_wanted(connection, _name(table, slot), slot.end):
        return
    await _note_loss(connection, table, _name(table, slot))
    await connection.execute(_DROP.format(name=_name(table, slot)))


async def _is_wanted(connection: Connection, name: str, ends: float) -> bool:
    """Whether analytics has not heard of all that is in it, and is still waited for."""
    return bool(await connection.fetchval(_IS_WANTED.format(name=name), float(ends), KEPT))


async def _note_loss(connection: Connection, table: Table, name: str) -> None:
    """Let those who have not read it know that they have missed something."""
    if table == "feed":
        await connection.execute(
            f"update feed_state set floor = gone.last + 1 from (select max(sequence) as last from {name}) gone"
            " where gone.last >= floor"
        )
    else:  # what nobody has numbered in all this time was told to nobody
        await connection.execute(
            f"update feed_state s set epoch = $1 where exists (select from {name} o"
            " where not pg_visible_in_snapshot(o.xid, s.snapshot))",
            secrets.token_hex(8),
        )


def _name(table: Table, slot: Slot) -> str:
    return f"{table}_{slot.start}_{slot.end}"
