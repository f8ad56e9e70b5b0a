"""Pastes that are being written, in SQL: what has arrived of each, piece by piece, until it is the paste's content.

A piece is durable before anybody reads it. Whoever ends a paste closes it first: from then on no piece is taken, so
what is read afterwards is all there is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import asyncpg

from pastebin.deadlines import DUE
from pastebin.errors import InvalidPaste, PasteNotFound, Problem, SlugTaken
from pastebin.models import Draft, File, Paste
from pastebin.store import rows
from pastebin.store.batching import Batcher, Bounds
from pastebin.store.connections import Connection
from pastebin.store.database import Database
from pastebin.store.flights import all_or_nothing, note, position_after

BOUNDS = Bounds(flight_rows=256, flight_bytes=4 * 1024**2)
# Of one reading: pieces are as small as what arrives at a time, and no larger than a write of `Living`.
_PIECES = 16

_START = f"""
with paste as (
    insert into pastes (slug, visibility, title, token_hash, parent, expires_at, analytics, is_growing)
    select $1, $2, $3, $4, $5, coalesce($6::timestamptz, now() + $7::interval), $8, true
    where $6::timestamptz is null or $6 > now()
    on conflict do nothing
    returning *
), revision as (
    insert into revisions (paste_id, number) select id, 1 from paste
), file as (
    insert into files (paste_id, revision, position, name, media_type, syntax, size, sha256, body)
    select id, 1, 0, $9, 'text/plain', $10, 0, $11, ''::bytea from paste
), live as (
    insert into lives (paste_id, lease_until) select id, now() + make_interval(secs => $12) from paste
), news as (
    insert into outbox (kind, slug, paste_id, size, syntax, tell)
    select 'create', slug, id, 0, $10, $13::bool from paste
)
select {rows.PASTE}, pg_current_xact_id() as change from paste p
"""
_IS_PAST = "select $1::timestamptz <= now()"

# A piece that was taken already is taken again without harm: who has lost the answer asks once more.
_APPEND = f"""
with piece as (
    select * from unnest($1::bigint[], $2::bigint[], $3::bytea[]) as s (paste_id, start, body)
), live as (
    update lives l set size = s.start + length(s.body), lease_until = now() + make_interval(secs => $4)
    from piece s join pastes p on p.id = s.paste_id and {rows.LIVE}
    where l.paste_id = s.paste_id and not l.is_closed and l.size in (s.start, s.start + length(s.body))
    returning l.paste_id
), kept as (
    insert into live_pieces (paste_id, start, body)
    select paste_id, start, body from piece join live using (paste_id) where length(body) > 0
    on conflict do nothing
)
select paste_id from live
"""
# Small pieces become large ones; what is read of them stays the same.
_MERGE = """
with small as (
    delete from live_pieces where paste_id = $1 and start >= $2 and start < $3 returning start, body
)
insert into live_pieces (paste_id, start, body)
select $1, min(start), string_agg(body, ''::bytea order by start) from small group by start / 65536
"""
_CLOSE = """
update lives set is_closed = true, lease_until = now() + make_interval(secs => $2) where paste_id = $1
"""
_CLAIM = f"""
with claimed as (
    update lives set is_closed = true, lease_until = now() + make_interval(secs => $1)
    where paste_id in (
        select paste_id from lives where lease_until < now() order by lease_until limit $2 for update skip locked
    )
    returning paste_id
)
select p.id, p.slug, f.name, f.syntax, {rows.LIVE} as is_live
from claimed c join pastes p on p.id = c.paste_id
left join files f on f.paste_id = p.id and f.revision = 1 and f.position = 0
"""
# Never what somebody else is just making a paste of.
_FORGET = f"delete from lives l using pastes p where l.paste_id = $1 and p.id = l.paste_id and not ({rows.LIVE})"
_SIZE = f"select l.size from lives l join pastes p on p.id = l.paste_id and {rows.LIVE} where l.paste_id = $1"
_READ = f"""
select l.size, s.start, s.body
from lives l join pastes p on p.id = l.paste_id and {rows.LIVE} left join lateral (
    select start, body from live_pieces
    where paste_id = l.paste_id
      and start >= coalesce((select max(start) from live_pieces where paste_id = l.paste_id and start <= $2), 0)
    order by start limit $3
) s on true
where l.paste_id = $1 order by s.start
"""
_FINISH = f"""
with ended as (
    delete from lives where paste_id = $1 returning paste_id
), paste as (
    update pastes p set is_growing = false, version = p.version + 1, revised_at = now()
    from ended where p.id = ended.paste_id and p.is_growing and {rows.LIVE}
    returning p.*
), kept as (
    update blobs set state = 'live', changed_at = now()
    where state = 'pending' and key = $7 and exists (select from paste)
    returning key
), file as (
    update files f
    set media_type = $2, syntax = $3, size = $4, sha256 = $5, body = $6, blob_key = (select key from kept)
    from paste where f.paste_id = paste.id and f.revision = 1 and f.position = 0
), news as (
    insert into outbox (kind, slug, paste_id, size, syntax) select 'revise', slug, id, $4, $3 from paste
)
select {rows.PASTE}, pg_current_xact_id() as change from paste p
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """What has arrived for a paste, behind its first `start` bytes; an empty one only says that its writer is there."""

    paste_id: int
    start: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """Of a paste of `size` bytes so far, those from the one that was asked for, as far as one reading goes."""

    size: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A paste that has to be ended. One that is not live any more is gone: nothing is to be made of it."""

    paste_id: int
    slug: str
    name: str | None = None
    syntax: str | None = None
    is_live: bool = True


class Lives:
    """Everything raises as `Database.primary` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, draft: Draft, lease_seconds: float) -> Paste:
        """Make a paste that is being written. Raises SlugTaken; InvalidPaste if its expiry has passed."""
        (file,) = draft.files
        async with self._database.primary() as connection:
            row = await connection.fetchrow(
                _START,
                draft.slug,
                draft.visibility,
                draft.title,
                draft.token_hash,
                draft.parent,
                draft.expires_at,
                draft.lifetime,
                draft.analytics,
                file.name,
                file.syntax,
                file.sha256,
                lease_seconds,
                draft.is_named,
            )
            if row is None:
                if draft.expires_at is not None and await connection.fetchval(_IS_PAST, draft.expires_at):
                    raise InvalidPaste([Problem("expires_at", "must lie in the future")])
                raise SlugTaken(f"Another paste has the slug '{draft.slug}' already.")
            note(await position_after(connection))
        if draft.is_named:
            self._database.changes.ring()
        return replace(rows.paste_of(row, draft.files), change=row["change"])

    async def merge(self, paste_id: int, start: int, end: int) -> None:
        """Make the pieces between two of them fewer."""
        async with self._database.primary() as connection:
            await connection.execute(_MERGE, paste_id, start, end)

    async def close(self, paste_id: int, lease_seconds: float) -> None:
        """Take no more pieces; the caller ends the paste within `lease_seconds`, or somebody else does."""
        async with self._database.primary() as connection:
            await connection.execute(_CLOSE, paste_id, lease_seconds)

    async def claim(self, lease_seconds: float, limit: int) -> list[Unfinished]:
        """Close what its writers have left; the caller ends it, as above."""
        async with self._database.primary() as connection:
            found = await connection.fetch(_CLAIM, lease_seconds, limit)
        return [Unfinished(row["id"], row["slug"], row["name"], row["syntax"], row["is_live"]) for row in found]

    async def forget(self, paste_id: int) -> None:
        """Remove what has arrived for a paste that is gone."""
        async with self._database.primary() as connection:
            await connection.execute(_FORGET, paste_id)

    async def size(self, paste_id: int, *, from_primary: bool) -> int | None:
        """How much has arrived; None if the paste is not being written any more. Another server may know less."""

        async def question(connection: Connection) -> int | None:
            size: int | None = await connection.fetchval(_SIZE, paste_id)
            return size

        if from_primary:
            async with self._database.primary() as connection:
                return await question(connection)
        return await self._database.read(question)

    async def read(self, paste_id: int, start: int, *, from_primary: bool) -> Arrived | None:
        """What has arrived from there on; None if the paste is not being written any more.

        Another server than the primary may know less, never anything else.
        """

        async def question(connection: Connection) -> Arrived | None:
            return _arrived(await connection.fetch(_READ, paste_id, start, _PIECES), start)

        if from_primary:
            async with self._database.primary() as connection:
                return await question(connection)
        return await self._database.read(question)

    async def finish(self, paste_id: int, file: File) -> Paste:
        """Make it an ordinary paste with this content. Raises PasteNotFound if it is gone, or was ended already."""
        async with self._database.primary() as connection:
            row = await connection.fetchrow(
                _FINISH,
                paste_id,
                file.media_type,
                file.syntax,
                file.size,
                file.sha256,
                file.body,
                file.blob_key,
            )
            if row is None:
                raise PasteNotFound
            note(await position_after(connection))
        self._database.changes.ring()
        return replace(rows.paste_of(row, (file,)), change=row["change"])


