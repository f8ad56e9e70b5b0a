"""Group commit of new pastes: many drafts, one statement, one durable commit."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from pastebin.errors import IdempotencyMismatch, InvalidPaste, PasteNotFound, Problem, SlugTaken
from pastebin.models import Draft, Paste
from pastebin.positions import Position
from pastebin.store import rows
from pastebin.store.batching import Bounds
from pastebin.store.connections import Connection
from pastebin.store.database import Database
from pastebin.store.flights import all_or_nothing, position_after, word_of

BOUNDS = Bounds(flight_rows=256, flight_bytes=4 * 1024**2)

_DRAFT_COLUMNS = """slug, visibility, title, token_hash, password_hash, encryption, parent, max_reads, expires_at,
    lifetime, idempotency_hash, fingerprint, is_named, size, syntax, analytics"""
_DRAFT_TYPES = (
    *("text[]", "text[]", "text[]", "bytea[]", "text[]", "jsonb[]", "text[]", "int[]", "timestamptz[]"),
    *("interval[]", "bytea[]", "bytea[]", "bool[]", "bigint[]", "text[]", "text[]"),
)

_ARRIVED = """kept as (
    update blobs set state = 'live', changed_at = now()
    where state = 'pending'
      and key in (select f.blob_key from content f join paste using (slug) where f.blob_key is not null)
    returning key
)"""
# A fork has blobs of its parent as well: nobody ends them before the fork has its files.
_SHARED = """arrived as (
    update blobs set state = 'live', changed_at = now()
    where state = 'pending'
      and key in (select f.blob_key from content f join paste using (slug) where f.blob_key is not null)
    returning key
), shared as (
    select key from blobs
    where state = 'live'
      and key in (select f.blob_key from content f join paste using (slug) where f.blob_key is not null)
    for key share
), kept as (
    select key from arrived union all select key from shared
)"""
_CREATE = f"""
with draft as (
    select * from unnest({rows.placeholders(_DRAFT_TYPES)}) as d ({_DRAFT_COLUMNS})
), content as (
    select * from unnest({rows.placeholders(("text[]", *rows.CONTENT_TYPES), len(_DRAFT_TYPES) + 1)})
        as f (slug, {rows.CONTENT_COLUMNS})
), paste as (
    insert into pastes (slug, visibility, title, token_hash, password_hash, encryption, parent, max_reads, expires_at,
                        idempotency_hash, fingerprint, analytics)
    select slug, coalesce(visibility, 'unlisted'), title, token_hash, password_hash, encryption, parent, max_reads,
           coalesce(expires_at, now() + lifetime), idempotency_hash, fingerprint, coalesce(analytics, 'owner')
    from draft where expires_at is null or expires_at > now()
    on conflict do nothing
    returning *
), revision as (
    insert into revisions (paste_id, number) select id, 1 from paste
), {_ARRIVED}, file as (
    insert into files (paste_id, revision, {rows.CONTENT_COLUMNS})
    select paste.id, 1, {rows.CONTENT_VALUES}
    from paste join content f using (slug) left join kept on kept.key = f.blob_key
), news as (
    insert into outbox (kind, slug, paste_id, size, syntax, tell)
    select 'create', slug, paste.id, size, syntax, coalesce(is_named, false) from paste join draft using (slug)
)
select id, slug, created_at, expires_at, encryption, pg_current_xact_id() as change from paste
"""

_FORK = _CREATE.replace(_ARRIVED, _SHARED)

# Why did some drafts become no rows? Also finds what earlier requests with the same Idempotency-Key made.
_REFUSALS = f"""
select d.slug, d.expires_at <= now() as past, p.slug as earlier, p.fingerprint,
       p.created_at > now() - interval '24 hours' as recent, {rows.LIVE} as live
from unnest($1::text[], $2::timestamptz[], $3::bytea[]) as d (slug, expires_at, idempotency_hash)
left join pastes p on p.idempotency_hash = d.idempotency_hash
"""
_FORGET_IDEMPOTENCY = """
update pastes set idempotency_hash = null, fingerprint = null
where idempotency_hash = any($1) and created_at <= now() - interval '24 hours'
"""


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of a draft: the paste it made, or the slug of the one that an earlier, equal request had made."""

    paste: Paste | None
    earlier: str | None
    position: Position | None


def keys_of(draft: Draft) -> Collection[Hashable]:
    """What a draft claims for itself alone: within one statement nobody else may."""
    slug = ("slug", draft.slug)
    return (slug,) if draft.idempotency_hash is None else (slug, ("key", draft.idempotency_hash))


def bytes_of(draft: Draft) -> int:
    return 1024 + rows.bytes_of(draft.files)


@dataclass(frozen=True, slots=True)
class Creations:
    """The flights of `Pastes.create`."""

    database: Database

    async def send(self, drafts: Sequence[Draft]) -> Sequence[Landed | Exception]:
        """Make drafts live with one commit; each has its own outcome.

        An outcome is SlugTaken, InvalidPaste if the expiry has passed, IdempotencyMismatch or PasteNotFound for a key
        that was used before. Raises NothingDone if one of the drafts is more than the database can take.
        """
        async with self.database.primary() as connection:
            made = await _insert(connection, drafts)
            refused = [draft for draft in drafts if draft.slug not in made]
            outcomes: dict[str, str | Exception] = {}
            if refused:
                outcomes = await _settle(connection, refused, made)
            position = await position_after(connection)
        if any(draft.is_named and draft.slug in made for draft in drafts):
            self.database.changes.ring()
        return [_landed(draft, made, outcomes, position) for draft in drafts]


