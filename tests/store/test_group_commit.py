"""Group commit on a real PostgreSQL: what was acknowledged is there, once and whole; nobody spoils it for others."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextvars import copy_context
from datetime import UTC, datetime, timedelta

import asyncpg

from pastebin.errors import (
    DatabaseUnavailable,
    IdempotencyMismatch,
    InvalidPaste,
    PasteNotFound,
    RevisionConflict,
    SlugTaken,
    Unavailable,
)
from pastebin.models import Changes, Draft, File, Paste
from pastebin.positions import SESSION, Session
from pastebin.store.pastes import Pastes
from tests.store.stores import connected, draft, file, opened

PAST = datetime(2001, 1, 1, tzinfo=UTC)
# Everything that belongs to a paste, or to none.
_CENSUS = """
select p.slug, p.revision, p.state,
       (select count(*) from revisions r where r.paste_id = p.id) as revisions,
       (select string_agg(encode(f.sha256, 'hex'), ',' order by f.position) from files f
        where f.paste_id = p.id and f.revision = p.revision) as digests,
       (select bool_and(sha256(f.body) = f.sha256) from files f where f.paste_id = p.id) as is_intact
from pastes p
"""
_KILL = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and application_name = 'pastebin' and state = 'active'
  and query like '%insert into pastes%'
"""


async def census(dsn: str) -> dict[str, asyncpg.Record]:
    async with connected(dsn) as connection:
        return {row["slug"]: row for row in await connection.fetch(_CENSUS)}


async def outcomes(*calls: object) -> list[object]:
    return list(await asyncio.gather(*calls, return_exceptions=True))  # type: ignore[call-overload]


async def test_many_drafts_become_pastes_with_few_commits(database_dsn: str) -> None:
    drafts = [draft(f"paste {number}\n".encode()) for number in range(300)]
    async with opened(database_dsn) as pastes:
        made = await asyncio.gather(*(pastes.create(one) for one in drafts))
        found = await asyncio.gather(
            *(pastes.find(one.slug, bodies="all", token_hash=one.token_hash) for one in drafts)
        )
        assert pastes._creations.figures.flights < 20
        assert pastes._lookups._replicas.figures.flights < 400
    assert [paste.slug for paste in made] == [one.slug for one in drafts]
    assert list(made) == list(found)
    assert len({paste.id for paste in made}) == 300


async def test_drafts_of_every_kind_share_a_statement(database_dsn: str) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    several = (file(b"one", 0, "a.txt"), file(b"two", 1, "b.txt"), file(b"three", 2, "c.txt"))
    drafts = [
        draft(),
        draft(files=several, title="Three", visibility="public", parent="another"),
        draft(lifetime=timedelta(hours=1), max_reads=3, password_hash="argon2"),
        draft(expires_at=moment, encryption={"b": [1, None], "a": "x"}, visibility="private"),
        draft(idempotency_hash=b"k" * 32, fingerprint=b"f" * 32),
    ]
    async with opened(database_dsn) as pastes:
        made = await asyncio.gather(*(pastes.create(one) for one in drafts))
        found = await asyncio.gather(
            *(pastes.find(one.slug, bodies="all", token_hash=one.token_hash) for one in drafts)
        )
        assert pastes._creations.figures.flights == 1
    assert list(made) == list(found)
    assert [paste.files for paste in made] == [one.files for one in drafts]
    assert made[2].expires_at == made[2].created_at + timedelta(hours=1)
    assert (made[3].expires_at, made[3].encryption) == (moment, {"b": [1, None], "a": "x"})
    assert (made[1].title, made[1].visibility, made[1].parent) == ("Three", "public", "another")


