"""What goes into the outbox beside the changes of pastes, which note themselves."""

from __future__ import annotations

from collections.abc import Sequence

from pastebin.store.database import Database

# Two nodes that ask in the same moment may both be the first: then the edges find the second time that they have it.
_PUSH = """
insert into outbox (kind, slug, payload)
select 'push', $1, jsonb_build_object('region', $2::text, 'urls', to_jsonb($3::text[]))
where not exists (
    select from outbox
    where kind = 'push' and slug = $1 and payload ->> 'region' = $2 and created_at > now() - make_interval(secs => $4)
)
"""


class Outbox:
    """Enqueues pushes, once for each paste and region within `rest_seconds`, whoever asks."""

    def __init__(self, database: Database, rest_seconds: float) -> None:
        self._database = database
        self._rest_seconds = rest_seconds

    async def enqueue_push(self, slug: str, region: str, urls: Sequence[str]) -> bool:
        """Have every edge fetch `urls`; False if somebody has asked for that just before.

        Raises Unavailable, StorageFull.
        """
        async with self._database.primary() as connection:
            status = await connection.execute(_PUSH, slug, region, list(urls), self._rest_seconds)
        is_first = not status.endswith(" 0")
        if is_first:
            self._database.changes.ring()
        return is_first