def _landed(
    draft: Draft, made: dict[str, Paste], outcomes: dict[str, str | Exception], position: Position | None
) -> Landed | Exception:
    if draft.slug in made:
        return Landed(made[draft.slug], None, position)
    outcome = outcomes[draft.slug]
    return outcome if isinstance(outcome, Exception) else Landed(None, outcome, position)


async def _insert(connection: Connection, drafts: Sequence[Draft]) -> dict[str, Paste]:
    files = [file for draft in drafts for file in draft.files]
    with all_or_nothing():
        found = await connection.fetch(
            _FORK if any(draft.shares_blobs for draft in drafts) else _CREATE,
            *_arrays(drafts),
            [draft.slug for draft in drafts for _ in draft.files],
            *rows.arrays_of(files),
        )
    by_slug = {draft.slug: draft for draft in drafts}
    return {row["slug"]: _paste(row, by_slug[row["slug"]]) for row in found}


def _paste(row: asyncpg.Record, draft: Draft) -> Paste:
    """What the database has decided, and what the draft says already."""
    return Paste(
        id=row["id"],
        slug=draft.slug,
        title=draft.title,
        visibility=draft.visibility,
        created_at=row["created_at"],
        revised_at=row["created_at"],
        expires_at=row["expires_at"],
        max_reads=draft.max_reads,
        reads=0,
        parent=draft.parent,
        encryption=row["encryption"],
        token_hash=draft.token_hash,
        password_hash=draft.password_hash,
        revision=1,
        files=draft.files,
        analytics=draft.analytics,
        change=row["change"],
    )


async def _settle(
    connection: Connection, refused: Sequence[Draft], made: dict[str, Paste]
) -> dict[str, str | Exception]:
    """Find out why, for each; a key that was forgotten since gets its second chance, which adds to `made`."""
    try:
        outcomes = await _refusals(connection, refused)
        stale = [draft for draft in refused if outcomes[draft.slug] is None]
        if stale:
            await connection.execute(_FORGET_IDEMPOTENCY, [draft.idempotency_hash for draft in stale])
            made.update(await _insert(connection, stale))
            again = [draft for draft in stale if draft.slug not in made]
            outcomes.update(await _refusals(connection, again))
    except Exception as error:  # those who were made are made, whatever happens to the answers of the others
        return {draft.slug: word_of(error) for draft in refused}
    return {slug: SlugTaken() if outcome is None else outcome for slug, outcome in outcomes.items()}


async def _refusals(connection: Connection, refused: Sequence[Draft]) -> dict[str, str | Exception | None]:
    drafts = {draft.slug: draft for draft in refused}
    found = await connection.fetch(
        _REFUSALS,
        list(drafts),
        [draft.expires_at for draft in refused],
        [draft.idempotency_hash for draft in refused],
    )
    return {row["slug"]: _refusal(row, drafts[row["slug"]]) for row in found}


def _refusal(row: asyncpg.Record, draft: Draft) -> str | Exception | None:
    """The slug of what the same request made before, or why there is none; None for a key used more than a day ago."""
    if row["earlier"] is not None:
        if not row["recent"]:
            return None
        if row["fingerprint"] != draft.fingerprint:
            return IdempotencyMismatch()
        if not row["live"]:
            return PasteNotFound("This Idempotency-Key made a paste that is gone already.")
        return str(row["earlier"])
    if row["past"]:
        return InvalidPaste([Problem("expires_at", "must lie in the future")])
    return SlugTaken(f"Another paste has the slug '{draft.slug}' already.")


def _arrays(drafts: Sequence[Draft]) -> tuple[list[Any] | None, ...]:
    """One array for each of _DRAFT_COLUMNS."""
    return (
        [draft.slug for draft in drafts],
        rows.unless_empty([None if draft.visibility == "unlisted" else draft.visibility for draft in drafts]),
        rows.unless_empty([draft.title for draft in drafts]),
        [draft.token_hash for draft in drafts],
        rows.unless_empty([draft.password_hash for draft in drafts]),
        rows.unless_empty([draft.encryption for draft in drafts]),
        rows.unless_empty([draft.parent for draft in drafts]),
        rows.unless_empty([draft.max_reads for draft in drafts]),
        rows.unless_empty([draft.expires_at for draft in drafts]),
        rows.unless_empty([draft.lifetime for draft in drafts]),
        rows.unless_empty([draft.idempotency_hash for draft in drafts]),
        rows.unless_empty([draft.fingerprint for draft in drafts]),
        rows.unless_empty([draft.is_named or None for draft in drafts]),
        [draft.size for draft in drafts],
        rows.unless_empty([draft.files[0].syntax if draft.files else None for draft in drafts]),
        rows.unless_empty([draft.analytics if draft.analytics != "owner" else None for draft in drafts]),
    )