async def test_each_draft_has_its_own_outcome(database_dsn: str) -> None:
    async with opened(database_dsn) as pastes:
        await pastes.create(draft(slug="taken"))
        await pastes.create(draft(b"1", slug="first", idempotency_hash=b"k" * 32, fingerprint=b"f" * 32))
        await pastes.create(draft(b"1", slug="gone", idempotency_hash=b"g" * 32, fingerprint=b"f" * 32))
        await pastes.delete(await pastes.find("gone"))
        before = pastes._creations.figures.flights
        got = await outcomes(
            pastes.create(draft(slug="good")),
            pastes.create(draft(slug="taken")),
            pastes.create(draft(expires_at=PAST)),
            pastes.create(draft(idempotency_hash=b"k" * 32, fingerprint=b"other" * 4)),
            pastes.create(draft(idempotency_hash=b"g" * 32, fingerprint=b"f" * 32)),
            pastes.create(draft(slug="retry", idempotency_hash=b"k" * 32, fingerprint=b"f" * 32)),
        )
        flights = pastes._creations.figures.flights - before
    kinds = [type(outcome) for outcome in got]
    assert kinds == [Paste, SlugTaken, InvalidPaste, IdempotencyMismatch, PasteNotFound, Paste]
    assert isinstance(got[5], Paste) and got[5].slug == "first"
    assert flights == 2  # two drafts with one key never travel together
    assert (await census(database_dsn)).keys() == {"taken", "first", "gone", "good"}


async def test_a_key_makes_one_paste_however_often_it_is_sent(database_dsn: str) -> None:
    drafts = [draft(idempotency_hash=b"k" * 32, fingerprint=b"f" * 32) for _ in range(20)]
    async with opened(database_dsn) as one, opened(database_dsn) as another:
        made = await asyncio.gather(*((one, another)[number % 2].create(each) for number, each in enumerate(drafts)))
    assert len({paste.slug for paste in made}) == 1
    assert len(await census(database_dsn)) == 1


async def test_a_key_is_forgotten_after_a_day(database_dsn: str) -> None:
    async with opened(database_dsn) as pastes:
        old = await pastes.create(draft(idempotency_hash=b"k" * 32, fingerprint=b"f" * 32))
        async with connected(database_dsn) as connection:
            await connection.execute("update pastes set created_at = now() - interval '25 hours'")
        got = await outcomes(
            pastes.create(draft(idempotency_hash=b"k" * 32, fingerprint=b"new" * 10)),
            pastes.create(draft(slug=old.slug)),
            pastes.create(draft()),
        )
    assert [type(outcome) for outcome in got] == [Paste, SlugTaken, Paste]
    assert isinstance(got[0], Paste) and got[0].slug != old.slug


async def test_what_the_database_cannot_take_fails_alone(database_dsn: str) -> None:
    drafts = [draft(title="nul \0" if number in (3, 40) else None) for number in range(60)]
    async with opened(database_dsn) as pastes:
        got = await outcomes(*(pastes.create(one) for one in drafts))
    failed = [number for number, outcome in enumerate(got) if not isinstance(outcome, Paste)]
    assert failed == [3, 40]
    assert isinstance(got[3], asyncpg.DataError)
    assert (await census(database_dsn)).keys() == {one.slug for one in drafts} - {drafts[3].slug, drafts[40].slug}


async def test_blobs_become_live_with_their_paste_only(database_dsn: str) -> None:
    async with connected(database_dsn) as connection:
        await connection.executemany("insert into blobs (key) values ($1)", [("used",), ("refused",), ("else",)])
    stored = File(0, None, "application/octet-stream", None, 5, bytes(32), blob_key="used")
    refused = File(0, None, "application/octet-stream", None, 5, bytes(32), blob_key="refused")
    async with opened(database_dsn) as pastes:
        got = await outcomes(
            pastes.create(draft(files=(stored,))), pastes.create(draft(files=(refused,), expires_at=PAST))
        )
        lost = File(0, None, "application/octet-stream", None, 5, bytes(32), blob_key="no such blob")
        more = await outcomes(pastes.create(draft(files=(lost,))), pastes.create(draft()))
    assert [type(outcome) for outcome in got] == [Paste, InvalidPaste]
    assert [type(outcome).__name__ for outcome in more] == ["UploadTooSlow", "Paste"]
    async with connected(database_dsn) as connection:
        states = dict(await connection.fetch("select key, state from blobs"))
    assert states == {"used": "live", "refused": "pending", "else": "pending"}


