"""The feed: the rows of the outbox with numbers, in the order in which transactions became visible.

Ids are given out before commits, so whoever asks for "greater than the last id" misses what commits late. Here the
state keeps the snapshot of the last numbering: a row is new exactly if that snapshot does not see its transaction and
the present one does. Long transactions hold nobody up and cost nothing: only what is younger than that snapshot, and
what was open in it, is looked at. Anybody may number; of several at once one succeeds, because the state says which
round it is (PgQ keeps snapshots for the same reason: Kreen and Pihlak, "PgQ", 2007).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from pastebin.errors import DatabaseUnavailable, Overloaded
from pastebin.positions import Position
from pastebin.store.connections import LSN, Connection
from pastebin.store.database import Database, position_at

# So many rows are numbered at once (and all the others of the last one's transaction).
ROUND_ROWS = 50_000
_TRIES = 100

_NOTED = "kind, slug, paste_id, size, syntax, payload, tell, created_at"
_STATE = "round, sequence, told, floor, epoch, system_id, timeline, snapshot"

# A snapshot that sees what was numbered and nothing else, where not everything visible was: transactions up to `top`.
_PARTIAL = """(
    select format('%s:%s:%s', coalesce(min(x), top + 1), top + 1, string_agg(x::text, ',' order by x))::pg_snapshot
    from (select x::text::int8 from pg_snapshot_xip(pg_current_snapshot()) x) as xip (x) where x <= top
)"""
_NUMBER = f"""
with found as materialized (
    select * from (
        select id, xid, {_NOTED} from outbox where xid >= $2
        union all
        select id, xid, {_NOTED} from outbox where xid = any($3)
    ) as o order by xid fetch first {ROUND_ROWS} rows with ties
), numbered as materialized (
    select row_number() over (order by id) as number, * from found
), extent as (
    select count(*) as count, max(number) filter (where tell) as told, max(xid::text::int8) as top from numbered
), moved as (
    update feed_state s
    set round = s.round + 1, sequence = s.sequence + e.count, told = coalesce(s.sequence + e.told, s.told),
        snapshot = case when e.count < {ROUND_ROWS} then pg_current_snapshot() else {_PARTIAL} end
    from extent e
    where s.round = $1 and s.system_id = $4 and s.timeline = $5 and e.count > 0
    returning s.*, s.sequence - e.count as before
), copied as (
    insert into feed (sequence, outbox_id, lsn, {_NOTED})
    select m.before + number, id, pg_current_wal_insert_lsn(), {_NOTED} from numbered, moved m
)
select {", ".join(f"coalesce(m.{column}, s.{column}) as {column}" for column in _STATE.split(", "))},
       m.round is not null as is_moved, (select count from extent) as count,
       pg_current_snapshot() as now, {LSN} as lsn
from feed_state s left join moved m on true
"""
_LOOK = "select round, snapshot from feed_state"
_LOCK = f"select {_STATE} from feed_state for update"
# Another cluster's transactions say nothing here: whatever has no number yet gets one, once.
_COPY_REST = f"""
with numbered as materialized (
    select row_number() over (order by id) as number, o.* from outbox o
    where not exists (select from feed f where f.outbox_id = o.id)
), copied as (
    insert into feed (sequence, outbox_id, lsn, {_NOTED})
    select s.sequence + number, id, pg_current_wal_insert_lsn(), {_NOTED} from numbered, feed_state s
)
update feed_state s
set sequence = s.sequence + coalesce((select max(number) from numbered), 0),
    told = coalesce(s.sequence + (select max(number) from numbered where tell), s.told),
    snapshot = pg_current_snapshot()
"""
_DROP_ALIENS = "delete from outbox where xid >= pg_snapshot_xmax(pg_current_snapshot())"
_ADOPT = """
update feed_state
set round = round + 1, epoch = $1, system_id = $2, timeline = $3,
    system_before = case when system_id <> $2 then system_id else system_before end,
    inherited = case when system_id <> $2 then sequence else inherited end
