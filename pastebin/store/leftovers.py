"""What has ended and what was never finished, in SQL: found, counted and removed in bounded batches.

The order makes every crash harmless: rows point to objects until the object is gone, and an object is only removed when
no row points to it and the grace period has passed. From then on its row is `deleting`, and no commit brings it back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pastebin.store.database import Database

PENDING_SECONDS = 3600.0
# Longer than it takes to remove a batch, or the time that is given to that (see `Sweeping`).
_CLAIM_SECONDS = 120.0

_EXPIRE = """
with expired as (
    update pastes set state = 'expired', ended_at = expires_at, title = null, password_hash = null, encryption = null
    where id in (
        select id from pastes where state = 'live' and expires_at <= now()
        order by expires_at limit $1 for update skip locked
    )
    returning id, slug
)
insert into outbox (kind, slug, paste_id) select 'expire', slug, id from expired
"""

# Content of what has ended. A burned paste's last reader may still be streaming a blob: hence the grace period.
_STRIP = """
with ended as (
    select r.paste_id, r.number from revisions r join pastes p on p.id = r.paste_id
    where p.state <> 'live' order by p.ended_at limit $1 for update of r skip locked
), file as (
    delete from files f using ended e where f.paste_id = e.paste_id and f.revision = e.number returning f.blob_key
), orphan as (
    update blobs b set state = 'deleting', changed_at = now()
    where b.state = 'live' and b.key in (select blob_key from file)
      and not exists (
          select from files f where f.blob_key = b.key
          and (f.paste_id, f.revision) not in (select paste_id, number from ended)
      )
), cleared as (
    update pastes set title = null, password_hash = null, encryption = null
    where id in (
        select id from pastes where id in (select paste_id from ended)
          and (title is not null or password_hash is not null or encryption is not null)
        for update skip locked
    )
)
delete from revisions r using ended e where r.paste_id = e.paste_id and r.number = e.number
"""

# A fork that was committed beside the end of its parent has its blob again.
_REVIVE = """
update blobs set state = 'live', changed_at = now() where key in (
    select key from blobs b where b.state = 'deleting' and exists (select from files f where f.blob_key = b.key)
    limit $1 for update skip locked
)
"""

# What was taken down stays known as that, and nobody else gets its name.
_BURY = """
delete from pastes where id in (
    select p.id from pastes p
    where p.state not in ('live', 'taken-down') and p.ended_at < now() - make_interval(secs => $1)
      and not exists (select from revisions r where r.paste_id = p.id)
    limit $2 for update skip locked
)
"""

_FORGET_IDEMPOTENCY = """
update pastes set idempotency_hash = null, fingerprint = null
where id in (
    select id from pastes where idempotency_hash is not null and created_at < now() - interval '24 hours'
    limit $1 for update skip locked
)
"""

# Two sweepers that strip the last two pastes of a blob at the same moment each still see the other's files and keep it.
_DISOWN = """
update blobs set state = 'deleting', changed_at = now()
where key in (
    select key from blobs b
    where b.state = 'live' and not exists (select from files f where f.blob_key = b.key)
    limit $1 for update skip locked
)
"""

# A running upload renews its row long before PENDING_SECONDS are over, so `pending` and older means abandoned.
_ORPHANS = """
select key from blobs b
where b.changed_at < now() - make_interval(secs => case b.state when 'pending' then $2::float8 else $1::float8 end)
  and b.state <> 'live' and not exists (select from files f where f.blob_key = b.key)
order by b.changed_at limit $3
"""
# Until so long from now nobody else takes them; if this node dies meanwhile, somebody does afterwards.
_CLAIM_ORPHANS = f"""
update blobs set state = 'deleting', changed_at = now() + make_interval(secs => $4::float8 - $1::float8)
where key in ({_ORPHANS} for update skip locked)
returning key
"""
_REMOVE_BLOBS = "delete from blobs where key = any($1) and state = 'deleting'"
_RELEASE_BLOBS = "update blobs set changed_at = '-infinity' where key = any($1) and state = 'deleting'"
_PENDING = "insert into blobs (key) values ($1)"
_RENEW = "update blobs set changed_at = now() where key = any($1) and state = 'pending'"
_ABANDON = """
update blobs set state = 'deleting', changed_at = '-infinity' where key = any($1) and state = 'pending' returning key
"""
_UNKNOWN = "select k from unnest($1::text[]) k where not exists (select from blobs b where b.key = k)"
_KNOWN = "select key, state = 'live' as is_live from blobs where key > $1 order by key limit $2"
_STILL_LIVE = "select key from blobs where key = any($1) and state = 'live'"
_CONTENTS = """
select distinct on (b.key) b.key, f.size, f.sha256
from blobs b join files f on f.blob_key = b.key
where b.key > $1
order by b.key limit $2
"""
_CONTENTS_SIZE = """
select count(*) as blobs, coalesce(sum(size), 0)::int8 as bytes
from (select distinct on (f.blob_key) f.size from files f join blobs b on b.key = f.blob_key) f
"""

_FIGURES = """
select
    (select count(*) from pastes where state = 'live' and expires_at <= now())
        + (select count(*) from pastes p
           where state <> 'live' and exists (select from revisions r where r.paste_id = p.id))
        as present,
    greatest(
        (select extract(epoch from now() - min(expires_at)) from pastes where state = 'live' and expires_at <= now()),
        (select extract(epoch from now() - min(ended_at)) from pastes p
         where state <> 'live' and exists (select from revisions r where r.paste_id = p.id)),
        0)::float8 as oldest_seconds,
    (select count(*) from blobs where state <> 'live') as orphans
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """How much there is left over."""

    present: int
    oldest_seconds: float
    orphans: int


