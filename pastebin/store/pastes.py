"""Pastes, revisions and files in SQL. Every change is one statement on the primary, so it happens wholly or not at all.

Whether a paste has expired is always the database's clock to say, never a node's. Lookups, creates and revisions of
many requests share their statements.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Literal

import asyncpg

from pastebin.deadlines import DUE
from pastebin.errors import PasteNotFound, RevisionConflict
from pastebin.models import Changes, Draft, Paste
from pastebin.store import creations, revisions, rows
from pastebin.store.batching import Batcher
from pastebin.store.creations import Creations, Landed
from pastebin.store.database import Database
from pastebin.store.flights import note, position_after
from pastebin.store.lookups import Bodies, Lookups, Marks, Wish
from pastebin.store.revisions import Revised, Revision, Revisions

__all__ = ["Bodies", "Pastes"]

_END = f"""
with ended as (
    update pastes p set state = $2, ended_at = now(), title = null, password_hash = null, encryption = null
    where p.id = $1 and {rows.LIVE}
    returning p.id, p.slug
), news as (
    insert into outbox (kind, slug, paste_id, payload)
    select case $2 when 'deleted' then 'delete' else 'take-down' end, slug, id, $3::jsonb from ended
), settled as (
    delete from reports r using ended e where r.paste_id = e.id
)
select pg_current_xact_id() as change from ended
"""

# One reading of a read-limited paste: counts it and hands out what it allows in the same statement.
_TAKE_READ = f"""
with paste as (
    update pastes p set
        reads = p.reads + 1,
        state = case when p.reads + 1 >= p.max_reads then 'burned' else p.state end,
        ended_at = case when p.reads + 1 >= p.max_reads then now() else p.ended_at end
    where p.id = $1 and p.version = $2 and {rows.LIVE} and (p.max_reads is null or p.reads < p.max_reads)
    returning *
), news as (
    insert into outbox (kind, slug, paste_id) select 'burn', slug, id from paste where state = 'burned'
)
select {rows.PASTE}, {rows.FILE}, f.body
from paste p join files f on f.paste_id = p.id and f.revision = p.revision
order by f.position
"""
# The readings that are left, all at once and by nobody.
_BURN = f"""
with paste as (
    update pastes p set state = 'burned', ended_at = now()
    where p.id = $1 and p.version = $2 and {rows.LIVE} and p.reads < p.max_reads
    returning p.id, p.slug
), news as (
    insert into outbox (kind, slug, paste_id) select 'burn', slug, id from paste
)
select pg_current_xact_id() as change from paste
"""
_IS_LIVE = f"select {rows.LIVE} from pastes p where p.id = $1"


class Pastes:
    """Finds pastes and makes changes to them durable. Methods return models and raise domain words.

    The session of the current request (`pastebin.positions`) is honoured by what is read and moved by everything.
    """

    def __init__(
        self,
        database: Database,
        lookups: Lookups,
        creations: Batcher[Draft, Landed],
        revisions: Batcher[Revision, Revised],
    ) -> None:
        self._database = database
        self._lookups = lookups
        self._creations = creations
        self._revisions = revisions

    @classmethod
    @asynccontextmanager
    async def opened(cls, database: Database, inline_max_bytes: int) -> AsyncIterator[Pastes]:
        """Work while the block lasts; leaving it waits for the statements under way."""
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            yield cls(
                database,
                await enter(Lookups.opened(database, inline_max_bytes)),
                await enter(Batcher.running("creates", Creations(database).send, creations.BOUNDS, creations.keys_of)),
                await enter(
                    Batcher.running("revisions", Revisions(database).send, revisions.BOUNDS, revisions.keys_of)
                ),
            )

    def mark(self, marks: Marks) -> None:
        """Have lookups ask only servers that have seen what `marks` says of the slug."""
        self._lookups.marks = marks

    async def find(
        self,
        slug: str,
        *,
        bodies: Bodies = "none",
        body_of: str | None = None,
        token_hash: bytes | None = None,
        from_primary: bool = False,
    ) -> Paste:
        """The live paste with its current files; `bodies` or the name `body_of` say whose inline bytes come along.

        Those of a private paste stay where they are unless `token_hash` is its own: how long an answer takes must not
        depend on what a stranger may not see. Who is going to change what was found asks `from_primary`. Raises
        PasteNotFound for whatever is unknown, expired, deleted or burned.
        """
        return await self._lookups.find(Wish.of(slug, bodies, body_of, token_hash), from_primary=from_primary)

    async def now(self) -> datetime:
        """What the database's clock says."""
        async with self._database.primary() as connection:
            moment: datetime = await connection.fetchval("select now()")
        return moment

    async def create(self, draft: Draft) -> Paste:
        """Make a draft live. Raises SlugTaken; InvalidPaste if its expiry has passed; IdempotencyMismatch.

        DatabaseUnavailable may mean that it was made all the same: only an Idempotency-Key makes it safe to try again.
        """
        landed = await self._creations.submit(draft, creations.bytes_of(draft), deadline=DUE.get())
        note(landed.position)
        if landed.paste is not None:
            return landed.paste
        assert landed.earlier is not None  # noqa: S101  (a draft that landed made a paste or found one)
        return await self._lookups.find(Wish(landed.earlier), from_primary=True)

    def begin(self, draft: Draft, tell: Callable[[Landed | Exception], None]) -> Callable[[], None]:
        """`create` for a caller who does not wait but is told, once and later; the position is for the caller to note.

        Returns what takes back a draft that has not been sent yet: nobody is told then. Raises Overloaded.
        """
        return self._creations.hand_in(draft, creations.bytes_of(draft), tell)

    async def revise(self, paste: Paste, changes: Changes) -> Paste:
        """Apply changes to the paste as it was read. Raises RevisionConflict if it has changed since, PasteNotFound."""
        revision = Revision(paste, changes)
        revised = await self._revisions.submit(revision, revisions.bytes_of(revision), deadline=DUE.get())
        note(revised.position)
        return revised.paste

    async def delete(self, paste: Paste) -> int:
        """End a paste for everybody, at once, and return the transaction that did. Raises PasteNotFound if it ended
        meanwhile.
        """
        return await self._end(paste, "deleted")

    async def take_down(self, paste: Paste, reason: str = "") -> int:
        """The same against the will of its owner; complaints about it are settled by that."""
        return await self._end(paste, "taken-down", {"reason": reason} if reason else None)

    async def _end(
        self, paste: Paste, state: Literal["deleted", "taken-down"], payload: dict[str, str] | None = None
    ) -> int:
        async with self._database.primary() as connection:
            change: int | None = await connection.fetchval(_END, paste.id, state, payload)
            if change is None:
                raise PasteNotFound
            note(await position_after(connection))
        self._database.changes.ring()
        return change

    async def take_read(self, paste: Paste) -> Paste:
        """Consume one read and return what was read, bodies included; the last read burns the paste.

        Of any number of concurrent callers exactly `max_reads` succeed in all, the others raise PasteNotFound.
        Raises RevisionConflict if the paste was changed since it was looked at: nothing was consumed.
        """
        async with self._database.primary() as connection:
            found = await connection.fetch(_TAKE_READ, paste.id, paste.version)
            if found:
                note(await position_after(connection))
                read = _paste(found)
                if not read.reads_left:
                    self._database.changes.ring()
                return read
            is_live = await connection.fetchval(_IS_LIVE, paste.id)
        if is_live:
            raise RevisionConflict
        raise PasteNotFound

    async def burn(self, paste: Paste) -> int:
        """End a read-limited paste as its last read would, and return the transaction that did.

        Raises RevisionConflict if it was changed since it was looked at, PasteNotFound.
        """
        async with self._database.primary() as connection:
            change: int | None = await connection.fetchval(_BURN, paste.id, paste.version)
            if change is None and await connection.fetchval(_IS_LIVE, paste.id):
                raise RevisionConflict
            if change is None:
                raise PasteNotFound
            note(await position_after(connection))
        self._database.changes.ring()
        return change


def _paste(found: Sequence[asyncpg.Record]) -> Paste:
    return rows.paste_of(found[0], tuple(rows.file_of(row) for row in found))
