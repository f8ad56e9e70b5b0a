"""How far analytics knows of the changes in the feed: one row, one node at a time that tells it, nothing told twice.

What is about to be told is noted before, and stays the same until it was taken: whoever goes on after a crash sends the
same rows under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pastebin.store.database import Database
from pastebin.visits import Change, ChangeKind

# The feed is kept for analytics, where there is one, but not for ever.
KEPT = timedelta(days=7)

# Kinds of the outbox; others are no news.
_KINDS: dict[str, ChangeKind] = {
    "create": "created",
    "revise": "revised",
    "delete": "deleted",
    "expire": "expired",
    "burn": "burned",
    "report": "reported",
    "take-down": "taken_down",
}
_SYNTAX_CHARACTERS = 64

# Rows of a copied cluster keep the name that they had there, so a batch ends where they do.
_PLAN = """
with known as (
    select s.epoch, s.sequence as head, s.system_id, s.system_before, s.inherited, s.floor,
           case when c.until is null then greatest(c.sequence, s.floor - 1) else c.sequence end as after, c.until
    from feed_state s, change_cursor c
), next as (
    select *, coalesce(until, least(head, after + $3, case when after < inherited then inherited else head end)) as last
    from known
)
update change_cursor c
set holder = $1, lease_until = now() + $2::interval, wanted_until = now() + $4::interval,
    lost = c.lost + n.after - c.sequence, sequence = n.after,
    epoch = case when c.until is null then n.epoch else c.epoch end,
    until = case when n.last > n.after then n.last end
from next n
where (c.holder = $1 or c.lease_until < now())
  and (n.last > n.after or c.holder <> $1 or c.lease_until < now() + $2::interval / 2)
returning c.sequence as after, c.until, c.epoch, c.lost,
          case when n.after < n.inherited and n.system_before <> 0 then n.system_before
               else n.system_id end as system_id
"""
# A change of options alone makes no revision.
_READ = """
select outbox_id, kind, slug, coalesce(size, 0) as size, coalesce(syntax, '') as syntax,
       floor(extract(epoch from created_at) * 1000)::int8 as at_ms
from feed where sequence > $1 and sequence <= $2 and not (kind = 'revise' and size is null) order by sequence
"""
_MOVE = "update change_cursor set sequence = until, until = null where holder = $1 and until = $2 returning true"
_RELEASE = "update change_cursor set holder = '', lease_until = '-infinity' where holder = $1"


@dataclass(frozen=True, slots=True)
class Stretch:
    """The rows of the feed that are to be told next: behind `after`, up to and including `until`.

    `lost` counts those that were dropped before anybody had told them, since ever.
    """

    after: int
    until: int
    epoch: str
    system_id: int
    lost: int

    @property
    def id(self) -> str:
        return f"changes:{self.epoch}:{self.after}-{self.until}"

    @property
    def node(self) -> str:
        """Of whose outbox the numbers are; a failover changes nothing of them."""
        return f"outbox:{self.system_id}"


class ChangeCursor:
    """The cursor, for one `holder`. Everything raises as `Database.primary` does."""

    def __init__(self, database: Database, holder: str, *, lease_seconds: float, limit: int) -> None:
        self._database = database
        self._holder = holder
        self._lease = timedelta(seconds=lease_seconds)
        self._limit = limit

    async def plan(self) -> Stretch | None:
        """What to tell now; None where there is nothing, or somebody else tells."""
        async with self._database.primary() as connection:
            row = await connection.fetchrow(_PLAN, self._holder, self._lease, self._limit, KEPT)
        return None if row is None or row["until"] is None else Stretch(**row)

    async def read(self, stretch: Stretch) -> list[Change]:
        """The changes in it, fewer than its rows."""
        async with self._database.primary() as connection:
            rows = await connection.fetch(_READ, stretch.after, stretch.until)
        return [
            Change(
                number=row["outbox_id"],
                at_ms=row["at_ms"],
                kind=_KINDS[row["kind"]],
                slug=row["slug"],
                size=row["size"],
                syntax=row["syntax"][:_SYNTAX_CHARACTERS],
            )
            for row in rows
            if row["kind"] in _KINDS
        ]

    async def told(self, stretch: Stretch) -> bool:
        """Go on behind it. False if somebody else has the cursor by now."""
        async with self._database.primary() as connection:
            return await connection.fetchval(_MOVE, self._holder, stretch.until) is not None

    async def release(self) -> None:
        """Let somebody else go on at once."""
        async with self._database.primary() as connection:
            await connection.execute(_RELEASE, self._holder)
