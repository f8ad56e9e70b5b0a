"""The line indexes of blobs in SQL, as the bytes that `pastebin.services.lines_index` makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from pastebin.store.connections import Connection
from pastebin.store.database import Database

# Nothing for a blob that has gone meanwhile, or is known already.
_KEEP = """
insert into line_indexes (blob_key, size, block_bytes, is_ended, counts)
select key, $2, $3, $4, $5 from blobs where key = $1 and state <> 'deleting'
on conflict do nothing
"""
_FIND = "select size, block_bytes, is_ended, counts from line_indexes where blob_key = $1"


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """See the table `line_indexes`."""

    size: int
    block_bytes: int
    is_ended: bool
    counts: bytes


class LineIndexes:
    """An index never changes: a blob does not. It goes when its blob goes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, blob_key: str, index: StoredIndex) -> None:
        """Keep the index of a blob that is known. Raises as `Database.primary` does."""
        async with self._database.primary() as connection:
            await connection.execute(_KEEP, blob_key, index.size, index.block_bytes, index.is_ended, index.counts)

    async def find(self, blob_key: str) -> StoredIndex | None:
        """The index of a blob, if it has one. A replica that lacks it may be behind: the primary says whether there is
        none. Raises as `Database.read` does.
        """

        async def ask(connection: Connection) -> asyncpg.Record | None:
            return await connection.fetchrow(_FIND, blob_key)

        row = await self._database.read(ask)
        if row is None and self._database.has_replicas:
            row = await self._database.read(ask, from_primary=True)
        return None if row is None else StoredIndex(**row)