"""
_READ = """
select s.epoch, s.sequence as head, s.floor, f.sequence, f.kind, f.slug, f.payload, f.lsn, f.created_at
from feed_state s left join lateral (
    select sequence, kind, slug, payload, lsn, created_at from feed
    where tell and sequence > $1 order by sequence limit $2
) f on true
order by f.sequence
"""


@dataclass(frozen=True, slots=True)
class Head:
    """How far the feed reaches.

    Everything that was committed before `asked_at` (the loop's clock) has a number up to `sequence`; where caches have
    to be told, up to `told`. `floor` is the first number that is still kept. Whoever is at `complete` or before it has
    seen no change that has no number. A change of `epoch` means that the history is another one.
    """

    epoch: str
    sequence: int
    told: int
    floor: int
    asked_at: float
    position: Position
    complete: Position | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One change that caches have to be told of. Whoever has replayed `position` has seen it."""

    sequence: int
    kind: str
    slug: str
    payload: dict[str, Any] | None
    position: Position
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """The entries behind a number, all of them up to and including `until`."""

    epoch: str
    floor: int
    until: int
    entries: tuple[Entry, ...]


@dataclass(slots=True)
class _Known:
    """The state as this process knows it; another one may have gone on since."""

    round: int
    xmax: int
    xip: Sequence[int]


@dataclass(slots=True)
class Completeness:
    """Up to which position every commit is known to be visible, told from one snapshot to the next.

    A transaction is visible a while after its commit record is written. So a position counts once every transaction
    that had begun when it was read has ended: then nothing before it can still appear.
    """

    position: Position | None = None
    _latest: Position | None = None
    _waiting: tuple[Position, int] | None = None

    def observe(self, xmin: int, xmax: int, position: Position) -> None:
        """A snapshot was taken, and `position` was read after it."""
        if self._latest is not None and not position.covers(self._latest):
            self._latest = self._waiting = self.position = None  # another history
        if self._waiting is not None and xmin >= self._waiting[1]:
            self.position, self._waiting = self._waiting[0], None
        if self._waiting is None and self._latest is not None:
            if xmin >= xmax:
                self.position = self._latest
            else:
                self._waiting = (self._latest, xmax)
        self._latest = position


class Feed:
    """Numbers what is new, and reads it in that order."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: _Known | None = None
        self._completeness = Completeness()

    async def advance(self) -> Head:
        """Give numbers to everything that is visible now, and say how far that reaches.

        Raises as `Database.primary` does.
        """
        async with self._database.primary() as connection:
            for _ in range(_TRIES):
                asked_at = asyncio.get_running_loop().time()
                here = position_at(connection, 0)
                known = self._known or _known(await connection.fetchrow(_LOOK))
                row = await connection.fetchrow(
                    _NUMBER, known.round, known.xmax, known.xip, here.system_id, here.timeline
                )
                assert row is not None  # noqa: S101  (the state always has its row)
                self._known = None
                if (row["system_id"], row["timeline"]) != (here.system_id, here.timeline):
                    await _adopt(connection, here)
                elif row["is_moved"] or not row["count"]:
                    self._known = _known(row)
                    if row["count"] < ROUND_ROWS:
                        return self._head(connection, row, asked_at)
        raise Overloaded("The changes are numbered by others all the time.")

    def _head(self, connection: Connection, row: asyncpg.Record, asked_at: float) -> Head:
        xmin, xmax, _ = row["now"]
        position = position_at(connection, row["lsn"])
        self._completeness.observe(xmin, xmax, position)
        complete = self._completeness.position
        return Head(row["epoch"], row["sequence"], row["told"], row["floor"], asked_at, position, complete)

    async def read(self, after: int, limit: int) -> Stretch:
        """The next entries that caches have to be told of, `limit` at most. Raises as `Database.primary` does."""
        async with self._database.primary() as connection:
            rows = await connection.fetch(_READ, after, limit)
            entries = tuple(_entry(connection, row) for row in rows if row["sequence"] is not None)
        first = rows[0]
        until = entries[-1].sequence if len(entries) >= limit else first["head"]
        return Stretch(first["epoch"], first["floor"], max(until, after), entries)


def _known(row: asyncpg.Record | None) -> _Known:
    assert row is not None  # noqa: S101  (the state always has its row)
    _, xmax, xip = row["snapshot"]
    return _Known(row["round"], xmax, xip)


def _entry(connection: Connection, row: asyncpg.Record) -> Entry:
    position = position_at(connection, row["lsn"])
    return Entry(row["sequence"], row["kind"], row["slug"], row["payload"], position, row["created_at"])


async def _adopt(connection: Connection, here: Position) -> None:
    """Go on with the feed in another history: after a failover, on a restored copy, or for the first time.

    What was told before may never have happened here, so the feed gets another name and everybody forgets everything.
    """
    async with connection.transaction():
        state = await connection.fetchrow(_LOCK)
        assert state is not None  # noqa: S101  (the state always has its row)
        if (state["system_id"], state["timeline"]) == (here.system_id, here.timeline):
            return  # somebody else was faster
        is_copy = state["system_id"] != here.system_id
        if not here.timeline or (not is_copy and here.timeline < state["timeline"]):
            raise DatabaseUnavailable("The database is changing its primary; try again shortly.")
        if is_copy:
            await connection.execute(_COPY_REST)
            await connection.execute(_DROP_ALIENS)
        await connection.execute(_ADOPT, secrets.token_hex(8), here.system_id, here.timeline)
