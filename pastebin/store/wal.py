"""Asking a server how far its history has come (see `pastebin.positions`)."""

from __future__ import annotations

import asyncpg

from pastebin.positions import Position

# What has been flushed holds every commit that was acknowledged, unless commits are not waited for at all.
_COMMITTED = """
select at.lsn, ('x' || left(pg_walfile_name(at.lsn), 8))::bit(32)::int as timeline,
       (select system_identifier from pg_control_system()) as system_id
from (select case current_setting('synchronous_commit') when 'off' then pg_current_wal_insert_lsn()
                                                        else pg_current_wal_flush_lsn() end as lsn) at
"""

# Columns for a statement that reads: found out once, after its snapshot was taken, so that the position covers what it
# sees. `wanted` is the SQL that says whether somebody wants to know.
POSITION = """
    (select case when not {wanted} then null when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                 else pg_current_wal_insert_lsn() end) as lsn,
    (select case when not {wanted} then null
                 when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
                 else ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int end) as timeline,
    (select case when {wanted} then (select system_identifier from pg_control_system()) end) as system_id
"""


async def committed(connection: asyncpg.Connection) -> Position:
    """Where the primary is now: whoever has replayed so much has seen every commit acknowledged on this connection."""
    (row,) = await connection.fetch(_COMMITTED)
    return Position(row["system_id"], row["timeline"], row["lsn"])


def position_of(row: asyncpg.Record) -> Position | None:
    """The columns of POSITION, if they were wanted."""
    return None if row["lsn"] is None else Position(row["system_id"], row["timeline"], row["lsn"])
