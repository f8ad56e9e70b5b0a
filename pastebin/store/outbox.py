"""What goes into the outbox beside changes of pastes, which note themselves in their own statements.

Kinds: create, revise, delete, burn, expire, take-down; push (payload: `region`, `urls`).
"""

from __future__ import annotations

from collections.abc import Sequence

from pastebin.store.database import Database

REST_SECONDS = 60.0

# Two nodes may ask at the very same moment: then it is fetched twice.
_PUSH = """
insert into outbox (kind, slug, payload)
select 'push', $1, $2 where not exists (
    select from outbox where kind = 'push' and slug = $1 and created_at > now() - make_interval(secs => $3)
)
returning id
"""


class Outbox:
    """Notes what is to be done for a paste. Everything raises as `Database.primary` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue_push(self, slug: str, region: str, urls: Sequence[str]) -> bool:
        """Have every cache fetch these addresses of a paste that is hot in `region`.

        False where that was asked for the same paste within REST_SECONDS.
        """
        async with self._database.primary() as connection:
            payload = {"region": region, "urls": list(urls)}
            made = await connection.fetchval(_PUSH, slug, payload, REST_SECONDS)
        if made is not None:
            self._database.changes.ring()
        return made is not None
