"""What a target would not take: put aside, tried again, and at last kept for somebody to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pastebin.store.database import Database

# Nobody decides about what is older; a target that refuses everything must not fill the disk. So many of each state.
_KEPT = "30 days"
_MOST = 10_000

_PUT_ASIDE = """
insert into dead_letters (target, keys, urls, sequence, error, due_at)
select $1, $3, $4, $5, $6, now() + make_interval(secs => $7)
where exists (select from feed_targets where name = $1 and fence = $2)
returning id
"""
_DUE = """
select id, target, state, keys, urls, sequence, error, attempts, created_at from dead_letters
where target = $1 and state = 'waiting' and due_at <= now() order by due_at limit $2
"""
_AGAIN = """
update dead_letters
set keys = $2, urls = $3, error = $4, attempts = attempts + 1, due_at = now() + make_interval(secs => $5),
    state = case when attempts + 1 >= $6 then 'dead' else 'waiting' end
where id = $1 and state = 'waiting' returning state = 'dead'
"""
_DELAY = "update dead_letters set due_at = now() + make_interval(secs => $2) where id = any($1)"
_DONE = "delete from dead_letters where id = $1"
_LIST = """
select id, target, state, keys, urls, sequence, error, attempts, created_at from dead_letters
where ($1::text is null or target = $1) and (state = 'dead' or $2) order by id limit $3
"""
_REQUEUE = """
update dead_letters set state = 'waiting', attempts = 0, due_at = now()
where state = 'dead' and ($1::bigint[] is null or id = any($1)) and ($2::text is null or target = $2)
"""
_DISCARD = """
delete from dead_letters where state = 'dead' and ($1::bigint[] is null or id = any($1))
  and ($2::text is null or target = $2)
"""
_COUNT = "select target, count(*) from dead_letters where state = 'dead' group by target"
_FORGET = f"""
with placed as (
    select id, row_number() over (partition by target, state order by id desc) as place from dead_letters
), dropped as (
    delete from dead_letters d using placed p
    where d.id = p.id and (p.place > $1 or d.state = 'dead' and d.created_at < now() - interval '{_KEPT}')
    returning d.target
)
select target, count(*) from dropped group by target
"""


@dataclass(frozen=True, slots=True)
class Letter:
    """Keys and addresses that a target has refused `attempts` times; `waiting` is tried again, `dead` is not."""

    id: int
    target: str
    state: str
    keys: tuple[str, ...]
    urls: tuple[str, ...]
    sequence: int
    error: str
    attempts: int
    created_at: datetime


class DeadLetters:
    """The letters of all targets. Everything raises as `Database.primary` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_aside(
        self,
        target: str,
        fence: int,
        keys: Sequence[str],
        urls: Sequence[str],
        *,
        sequence: int,
        error: str,
        delay_seconds: float,
    ) -> bool:
        """Keep what was refused once, so that the rest can go on; False if the target has another worker by now."""
        async with self._database.primary() as connection:
            row = await connection.fetchval(
                _PUT_ASIDE, target, fence, list(keys), list(urls), sequence, error[:500], delay_seconds
            )
        return row is not None

    async def due(self, target: str, limit: int = 20) -> list[Letter]:
        """What is to be tried again now."""
        async with self._database.primary() as connection:
            return [_letter(row) for row in await connection.fetch(_DUE, target, limit)]

    async def again(
        self, letter: Letter, keys: Sequence[str], urls: Sequence[str], error: str, delay_seconds: float, attempts: int
    ) -> bool:
        """Note one more refusal, of these keys and addresses; True if it was the last that is tried."""
        async with self._database.primary() as connection:
            died = await connection.fetchval(
                _AGAIN, letter.id, list(keys), list(urls), error[:500], delay_seconds, attempts
            )
        return bool(died)

    async def delay(self, letters: Sequence[Letter], seconds: float) -> None:
        """Try these later; it was not they who were refused."""
        async with self._database.primary() as connection:
            await connection.execute(_DELAY, [letter.id for letter in letters], seconds)

    async def done(self, letter: Letter) -> None:
        async with self._database.primary() as connection:
            await connection.execute(_DONE, letter.id)

    async def list(self, target: str | None = None, *, waiting: bool = False, limit: int = 1000) -> list[Letter]:
        """The dead ones, oldest first, and on request those that are still tried."""
        async with self._database.primary() as connection:
            return [_letter(row) for row in await connection.fetch(_LIST, target, waiting, limit)]

    async def requeue(self, ids: Sequence[int] | None = None, target: str | None = None) -> int:
        """Try dead ones again, as if for the first time; how many there were. Without arguments, all of them."""
        return await self._run(_REQUEUE, ids, target)

    async def discard(self, ids: Sequence[int] | None = None, target: str | None = None) -> int:
        """Remove dead ones; how many there were. Without arguments, all of them."""
        return await self._run(_DISCARD, ids, target)

    async def count(self) -> dict[str, int]:
        """How many are dead, by target."""
        async with self._database.primary() as connection:
            return {row["target"]: row["count"] for row in await connection.fetch(_COUNT)}

    async def forget(self, most: int = _MOST) -> dict[str, int]:
        """Remove dead ones that nobody has decided about for a month, and of each target the oldest of more than `most`
        that are dead or that wait; how many, by target.
        """
        async with self._database.primary() as connection:
            return {row["target"]: row["count"] for row in await connection.fetch(_FORGET, most)}

    async def _run(self, sql: str, *arguments: object) -> int:
        async with self._database.primary() as connection:
            status = await connection.execute(sql, *arguments)
        return int(status.rsplit(" ", 1)[-1])


def _letter(row: object) -> Letter:
    members = dict(row)  # type: ignore[call-overload]
    members["keys"], members["urls"] = tuple(members["keys"]), tuple(members["urls"])
    return Letter(**members)