@dataclass(frozen=True, slots=True)
class Known:
    """A blob that the database knows; one that is not live is on its way in or out."""

    key: str
    is_live: bool


@dataclass(frozen=True, slots=True)
class Content:
    """What a live blob has to be."""

    key: str
    size: int
    sha256: bytes


class Leftovers:
    """The SQL side of sweeping; a method handles at most `limit` rows and may be called again until it returns 0."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def announce_blob(self, key: str) -> None:
        """Note a blob before its first byte is stored, so that nothing is ever stored that no row knows."""
        await self._run(_PENDING, key)

    async def renew_blobs(self, keys: Sequence[str]) -> None:
        """Say that the uploads go on."""
        await self._run(_RENEW, list(keys))

    async def abandon_blobs(self, keys: Sequence[str]) -> list[str]:
        """Give up blobs that no commit made live, nor ever will; those returned may be removed at once."""
        async with self._database.primary() as connection:
            return [row["key"] for row in await connection.fetch(_ABANDON, list(keys))]

    async def expire(self, limit: int) -> int:
        count = await self._run(_EXPIRE, limit)
        if count:
            self._database.changes.ring()
        return count

    async def strip(self, limit: int) -> int:
        return await self._run(_STRIP, limit)

    async def disown(self, limit: int) -> int:
        """Mark live blobs that no file points to any more; looks at every blob."""
        return await self._run(_DISOWN, limit)

    async def revive(self, limit: int) -> int:
        """Mark blobs live again that a file points to though they were given up; looks at those alone."""
        return await self._run(_REVIVE, limit)

    async def bury(self, tombstone_seconds: float, limit: int) -> int:
        return await self._run(_BURY, tombstone_seconds, limit)

    async def forget_idempotency(self, limit: int) -> int:
        return await self._run(_FORGET_IDEMPOTENCY, limit)

    @asynccontextmanager
    async def orphans(
        self, grace_seconds: float, limit: int, *, pending_seconds: float = PENDING_SECONDS
    ) -> AsyncIterator[list[str]]:
        """Keys of blobs to remove from the store, for this caller alone.

        Take off the list what could not be removed: the rows of the others go when the block has ended well. Nothing is
        locked meanwhile, so that a slow store holds up nobody.
        """
        async with self._database.primary() as connection:
            found = await connection.fetch(_CLAIM_ORPHANS, grace_seconds, pending_seconds, limit, _CLAIM_SECONDS)
        claimed = [row["key"] for row in found]
        keys = list(claimed)
        try:
            yield keys
            if keys:
                await self._run(_REMOVE_BLOBS, keys)
        except BaseException:
            keys.clear()
            raise
        finally:
            if left := [*{*claimed}.difference(keys)]:
                await self._run(_RELEASE_BLOBS, left)

    async def due(self, grace_seconds: float, limit: int, *, pending_seconds: float = PENDING_SECONDS) -> list[str]:
        """Keys that `orphans` would give; they stay."""
        async with self._database.primary() as connection:
            return [row["key"] for row in await connection.fetch(_ORPHANS, grace_seconds, pending_seconds, limit)]

    async def figures(self) -> Figures:
        async with self._database.primary() as connection:
            (row,) = await connection.fetch(_FIGURES)
        return Figures(row["present"], row["oldest_seconds"], row["orphans"])

    async def unknown(self, keys: Sequence[str]) -> list[str]:
        """Those of `keys` that no row knows."""
        async with self._database.primary() as connection:
            return [row["k"] for row in await connection.fetch(_UNKNOWN, list(keys))]

    async def known(self, after: str, limit: int) -> list[Known]:
        """The first `limit` blobs after the key `after`, in the order of their keys."""
        async with self._database.primary() as connection:
            return [Known(row["key"], row["is_live"]) for row in await connection.fetch(_KNOWN, after, limit)]

    async def still_live(self, keys: Sequence[str]) -> list[str]:
        """Those of `keys` that a paste points to now."""
        async with self._database.primary() as connection:
            return [row["key"] for row in await connection.fetch(_STILL_LIVE, list(keys))]

    async def contents(self, after: str, limit: int) -> list[Content]:
        """What the first `limit` live blobs after `after` hold, in the order of their keys."""
        async with self._database.primary() as connection:
            rows = await connection.fetch(_CONTENTS, after, limit)
        return [Content(row["key"], row["size"], row["sha256"]) for row in rows]

    async def contents_size(self) -> tuple[int, int]:
        """How many live blobs there are, and their bytes."""
        async with self._database.primary() as connection:
            (row,) = await connection.fetch(_CONTENTS_SIZE)
        return row["blobs"], row["bytes"]

    async def _run(self, sql: str, *arguments: object) -> int:
        async with self._database.primary() as connection:
            status = await connection.execute(sql, *arguments)
        return int(status.rsplit(" ", 1)[-1])
