"""Complaints about pastes, until somebody has decided: a bounded table, each noted in the outbox as well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pastebin.models import Paste, ReportReason
from pastebin.store.database import Database

# More complaints about one paste say nothing new; of all of them the oldest go.
MOST_OF_PASTE = 20
MOST = 10_000

# Caches are not concerned.
_ADD = f"""
with report as (
    insert into reports (slug, paste_id, reason, details)
    select p.slug, p.id, $2, nullif($3, '') from pastes p
    where p.id = $1 and p.state = 'live' and (select count(*) from reports r where r.paste_id = p.id) < {MOST_OF_PASTE}
    returning id, slug, paste_id
), news as (
    insert into outbox (kind, slug, paste_id, tell) select 'report', slug, paste_id, false from report
), bounded as (
    delete from reports where id <= (select id from reports order by id desc offset {MOST - 1} limit 1)
)
select true from report
"""
_LIST = """
select r.slug, r.reason, r.details, r.created_at, count(*) over (partition by r.paste_id) as of_paste
from reports r join pastes p on p.id = r.paste_id where p.state = 'live' order by r.id limit $1
"""
_DISMISS = "delete from reports where slug = $1"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One complaint; `of_paste` counts those about the same paste."""

    slug: str
    reason: str
    details: str | None
    created_at: datetime
    of_paste: int


class Complaints:
    """Everything raises as `Database.primary` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, paste: Paste, reason: ReportReason, details: str) -> bool:
        """Keep a complaint; False where there are enough about this paste, or it has just ended."""
        async with self._database.primary() as connection:
            return bool(await connection.fetchval(_ADD, paste.id, reason, details))

    async def list(self, limit: int = 1000) -> list[Complaint]:
        """The complaints about pastes that are still there, oldest first."""
        async with self._database.primary() as connection:
            return [Complaint(**row) for row in await connection.fetch(_LIST, limit)]

    async def dismiss(self, slug: str) -> int:
        """Forget those about one paste; how many there were."""
        async with self._database.primary() as connection:
            status = await connection.execute(_DISMISS, slug)
        return int(status.rsplit(" ", 1)[-1])
