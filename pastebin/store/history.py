"""Earlier revisions of pastes, and pastes that came of others, in SQL.

The numbers of a paste's revisions have no gaps, so a replica that lacks one of them is only behind, and so is one that
has not seen the version of the paste that was found (a live paste becomes an ordinary one within its first revision):
then the primary is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import asyncpg

from pastebin.errors import PasteNotFound
from pastebin.models import File, Fork, Paste, RevisionNote
from pastebin.positions import SESSION
from pastebin.store import rows
from pastebin.store.connections import Connection
from pastebin.store.database import Database

_REVISIONS = f"""
select r.number, r.created_at, f.files_count, f.size
from pastes p
join lateral (
    select * from revisions r where r.paste_id = p.id and r.number < $2 order by r.number desc limit $3
) r on true
cross join lateral (
    select count(*)::int4 as files_count, coalesce(sum(size), 0)::int8 as size
    from files where paste_id = p.id and revision = r.number
) f
where p.id = $1 and p.version >= $4 and {rows.LIVE}
order by r.number desc
"""
# $3: whose inline body comes along; null for all of them
_REVISION = f"""
select {rows.FILE}, case when $3::text is null or f.name = $3 then f.body end as body, r.created_at
from pastes p
join revisions r on r.paste_id = p.id and r.number = $2
join files f on f.paste_id = p.id and f.revision = r.number
where p.id = $1 and p.version >= $4 and {rows.LIVE}
order by f.position
"""
_FORKS = f"""
select p.slug, p.title, p.created_at from pastes p
where p.parent = $1 and p.parent is not null and p.visibility = 'public' and {rows.LIVE}
  and p.max_reads is null and p.password_hash is null
order by p.id desc limit $2
"""


class History:
    """Reads what a paste was. Everything raises as `Database.read` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revisions(self, paste: Paste, *, before: int, limit: int) -> list[RevisionNote]:
        """Those with smaller numbers than `before`, the latest first. Raises PasteNotFound if the paste has ended."""
        first = min(before - 1, paste.latest or paste.revision)
        if first < 1:
            return []
        found = await self._read(
            *(_REVISIONS, paste.id, first + 1, limit, paste.version),
            is_whole=lambda rows: rows[0]["number"] == first,
        )
        return [RevisionNote(*row) for row in found]

    async def revision(self, paste: Paste, number: int, *, body_of: str | None = None) -> Paste:
        """The paste as it was, with its inline bodies, or only that of the file `body_of`. Raises PasteNotFound."""
        latest = paste.latest or paste.revision
        if not 1 <= number <= latest:
            raise PasteNotFound("This paste has no such revision.")
        found = await self._read(_REVISION, paste.id, number, body_of, paste.version)
        files = tuple(File(*row[: rows.FILE_COLUMNS]) for row in found)
        revised_at = found[0][rows.FILE_COLUMNS]
        return replace(
            paste, revision=number, files=files, revised_at=revised_at, latest=None if number == latest else latest
        )

    async def forks(self, slug: str, *, limit: int) -> list[Fork]:
        """Of the paste called `slug` those that everybody may know of, the latest first."""

        async def question(connection: Connection) -> list[asyncpg.Record]:
            return await connection.fetch(_FORKS, slug, limit)

        # one that is gone must not be named, and nobody knows of which replica has heard that
        return [Fork(*row) for row in await self._database.read(question, from_primary=True)]

    async def _read(
        self,
        statement: str,
        *arguments: object,
        is_whole: Callable[[Sequence[asyncpg.Record]], bool] = lambda rows: True,
    ) -> Sequence[asyncpg.Record]:
        """Rows of a revision that there has to be, from whoever has it."""

        async def question(connection: Connection) -> list[asyncpg.Record]:
            return await connection.fetch(statement, *arguments)

        session = SESSION.get()
        found = await self._database.read(question, at=session.required if session is not None else None)
        if not found or not is_whole(found):
            found = await self._database.read(question, from_primary=True)
        if not found:
            raise PasteNotFound
        return found