async def test_a_connection_lost_in_mid_flight_is_told_to_all_aboard_and_not_tried_again(database_dsn: str) -> None:
    async with connected(database_dsn) as connection:
        await connection.execute("""
            create table tries (slug text);
            create function dawdle() returns trigger language plpgsql as $$
            begin if new.title = 'slow' then perform pg_sleep(60); end if; return new; end $$;
            create trigger dawdle before insert on pastes for each row execute function dawdle();
        """)
        async with opened(database_dsn) as pastes, asyncio.TaskGroup() as callers:
            drafts = [draft(title="slow" if number == 5 else None) for number in range(10)]
            flying = callers.create_task(outcomes(*(pastes.create(one) for one in drafts)))
            while not await connection.fetchval(_KILL):  # noqa: ASYNC110  (another process has no events)
                await asyncio.sleep(0.01)
            got = await flying
            assert [type(outcome) for outcome in got] == [DatabaseUnavailable] * 10
            assert pastes._creations.figures.flights == 1
            assert isinstance(await pastes.create(draft()), Paste)
    assert (await census(database_dsn)).keys().isdisjoint({one.slug for one in drafts})


def _draft(number: int, chance: random.Random) -> Draft:
    """Mostly good ones."""
    body = f"{number}\n".encode() * chance.randint(1, 50)
    kind = chance.random()
    if kind < 0.02:
        return draft(body, title="nul \0")
    if kind < 0.04:
        return draft(body, expires_at=PAST)
    if kind < 0.08:
        return draft(body, slug=f"name-{number % 20}")
    if kind < 0.14:
        key = number % 15
        return draft(b"same", idempotency_hash=bytes([key]) * 32, fingerprint=bytes([number % 2]) * 32)
    if kind < 0.20:
        return draft(body, files=(file(body, 0, "a"), file(body[::-1], 1, "b")))
    return draft(body)


async def _reckless(pastes: Pastes, one: Draft, chance: random.Random) -> object:
    """A caller, one in twenty of whom goes away in the middle."""
    await asyncio.sleep(chance.random() * 0.5)
    try:
        async with asyncio.timeout(chance.random() * 0.02 if chance.random() < 0.05 else 30):
            return await pastes.create(one)
    except TimeoutError:
        return None
    except (SlugTaken, InvalidPaste, IdempotencyMismatch, Unavailable, asyncpg.DataError) as error:
        return error


async def test_every_acknowledged_create_is_there_once_whatever_happens(database_dsn: str) -> None:
    chance = random.Random(3)  # noqa: S311  (a scenario, not a secret)
    drafts = [_draft(number, chance) for number in range(2000)]
    killed = 0
    async with connected(database_dsn) as connection, opened(database_dsn) as pastes, asyncio.TaskGroup() as tasks:
        callers = [tasks.create_task(_reckless(pastes, one, chance)) for one in drafts]
        made_before = -1
        while not all(caller.done() for caller in callers):
            await asyncio.sleep(0.03)
            done = [caller.result() for caller in callers if caller.done()]
            # a machine that is slower than this loop would have every flight shot down
            if (made_now := sum(isinstance(result, Paste) for result in done)) >= made_before + 20:
                if shot := await connection.fetchval(_KILL):
                    made_before = made_now
                killed += shot
        assert pastes._creations._held_bytes == 0
    rows = await census(database_dsn)
    assert all(row["revisions"] == row["revision"] == 1 and row["is_intact"] for row in rows.values())
    results = [caller.result() for caller in callers]
    counts = Counter(type(result).__name__ for result in results)
    assert counts["Paste"] > 100
    assert {"SlugTaken", "InvalidPaste", "IdempotencyMismatch", "CharacterNotInRepertoireError"} <= counts.keys()
    made = Counter(result.slug for result in results if isinstance(result, Paste))
    for one, result in zip(drafts, results, strict=True):
        row = rows.get(one.slug)
        if isinstance(result, Paste):
            assert rows[result.slug]["digests"] == ",".join(each.sha256.hex() for each in one.files)
            assert made[result.slug] == 1 or one.idempotency_hash is not None
        elif row is not None and isinstance(result, (InvalidPaste, asyncpg.DataError, IdempotencyMismatch)):
            raise AssertionError(f"{one.slug} was refused, and is there")
        elif row is not None and not isinstance(result, SlugTaken):
            assert result is None or isinstance(result, Unavailable)
            assert not one.slug.startswith("name-") or row["digests"]
    assert killed or counts["DatabaseUnavailable"] == 0


