"""Who follows the feed, how far everybody has come, and which worker sees to whom.

A target belongs to one worker at a time, by a lease. Its fence goes up with every change of hands and guards every
change of its row, so a worker that was away for too long cannot say anything any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pastebin.store.batching import Bounds
from pastebin.store.database import Database

BOUNDS = Bounds(flight_rows=256, flight_bytes=1024**2, flights=1)

_KEEP_WORKER_SECONDS = 60.0

_REGISTER = """
insert into feed_targets (name, node) select * from unnest($1::text[], $2::text[])
on conflict (name) do nothing
"""
_APPEAR = """
insert into feed_workers (name, wants, seen_until) values ($1, $2, now() + make_interval(secs => $3))
on conflict (name) do update set wants = excluded.wants, seen_until = excluded.seen_until
"""
_WORKERS = "select name, wants from feed_workers where seen_until > now()"
_FORGET_WORKERS = "delete from feed_workers where seen_until < now() - make_interval(secs => $1)"
_DISAPPEAR = "delete from feed_workers where name = $1"
_RENEW = """
update feed_targets t set lease_until = now() + make_interval(secs => $2)
from unnest($3::text[], $4::bigint[]) as c (name, fence)
where t.name = c.name and t.fence = c.fence and t.holder = $1
returning t.name
"""
# What nobody has wanted for a whole lease is taken by whoever sees it first, assigned or not; what an earlier process
# of the same node has left is taken at once.
_CLAIM = """
update feed_targets t
set holder = $1, fence = t.fence + 1, lease_until = now() + make_interval(secs => $2)
where t.name in (
    select name from feed_targets
    where (holder is null or lease_until < now() or name = any($5))
      and (name = any($3) or name = any($4) and lease_until < now() - make_interval(secs => $2))
    for update skip locked
)
returning t.name, t.fence, t.epoch, t.confirmed
"""
_RELEASE = """
update feed_targets t set holder = null, lease_until = case node when '' then now() else now() - interval '1 h' end
from unnest($2::text[], $3::bigint[]) as c (name, fence)
where t.name = c.name and t.fence = c.fence and t.holder = $1
"""
_CONFIRM = """
update feed_targets t
set confirmed = case when t.epoch = c.epoch then greatest(t.confirmed, c.sequence) else c.sequence end,
    epoch = c.epoch, failing_since = null, failure = null
from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) as c (name, fence, epoch, sequence)
where t.name = c.name and t.fence = c.fence
returning t.name, t.fence
"""
_FAIL = """
update feed_targets set failing_since = coalesce(failing_since, now()), failure = $3 where name = $1 and fence = $2
"""
_REPORT = """
select t.name, t.node, t.holder, t.lease_until > now() as is_held, t.confirmed, t.epoch = s.epoch as is_current,
       t.failure, extract(epoch from now() - t.failing_since)::float8 as failing_seconds,
       (select count(*) from (select from feed f where f.tell and f.sequence > t.confirmed limit 1000000) f) as depth,
       (select extract(epoch from now() - f.created_at)::float8 from feed f
        where f.tell and f.sequence > t.confirmed order by f.sequence limit 1) as oldest_seconds
from feed_targets t, feed_state s order by t.name
"""
_FORGET = """
delete from feed_targets where name = $1 and case node
    when '' then holder is null or lease_until < now()
    else lease_until < now() - make_interval(secs => $2) end
returning name
"""
_FORGET_GONE = "delete from feed_targets where node <> '' and lease_until < now() - make_interval(secs => $1)"
# A target that lives in a process has gone with it, once it has been unheard of for long enough.
_PROGRESS = """
select s.told,
       array(select pg_visible_in_snapshot(x, s.snapshot) from unnest($1::xid8[]) with ordinality as u (x, n) order by
       n)
           as numbered,
       array(select case when t.epoch = s.epoch then t.confirmed else -1 end from feed_targets t
             where t.node = '' or t.lease_until > now() - make_interval(secs => $2) order by t.name) as confirmed,
       array(select t.name from feed_targets t
             where t.node = '' or t.lease_until > now() - make_interval(secs => $2) order by t.name) as names,
       array(select distinct target from dead_letters d where d.keys && $3::text[]) as refusing
from feed_state s
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to tell a target, until somebody else has a higher fence; `confirmed` counts in the feed `epoch`."""

    name: str
    fence: int
    epoch: str
    confirmed: int


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A target knows everything up to `sequence`."""

    name: str
    fence: int
    epoch: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the targets have come: `confirmed` by name, -1 for one that counts in another feed.

    `numbered` are those of the transactions asked for that have numbers, none of them above `told`. `refusing` are the
    targets that have not taken one of the keys asked for.
    """

    told: int
    numbered: frozenset[int]
    confirmed: Mapping[str, int]
    refusing: frozenset[str]


@dataclass(frozen=True, slots=True)
class TargetReport:
    """A target as the database knows it."""

    name: str
    node: str
    holder: str | None
    is_held: bool
    confirmed: int
    is_current: bool
    failure: str | None
    failing_seconds: float | None
    depth: int
    oldest_seconds: float | None


def assign(wants: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Which worker sees to which target, given what each could do: evenly, and the same wherever it is asked."""
    burden = dict.fromkeys(sorted(wants), 0)
    able = {target: [name for name in burden if target in wants[name]] for target in set().union(*wants.values())}
    chosen: dict[str, str] = {}
    # those that few can take come first, so that the others can make up for it
    for target in sorted(able, key=lambda target: (len(able[target]), target)):
        worker = min(able[target], key=lambda name: (burden[name], name))
        burden[worker] += 1
        chosen[target] = worker
    return chosen


