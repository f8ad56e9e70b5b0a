"""The salts of the day, made by whoever asks first and destroyed by whoever asks two days later.

Which day it is says the primary's clock alone. The table is not logged: after a failover, or a crash of the server, it
is empty, and a new salt is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from pastebin.store.database import Database
from pastebin.visitors import SALT_BYTES, Salts

# $1 moves the clock; nothing but a test does so.
_TODAY = "floor(extract(epoch from clock_timestamp() + $1::interval) / 86400)::int"
_READ = f"select t.today, s.period, s.salt from (select {_TODAY} as today) t left join salts s on true order by period"
_PATIENCE = "set local lock_timeout = '2s'"
_LOCK = "lock table salts in access exclusive mode"
_EMPTY = "truncate salts"
_KEEP = "insert into salts (period, salt) select * from unnest($1::int[], $2::bytea[])"
_NOT_AT_ALL = timedelta(0)


class SaltStore:
    """Reads and makes salts on the primary."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch(self, moved_by: timedelta = _NOT_AT_ALL) -> Salts:
        """The salts of today. Raises as `Database.primary` does.

        A row is never just deleted: its bytes would stay in the file until somebody needs the room. The table gets a
        new file, and the old one is removed with the commit.
        """
        async with self._database.primary() as connection:
            today, known = _known(await connection.fetch(_READ, moved_by))
            if today in known and set(known) <= _kept(today):
                return _salts(today, known)
            async with connection.transaction():
                await connection.execute(_PATIENCE)
                await connection.execute(_LOCK)
                today, known = _known(await connection.fetch(_READ, moved_by))
                kept = {period: salt for period, salt in known.items() if period in _kept(today)}
                if today not in kept:
                    kept[today] = secrets.token_bytes(SALT_BYTES)
                if kept != known:
                    await connection.execute(_EMPTY)
                    await connection.execute(_KEEP, list(kept), list(kept.values()))
        return _salts(today, kept)


def _kept(today: int) -> set[int]:
    """After a failover the clock may have gone back a little, over midnight."""
    return {today - 1, today, today + 1}


def _known(rows: Sequence[asyncpg.Record]) -> tuple[int, dict[int, bytes]]:
    return rows[0]["today"], {row["period"]: row["salt"] for row in rows if row["period"] is not None}


def _salts(today: int, known: dict[int, bytes]) -> Salts:
    return Salts(today, known[today], known.get(today - 1, b""))
