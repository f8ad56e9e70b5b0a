"""Pastes, revisions and files in SQL. Every change is one statement on the primary, so it happens wholly or not at all.

Whether a paste has expired is always the database's clock to say, never a node's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import asyncpg

from pastebin.errors import (
    IdempotencyMismatch,
    InvalidPaste,
    PasteNotFound,
    Problem,
    RevisionConflict,
    SlugTaken,
)
from pastebin.models import Changes, Draft, File, Paste
from pastebin.store.database import Database

Bodies = Literal["none", "all", "sole"]

_PASTE = """p.id, p.slug, p.title, p.visibility, p.created_at, p.revised_at, p.expires_at, p.max_reads, p.reads, p.parent,
    p.encryption, p.token_hash, p.password_hash, p.revision"""
_FILE = "f.position, f.name, f.media_type, f.syntax, f.size, f.sha256, f.blob_key"
_LIVE = "p.state = 'live' and (p.expires_at is null or p.expires_at > now())"

# $2: none, all, sole (if the paste has just one file) or named (the file called $3)
_FIND = f"""
select {_PASTE}, {_FILE},
       case when case $2 when 'all' then true
                         when 'sole' then count(*) over () = 1
                         when 'named' then f.name = $3
                         else false end
            then f.body end as body
from pastes p join files f on f.paste_id = p.id and f.revision = p.revision
where p.slug = $1 and {_LIVE}
order by f.position
"""

_FILES_OF_ARRAYS = """
    select * from unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[], $8::text[])
        as f (position, name, media_type, syntax, size, sha256, body, blob_key)
"""

_CREATE = f"""
with files_in as ({_FILES_OF_ARRAYS}),
paste as (
    insert into pastes (slug, visibility, title, token_hash, password_hash, encryption, parent, max_reads, expires_at,
                        idempotency_hash, fingerprint)
    select $9, $10, $11, $12, $13, $14, $15, $16, coalesce($17::timestamptz, now() + $18::interval), $19, $20
    where $17::timestamptz is null or $17 > now()
    on conflict do nothing
    returning *
), revision as (
    insert into revisions (paste_id, number) select id, 1 from paste
), kept as (
    update blobs set state = 'live', changed_at = now()
    where key = any($8) and exists (select from paste)
), file as (
    insert into files (paste_id, revision, position, name, media_type, syntax, size, sha256, body, blob_key)
    select paste.id, 1, f.* from paste, files_in f
)
select {_PASTE} from paste p
"""

# Why did a create insert nothing? Also finds what an earlier request with the same Idempotency-Key made.
_REFUSAL = """
select exists (select from pastes where slug = $1) as taken,
       $2::timestamptz is not null and $2 <= now() as past