async def test_changes_share_a_commit_and_each_has_its_own_outcome(database_dsn: str) -> None:
    async with opened(database_dsn) as pastes:
        made = await asyncio.gather(*(pastes.create(draft(title=f"t{number}")) for number in range(8)))
        await pastes.delete(made[6])
        stale = made[5]
        await pastes.revise(stale, Changes(None, {"title": "changed"}))
        before = pastes._revisions.figures.flights
        got = await outcomes(
            pastes.revise(made[0], Changes((file(b"zero"),))),
            pastes.revise(made[1], Changes(None, {"title": None, "visibility": "public"})),
            pastes.revise(made[2], Changes(None, {"lifetime": timedelta(hours=1), "expires_at": None})),
            pastes.revise(made[3], Changes(None, {"expires_at": PAST})),
            pastes.revise(made[4], Changes((file(b"a", 0, "a"), file(b"b", 1, "b")), {"max_reads": 4})),
            pastes.revise(stale, Changes((file(b"lost"),))),
            pastes.revise(made[6], Changes(None, {"title": "x"})),
            pastes.revise(made[7], Changes(None, {"password_hash": "nul \0"})),
        )
        assert pastes._revisions.figures.flights - before > 1  # the last one had to be found
        found = await asyncio.gather(*(pastes.find(one.slug, bodies="all") for one in made[:6]))
    kinds = [type(outcome) for outcome in got]
    assert kinds[:7] == [Paste, Paste, Paste, InvalidPaste, Paste, RevisionConflict, PasteNotFound]
    assert isinstance(got[7], asyncpg.DataError)
    assert [got[index] for index in (0, 4)] == [found[0], found[4]]
    assert (found[0].revision, found[0].files[0].body, found[0].title) == (2, b"zero", "t0")
    assert (found[1].revision, found[1].title, found[1].visibility) == (1, None, "public")
    assert found[2].expires_at is not None and found[3].expires_at is None
    assert ([each.body for each in found[4].files], found[4].max_reads) == ([b"a", b"b"], 4)


async def test_of_many_changes_to_one_revision_one_wins(database_dsn: str) -> None:
    async with opened(database_dsn) as one, opened(database_dsn) as another:
        paste = await one.create(draft())
        got = await outcomes(
            *((one, another)[number % 2].revise(paste, Changes((file(b"%d" % number),))) for number in range(20))
        )
        kinds = Counter(type(outcome) for outcome in got)
        assert kinds == {Paste: 1, RevisionConflict: 19}
        assert (await one.find(paste.slug)).revision == 2


async def test_a_session_learns_where_its_writes_lie(database_dsn: str) -> None:
    async def writer(number: int) -> Session:
        session = Session()
        SESSION.set(session)
        paste = await pastes.create(draft(b"%d" % number, max_reads=2))
        first = session.seen
        assert first is not None
        revised = await pastes.revise(paste, Changes((file(b"more"),)))
        second = session.seen
        assert second is not None and second.covers(first) and second.lsn > first.lsn
        await pastes.take_read(revised)
        await pastes.delete(await pastes.find(paste.slug))
        assert session.seen is not None and session.seen.covers(second) and session.seen.lsn > second.lsn
        return session

    async with opened(database_dsn) as pastes, asyncio.TaskGroup() as tasks:
        writers = [tasks.create_task(writer(number), context=copy_context()) for number in range(10)]
        for one in writers:
            session = await one
            assert session.seen is not None and session.seen.timeline == 1
            assert not session.from_primary
    async with connected(database_dsn) as connection:
        (row,) = await connection.fetch(
            "select system_identifier, pg_current_wal_flush_lsn() as lsn from pg_control_system()"
        )
    assert session.seen.system_id == row["system_identifier"]
    assert session.seen.lsn <= row["lsn"]