def _arrived(found: Sequence[asyncpg.Record], start: int) -> Arrived | None:
    if not found:
        return None
    pieces = [(row["start"], row["body"]) for row in found if row["start"] is not None]
    assert all(one[0] + len(one[1]) == other[0] for one, other in pairwise(pieces))  # noqa: S101  (as they are written)
    body = b"".join(body for _, body in pieces)
    return Arrived(found[0]["size"], body[max(start - pieces[0][0], 0) :] if pieces else b"")


class Appends:
    """What arrives for all pastes of this node, in as few commits as go."""

    def __init__(self, batcher: Batcher[Piece, None]) -> None:
        self._batcher = batcher

    @classmethod
    @asynccontextmanager
    async def opened(cls, database: Database, lease_seconds: float) -> AsyncIterator[Appends]:
        """Take pieces while the block lasts. With each its writer is believed to be there for `lease_seconds` more."""

        async def send(pieces: Sequence[Piece]) -> Sequence[Exception | None]:
            async with database.primary() as connection:
                with all_or_nothing():
                    found = await connection.fetch(
                        _APPEND,
                        [piece.paste_id for piece in pieces],
                        [piece.start for piece in pieces],
                        [piece.body for piece in pieces],
                        lease_seconds,
                    )
            taken = {row["paste_id"] for row in found}
            return [None if piece.paste_id in taken else PasteNotFound() for piece in pieces]

        async with Batcher.running("live pieces", send, BOUNDS, _keys_of) as batcher:
            yield cls(batcher)

    async def take(self, piece: Piece) -> None:
        """Make it durable. Raises PasteNotFound if the paste is gone, or was ended by somebody else."""
        await self._batcher.submit(piece, 512 + len(piece.body), deadline=DUE.get())


def _keys_of(piece: Piece) -> Collection[Hashable]:
    return (piece.paste_id,)