class Cursors:
    """The rows of the targets. Everything raises as `Database.primary` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, nodes: Mapping[str, str]) -> None:
        """Have a row for every target, given with the node that it lives in (or an empty name)."""
        async with self._database.primary() as connection:
            await connection.execute(_REGISTER, list(nodes), list(nodes.values()))

    async def appear(self, worker: str, wants: Collection[str], lease_seconds: float) -> dict[str, list[str]]:
        """Say that a worker is there and what it could see to; everybody who is there, with the same."""
        async with self._database.primary() as connection:
            await connection.execute(_APPEAR, worker, sorted(wants), lease_seconds)
            await connection.execute(_FORGET_WORKERS, _KEEP_WORKER_SECONDS)
            return {row["name"]: row["wants"] for row in await connection.fetch(_WORKERS)}

    async def disappear(self, worker: str) -> None:
        async with self._database.primary() as connection:
            await connection.execute(_DISAPPEAR, worker)

    async def renew(self, worker: str, claims: Iterable[Claim], lease_seconds: float) -> set[str]:
        """Prolong the leases, and return the names of those that are still there."""
        claims = list(claims)
        async with self._database.primary() as connection:
            rows = await connection.fetch(
                _RENEW, worker, lease_seconds, [claim.name for claim in claims], [claim.fence for claim in claims]
            )
        return {row["name"] for row in rows}

    async def claim(
        self,
        worker: str,
        assigned: Collection[str],
        others: Collection[str],
        lease_seconds: float,
        *,
        left: Collection[str] = (),
    ) -> list[Claim]:
        """Take what is free of `assigned`, and of `others` what has been free for a whole lease.

        Those of `assigned` that an earlier process has `left` need not be free.
        """
        async with self._database.primary() as connection:
            rows = await connection.fetch(_CLAIM, worker, lease_seconds, list(assigned), list(others), list(left))
        return [Claim(row["name"], row["fence"], row["epoch"], row["confirmed"]) for row in rows]

    async def release(self, worker: str, claims: Iterable[Claim]) -> None:
        """Give targets back before the lease is over; those that live in the process of the worker end with it."""
        claims = list(claims)
        async with self._database.primary() as connection:
            await connection.execute(
                _RELEASE, worker, [claim.name for claim in claims], [claim.fence for claim in claims]
            )

    async def confirm(self, confirmations: Sequence[Confirmation]) -> Sequence[bool | Exception]:
        """Move cursors, with one commit; False for each that another worker has taken over. The flight of a Batcher."""
        latest = {(one.name, one.fence): one for one in confirmations}.values()
        async with self._database.primary() as connection:
            rows = await connection.fetch(
                _CONFIRM,
                [one.name for one in latest],
                [one.fence for one in latest],
                [one.epoch for one in latest],
                [one.sequence for one in latest],
            )
        moved = {(row["name"], row["fence"]) for row in rows}
        return [(one.name, one.fence) in moved for one in confirmations]

    async def fail(self, claim: Claim, failure: str) -> None:
        """Note for operators why a target is not told."""
        async with self._database.primary() as connection:
            await connection.execute(_FAIL, claim.name, claim.fence, failure[:500])

    async def progress(self, changes: Sequence[int], keys: Collection[str], gone_seconds: float) -> Progress:
        """How far everybody has come; `changes` are transactions."""
        async with self._database.primary() as connection:
            row = await connection.fetchrow(_PROGRESS, list(changes), gone_seconds, list(keys))
        assert row is not None  # noqa: S101  (the state always has its row)
        numbered = frozenset(change for change, known in zip(changes, row["numbered"], strict=True) if known)
        confirmed = dict(zip(row["names"], row["confirmed"], strict=True))
        return Progress(row["told"], numbered, confirmed, frozenset(row["refusing"]) & confirmed.keys())

    async def report(self) -> list[TargetReport]:
        """Every target, for operators and figures; counts what each has not been told yet."""
        async with self._database.primary() as connection:
            return [TargetReport(**row) for row in await connection.fetch(_REPORT)]

    async def forget(self, name: str, gone_seconds: float) -> bool:
        """Have nobody wait for a target that is not there any more; False if it is unknown, or a worker has it.

        One that lives in a node may serve for `gone_seconds` after it was last heard of, and is waited for until then.
        """
        async with self._database.primary() as connection:
            return await connection.fetchval(_FORGET, name, gone_seconds) is not None

    async def forget_gone(self, seconds: float) -> None:
        """The same for those whose process has not been heard of for so long."""
        async with self._database.primary() as connection:
            await connection.execute(_FORGET_GONE, seconds)