"""
_BY_IDEMPOTENCY = f"""
select p.slug, p.fingerprint, p.created_at > now() - interval '24 hours' as recent, {_LIVE} as live
from pastes p where p.idempotency_hash = $1
"""
_FORGET_IDEMPOTENCY = """
update pastes set idempotency_hash = null, fingerprint = null
where idempotency_hash = $1 and created_at <= now() - interval '24 hours'
"""

_REVISE = f"""
with files_in as ({_FILES_OF_ARRAYS}),
paste as (
    update pastes p set
        revision = p.revision + (case when cardinality($1::int[]) > 0 then 1 else 0 end),
        revised_at = case when cardinality($1::int[]) > 0 then now() else p.revised_at end,
        title = case when $11 then $12 else p.title end,
        visibility = coalesce($13, p.visibility),
        expires_at = case when $14 then coalesce($15::timestamptz, now() + $16::interval) else p.expires_at end,
        max_reads = case when $17 then $18 else p.max_reads end,
        reads = case when $17 then 0 else p.reads end,
        password_hash = case when $19 then $20 else p.password_hash end
    where p.id = $9 and p.revision = $10 and {_LIVE} and ($15::timestamptz is null or $15 > now())
    returning *
), revision as (
    insert into revisions (paste_id, number) select id, revision from paste where cardinality($1::int[]) > 0
), kept as (
    update blobs set state = 'live', changed_at = now()
    where key = any($8) and exists (select from paste)
), file as (
    insert into files (paste_id, revision, position, name, media_type, syntax, size, sha256, body, blob_key)
    select paste.id, paste.revision, f.* from paste, files_in f
)
select {_PASTE} from paste p
"""
_REVISE_REFUSAL = (
    f"select {_LIVE} as live, $2::timestamptz is not null and $2 <= now() as past from pastes p where p.id = $1"
)

_END = f"""
update pastes p set state = $2, ended_at = now(), title = null, password_hash = null, encryption = null
where p.id = $1 and {_LIVE}
returning p.id
"""

# One reading of a read-limited paste: counts it and hands out what it allows in the same statement (see design.md, 6).
_TAKE_READ = f"""
with paste as (
    update pastes p set
        reads = p.reads + 1,
        state = case when p.reads + 1 >= p.max_reads then 'burned' else p.state end,
        ended_at = case when p.reads + 1 >= p.max_reads then now() else p.ended_at end
    where p.id = $1 and p.revision = $2 and {_LIVE} and (p.max_reads is null or p.reads < p.max_reads)
    returning *
)
select {_PASTE}, {_FILE}, f.body
from paste p join files f on f.paste_id = p.id and f.revision = p.revision
order by f.position
"""


class Pastes:
    """Finds pastes and makes changes to them durable. Methods return models and raise domain words."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, slug: str, *, bodies: Bodies = "none", body_of: str | None = None) -> Paste:
        """The live paste with its current files; `bodies` or the name `body_of` say whose inline bytes come along.

        Raises PasteNotFound for whatever is unknown, expired, deleted or burned.
        """
        which = "named" if body_of is not None else bodies
        return _paste(await self._database.read(lambda connection: connection.fetch(_FIND, slug, which, body_of)))

    async def create(self, draft: Draft) -> Paste:
        """Make a draft live. Raises SlugTaken; InvalidPaste if its expiry has passed; IdempotencyMismatch."""
        async with self._database.primary() as connection:
            if draft.idempotency_hash is not None:
                await connection.execute(_FORGET_IDEMPOTENCY, draft.idempotency_hash)
            row = await connection.fetchrow(
                _CREATE,
                *_arrays(draft.files),
                draft.slug,
                draft.visibility,
                draft.title,
                draft.token_hash,
                draft.password_hash,
                draft.encryption,
                draft.parent,
                draft.max_reads,
                draft.expires_at,
                draft.lifetime,
                draft.idempotency_hash,
                draft.fingerprint,
            )
            if row is not None:
                return _model(row, draft.files)
            earlier = await self._earlier(connection, draft)
            if earlier is None:
                await self._refuse(connection, draft)
        return await self.find(earlier)

    async def _earlier(self, connection: asyncpg.Connection, draft: Draft) -> str | None:
        """The slug that the first request with this Idempotency-Key made, if it was for the same paste."""
        if draft.idempotency_hash is None:
            return None
        row = await connection.fetchrow(_BY_IDEMPOTENCY, draft.idempotency_hash)
        if row is None:
            return None
        if row["fingerprint"] != draft.fingerprint:
            raise IdempotencyMismatch
        if not row["live"]:
            raise PasteNotFound("This Idempotency-Key made a paste that is gone already.")
        return str(row["slug"])

    async def _refuse(self, connection: asyncpg.Connection, draft: Draft) -> NoReturn:
        row = await connection.fetchrow(_REFUSAL, draft.slug, draft.expires_at)
        if row is not None and row["past"]:
            raise InvalidPaste([Problem("expires_at", "must lie in the future")])
        raise SlugTaken(f"Another paste has the slug '{draft.slug}' already.")

    async def revise(self, paste: Paste, changes: Changes) -> Paste:
        """Apply changes to the paste as it was read. Raises RevisionConflict if it has changed since, PasteNotFound."""
        members = changes.members
        files = changes.files or ()
        async with self._database.primary() as connection:
            row = await connection.fetchrow(
                _REVISE,
                *_arrays(files),
                paste.id,
                paste.revision,
                "title" in members,
                members.get("title"),
                members.get("visibility"),
                "expires_at" in members or "lifetime" in members,
                members.get("expires_at"),
                members.get("lifetime"),
                "max_reads" in members,
                members.get("max_reads"),
                "password_hash" in members,
                members.get("password_hash"),
            )
            if row is not None:
                return _model(row, files or paste.files)
            why = await connection.fetchrow(_REVISE_REFUSAL, paste.id, members.get("expires_at"))
        if why is None or not why["live"]:
            raise PasteNotFound
        if why["past"]:
            raise InvalidPaste([Problem("expires_at", "must lie in the future")])
        raise RevisionConflict

    async def delete(self, paste: Paste) -> None:
        """End a paste for everybody, at once. Raises PasteNotFound if it ended meanwhile."""
        async with self._database.primary() as connection:
            if await connection.fetchval(_END, paste.id, "deleted") is None:
                raise PasteNotFound

    async def take_read(self, paste: Paste) -> Paste:
        """Consume one read and return what was read, bodies included; the last read burns the paste.

        Of any number of concurrent callers exactly `max_reads` succeed in all, the others raise PasteNotFound.
        Raises RevisionConflict if the paste was revised since it was looked at: nothing was consumed.
        """
        async with self._database.primary() as connection:
            rows = await connection.fetch(_TAKE_READ, paste.id, paste.revision)
            if rows:
                return _paste(rows)
            why = await connection.fetchrow(_REVISE_REFUSAL, paste.id, None)
        if why is None or not why["live"]:
            raise PasteNotFound
        raise RevisionConflict


def _arrays(files: Sequence[File]) -> tuple[list[Any], ...]:
    return (
        [file.position for file in files],
        [file.name for file in files],
        [file.media_type for file in files],
        [file.syntax for file in files],
        [file.size for file in files],
        [file.sha256 for file in files],
        [file.body for file in files],
        [file.blob_key for file in files],
    )


def _paste(rows: Sequence[asyncpg.Record]) -> Paste:
    if not rows:
        raise PasteNotFound
    files = tuple(
        File(
            position=row["position"],
            name=row["name"],
            media_type=row["media_type"],
            syntax=row["syntax"],
            size=row["size"],
            sha256=row["sha256"],
            blob_key=row["blob_key"],
            body=row["body"],
        )
        for row in rows
    )
    return _model(rows[0], files)


def _model(row: asyncpg.Record, files: tuple[File, ...]) -> Paste:
    return Paste(
        id=row["id"],
        slug=row["slug"],
        title=row["title"],
        visibility=row["visibility"],
        created_at=row["created_at"],
        revised_at=row["revised_at"],
        expires_at=row["expires_at"],
        max_reads=row["max_reads"],
        reads=row["reads"],
        parent=row["parent"],
        encryption=row["encryption"],
        token_hash=row["token_hash"],
        password_hash=row["password_hash"],
        revision=row["revision"],
        files=files,
    )
