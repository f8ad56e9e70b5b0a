"""Group commit of changes to pastes: many changes, one statement, one durable commit."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from pastebin.errors import InvalidPaste, PasteNotFound, Problem, RevisionConflict
from pastebin.models import Changes, File, Paste
from pastebin.positions import Position
from pastebin.store import rows
from pastebin.store.batching import Bounds
from pastebin.store.connections import Connection
from pastebin.store.database import Database
from pastebin.store.flights import all_or_nothing, position_after, word_of

BOUNDS = Bounds(flight_rows=128, flight_bytes=4 * 1024**2, flights=1)

_CHANGE_COLUMNS = """id, version, has_content, has_title, title, visibility, has_expiry, expires_at, lifetime,
    has_max_reads, max_reads, has_password, password_hash, analytics"""
_CHANGE_TYPES = (
    *("bigint[]", "int[]", "bool[]", "bool[]", "text[]", "text[]", "bool[]", "timestamptz[]", "interval[]"),
    *("bool[]", "int[]", "bool[]", "text[]", "text[]"),
)

_REVISE = f"""
with change as (
    select * from unnest({rows.placeholders(_CHANGE_TYPES)}) as c ({_CHANGE_COLUMNS})
), content as (
    select * from unnest({rows.placeholders(("bigint[]", *rows.CONTENT_TYPES), len(_CHANGE_TYPES) + 1)})
        as f (id, {rows.CONTENT_COLUMNS})
), paste as (
    update pastes p set
        revision = p.revision + c.has_content::int,
        version = p.version + 1,
        revised_at = case when c.has_content then now() else p.revised_at end,
        title = case when c.has_title then c.title else p.title end,
        visibility = coalesce(c.visibility, p.visibility),
        analytics = coalesce(c.analytics, p.analytics),
        expires_at = case when c.has_expiry then coalesce(c.expires_at, now() + c.lifetime) else p.expires_at end,
        max_reads = case when c.has_max_reads then c.max_reads else p.max_reads end,
        reads = case when c.has_max_reads then 0 else p.reads end,
        password_hash = case when c.has_password then c.password_hash else p.password_hash end
    from change c
    where p.id = c.id and p.version = c.version and {rows.LIVE} and (c.expires_at is null or c.expires_at > now())
    returning p.*, c.has_content
), revision as (
    insert into revisions (paste_id, number) select id, revision from paste where has_content
), arrived as (
    update blobs set state = 'live', changed_at = now()
    where state = 'pending'
      and key in (select f.blob_key from content f join paste using (id) where f.blob_key is not null)
    returning key
), kept as (
    -- what a revision before has is there as long as the paste is
    select key from arrived
    union select f.blob_key from content f join paste using (id)
    where exists (select from files o where o.paste_id = paste.id and o.blob_key = f.blob_key)
), file as (
    insert into files (paste_id, revision, {rows.CONTENT_COLUMNS})
    select paste.id, paste.revision, {rows.CONTENT_VALUES}
    from paste join content f using (id) left join kept on kept.key = f.blob_key
), news as (
    insert into outbox (kind, slug, paste_id, size, syntax)
    select 'revise', slug, id, (select sum({rows.CONTENT_SIZE}) from content f where f.id = paste.id),
           (select f.syntax from content f where f.id = paste.id and {rows.CONTENT_POSITION} = 0)
    from paste
)
select {rows.PASTE}, pg_current_xact_id() as change from paste p
"""
_REFUSALS = f"""
select c.id, {rows.LIVE} as live, c.expires_at <= now() as past
from unnest($1::bigint[], $2::timestamptz[]) as c (id, expires_at) left join pastes p on p.id = c.id
"""


@dataclass(frozen=True, slots=True)
class Revision:
    """A change to a paste as somebody has read it."""

    paste: Paste
    changes: Changes

    @property
    def files(self) -> tuple[File, ...]:
        return self.changes.files or ()


@dataclass(frozen=True, slots=True)
class Revised:
    """The paste as the change has made it, and where that lies."""

    paste: Paste
    position: Position | None


def keys_of(revision: Revision) -> Collection[Hashable]:
    return (revision.paste.id,)


def bytes_of(revision: Revision) -> int:
    return 1024 + rows.bytes_of(revision.files)


@dataclass(frozen=True, slots=True)
class Revisions:
    """The flights of `Pastes.revise`."""

    database: Database

    async def send(self, revisions: Sequence[Revision]) -> Sequence[Revised | Exception]:
        """Apply changes with one commit; each has its own outcome.

        An outcome is RevisionConflict, PasteNotFound, or InvalidPaste if the new expiry has passed. Raises NothingDone
        if one of the changes is more than the database can take.
        """
        async with self.database.primary() as connection:
            with all_or_nothing():
                found = {row["id"]: row for row in await connection.fetch(_REVISE, *_arrays(revisions))}
            refused = [revision for revision in revisions if revision.paste.id not in found]
            refusals: dict[int, Exception] = {}
            if refused:
                refusals = await _refusals(connection, refused)
            position = await position_after(connection)
        if found:
            self.database.changes.ring()
        outcomes: list[Revised | Exception] = []
        for revision in revisions:
            row = found.get(revision.paste.id)
            if row is None:
                outcomes.append(refusals[revision.paste.id])
            else:
                paste = rows.paste_of(row, revision.files or revision.paste.files)
                outcomes.append(Revised(replace(paste, change=row["change"]), position))
        return outcomes


async def _refusals(connection: Connection, refused: Sequence[Revision]) -> dict[int, Exception]:
    try:
        found = await connection.fetch(
            _REFUSALS,
            [revision.paste.id for revision in refused],
            [revision.changes.members.get("expires_at") for revision in refused],
        )
    except Exception as error:  # the changes that were made are made, whatever happens to the answers of the others
        return {revision.paste.id: word_of(error) for revision in refused}
    return {row["id"]: _refusal(row) for row in found}


def _refusal(row: asyncpg.Record) -> Exception:
    if not row["live"]:
        return PasteNotFound()
    if row["past"]:
        return InvalidPaste([Problem("expires_at", "must lie in the future")])
    return RevisionConflict()


def _arrays(revisions: Sequence[Revision]) -> tuple[list[Any] | None, ...]:
    """One array for each of _CHANGE_COLUMNS, then those of the files."""
    members = [revision.changes.members for revision in revisions]
    return (
        [revision.paste.id for revision in revisions],
        [revision.paste.version for revision in revisions],
        [bool(revision.files) for revision in revisions],
        ["title" in given for given in members],
        [given.get("title") for given in members],
        [given.get("visibility") for given in members],
        ["expires_at" in given or "lifetime" in given for given in members],
        [given.get("expires_at") for given in members],
        [given.get("lifetime") for given in members],
        ["max_reads" in given for given in members],
        [given.get("max_reads") for given in members],
        ["password_hash" in given for given in members],
        [given.get("password_hash") for given in members],
        [given.get("analytics") for given in members],
        [revision.paste.id for revision in revisions for _ in revision.files],
        *rows.arrays_of(file for revision in revisions for file in revision.files),
    )
