"""What has ended or was never finished: found in time, kept as long as promised, removed in batches."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from pastebin.errors import UploadTooSlow
from pastebin.models import Changes
from pastebin.store import leftovers as module
from pastebin.store.leftovers import PENDING_SECONDS, Known
from tests.stored import Stored, ago, draft, file

DAY = 86_400.0
GRACE = 3600.0


async def offered(stored: Stored, grace_seconds: float = 0.0, limit: int = 100) -> set[str]:
    """The keys that may be removed now; their rows stay."""
    return set(await stored.leftovers.due(grace_seconds, limit))


async def share(stored: Stored, paste_id: int, key: str | None) -> None:
    """Let the first file of a paste point to a blob that another paste has as well."""
    await stored.sql("update files set body = null, blob_key = $2 where paste_id = $1", paste_id, key)


async def test_expired_is_what_the_database_says_oldest_first_in_batches(stored: Stored) -> None:
    ages = {(await stored.paste()).id: age for age in (30, 10, 20, -1000)}
    for paste_id, age in ages.items():
        await stored.sql("update pastes set expires_at = now() - $2::interval where id = $1", paste_id, ago(age))
    unlimited = await stored.paste()
    counts, seen = [], []
    while count := await stored.leftovers.expire(1):
        counts.append(count)
        rows = await stored.sql("select id from pastes where state = 'expired'")
        seen += [row["id"] for row in rows if row["id"] not in seen]
    assert counts == [1, 1, 1]
    assert [ages[paste_id] for paste_id in seen] == [30, 20, 10]
    rows = await stored.sql("select id, ended_at = expires_at as since_expiry from pastes where state = 'expired'")
    assert all(row["since_expiry"] for row in rows)
    assert (await stored.pastes.find(unlimited.slug)).id == unlimited.id


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_content_goes_in_batches_and_the_living_keep_theirs(stored: Stored, limit: int) -> None:
    blob = await stored.blob()
    ended = await stored.pastes.create(draft(b"one", blob))
    await stored.pastes.revise(ended, Changes((file(b"two"), file(b"three", 1))))
    other = await stored.blob()
    kept = await stored.pastes.create(draft(b"kept", other))
    await stored.end(ended)
    counts = []
    while count := await stored.leftovers.strip(limit):
        counts.append(count)
    assert sum(counts) == 2
    assert max(counts) <= limit
    assert [row["paste_id"] for row in await stored.sql("select distinct paste_id from revisions")] == [kept.id]
    assert await stored.count("files") == 2
    assert await stored.blob_states() == {blob.blob_key: "deleting", other.blob_key: "live"}


@pytest.mark.parametrize("limit", [1, 100])
async def test_a_blob_of_two_pastes_goes_with_the_second(stored: Stored, limit: int) -> None:
    blob = await stored.blob()
    first = await stored.pastes.create(draft(blob))
    second = await stored.paste()
    await share(stored, second.id, blob.blob_key)
    await stored.end(first)
    while await stored.leftovers.strip(limit):
        pass
    assert await stored.blob_states() == {blob.blob_key: "live"}
    assert await offered(stored) == set()
    await stored.end(second)
    while await stored.leftovers.strip(limit):
        pass
    assert await stored.blob_states() == {blob.blob_key: "deleting"}
    assert await offered(stored) == {blob.blob_key}


async def test_a_blob_of_two_pastes_goes_when_both_end_in_one_batch(stored: Stored) -> None:
    blob = await stored.blob()
    first, second = await stored.pastes.create(draft(blob)), await stored.paste()
    await share(stored, second.id, blob.blob_key)
    await stored.end(first)
    await stored.end(second)
    assert await stored.leftovers.strip(2) == 2
    assert await stored.blob_states() == {blob.blob_key: "deleting"}


async def test_a_blob_whose_last_two_pastes_are_swept_by_two_nodes_at_once_is_found(stored: Stored) -> None:
    blob = await stored.blob()
    first, second = await stored.pastes.create(draft(blob)), await stored.paste()
    await share(stored, second.id, blob.blob_key)
    await stored.end(first, 10)
    await stored.end(second)
    other = await asyncpg.connect(stored.dsn, timeout=10)
    try:
        async with other.transaction():  # has taken the first, and nobody sees it yet
            assert await other.execute(module._STRIP, 1) == "DELETE 1"
            assert await stored.leftovers.strip(1) == 1
    finally:
        await other.close()
    assert await stored.count("files") == 0
    assert [await stored.leftovers.disown(10) for _ in range(2)] == [1, 0]
    assert await stored.blob_states() == {blob.blob_key: "deleting"}


async def test_only_what_nobody_points_to_is_disowned(stored: Stored) -> None:
    live, pending = await stored.blob(), await stored.blob()
    await stored.pastes.create(draft(live))
    assert await stored.leftovers.disown(10) == 0
    assert await stored.blob_states() == {live.blob_key: "live", pending.blob_key: "pending"}


async def test_two_sweepers_share_the_work(stored: Stored) -> None:
    for _ in range(20):
        await stored.end(await stored.paste())
    counts = await asyncio.gather(*(stored.leftovers.strip(4) for _ in range(5)))
    assert all(count <= 4 for count in counts)
    while await stored.leftovers.strip(4):
        pass
    assert [await stored.count(table) for table in ("revisions", "files", "pastes")] == [0, 0, 20]


async def test_a_running_upload_keeps_its_blob_and_an_abandoned_one_does_not(stored: Stored) -> None:
    running, renewed, stalled, abandoned = [str((await stored.blob()).blob_key) for _ in range(4)]
    for key in (renewed, stalled):
        await stored.age(key, PENDING_SECONDS + 1)
    await stored.leftovers.renew_blobs([renewed])
    await stored.leftovers.abandon_blobs([abandoned])
    assert await offered(stored, 0) == {stalled, abandoned}
    assert await offered(stored, 10 * DAY) == {stalled, abandoned}, "nobody ever read them: no grace is needed"
    await stored.age(running, PENDING_SECONDS + 1)
    assert running in await offered(stored)


async def test_only_what_is_pending_can_be_renewed_or_abandoned(stored: Stored) -> None:
    blob = await stored.blob()
    paste = await stored.pastes.create(draft(blob))
    assert blob.blob_key
    await stored.leftovers.abandon_blobs([blob.blob_key])
    assert await stored.blob_states() == {blob.blob_key: "live"}
    await stored.end(paste)
    await stored.leftovers.strip(1)
    await stored.age(blob.blob_key, DAY)
    await stored.leftovers.renew_blobs([blob.blob_key])
    assert await offered(stored, GRACE) == {blob.blob_key}


async def test_the_blob_of_an_ended_paste_is_offered_after_the_grace_period(stored: Stored) -> None:
    blob = await stored.blob()
    await stored.end(await stored.pastes.create(draft(blob)))
    await stored.leftovers.strip(1)
    assert await offered(stored, GRACE) == set()
    assert await offered(stored, 0) == {blob.blob_key}
    await stored.age(str(blob.blob_key), GRACE + 1)
    assert await offered(stored, GRACE) == {blob.blob_key}


async def test_a_row_outlives_an_object_that_could_not_be_removed(stored: Stored) -> None:
    key = str((await stored.blob()).blob_key)
    await stored.leftovers.abandon_blobs([key])
    assert await offered(stored) == {key}
    assert await stored.blob_states() == {key: "deleting"}
    for _ in range(2):
        async with stored.leftovers.orphans(0, 10) as keys:
            assert keys == [key]
            keys.clear()
        with pytest.raises(KeyError):
            async with stored.leftovers.orphans(0, 10) as keys:
                assert keys == [key]
                raise KeyError
    assert await stored.blob_states() == {key: "deleting"}
    async with stored.leftovers.orphans(0, 10) as keys:
        assert keys == [key]
    assert await stored.blob_states() == {}


async def test_what_a_sweeper_has_claimed_is_offered_again_when_it_dies(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob, lost = str((await stored.blob()).blob_key), str((await stored.blob()).blob_key)
    await stored.age(blob, PENDING_SECONDS + 1)
    await stored.age(lost, PENDING_SECONDS + 1)
    async with stored.leftovers.orphans(DAY, 10) as keys:
        assert set(keys) == {blob, lost}
        assert await offered(stored, DAY) == set()
        await stored.age(lost, module._CLAIM_SECONDS)
        assert await offered(stored, DAY) == {lost}


async def test_nothing_is_locked_while_a_store_is_slow(stored: Stored) -> None:
    await stored.leftovers.abandon_blobs([str((await stored.blob()).blob_key)])
    async with stored.leftovers.orphans(0, 10):
        waiting = "select from pg_stat_activity where datname = current_database() and state ~ 'in transaction'"
        assert await stored.sql(waiting) == []


async def test_an_upload_that_was_given_up_is_not_published_any_more(stored: Stored) -> None:
    late, other = await stored.blob(), await stored.blob()
    await stored.age(str(late.blob_key), PENDING_SECONDS + 1)
    with pytest.raises(KeyError):
        async with stored.leftovers.orphans(DAY, 10) as keys:
            assert keys == [late.blob_key]
            results = await asyncio.gather(
                stored.pastes.create(draft(late)), stored.pastes.create(draft(other)), return_exceptions=True
            )
            raise KeyError
    assert isinstance(results[0], UploadTooSlow)
    assert await stored.blob_states() == {late.blob_key: "deleting", other.blob_key: "live"}
    paste = await stored.paste()
    with pytest.raises(UploadTooSlow):
        await stored.pastes.revise(paste, Changes((late,)))
    assert (await stored.pastes.find(paste.slug)).revision == 1


async def test_sweepers_are_not_offered_the_same_blobs(stored: Stored) -> None:
    keys = {str((await stored.blob()).blob_key) for _ in range(5)}
    await stored.leftovers.abandon_blobs(list(keys))
    async with stored.leftovers.orphans(0, 3) as some, stored.leftovers.orphans(0, 3) as others:
        assert (len(some), len(others)) == (3, 2)
        assert {*some, *others} == keys
    assert await stored.blob_states() == {}


async def test_tombstones_stay_for_a_while_and_as_long_as_there_is_content(stored: Stored) -> None:
    old, young, full = [await stored.paste() for _ in range(3)]
    for paste, seconds in ((old, 2 * DAY), (young, 10)):
        await stored.end(paste, seconds)
    await stored.leftovers.strip(10)
    await stored.end(full, 2 * DAY)
    assert [await stored.leftovers.bury(DAY, 10) for _ in range(2)] == [1, 0]
    assert {row["id"] for row in await stored.sql("select id from pastes")} == {young.id, full.id}
    await stored.leftovers.strip(10)
    assert [await stored.leftovers.bury(0, 1) for _ in range(3)] == [1, 1, 0]


async def test_keys_of_retries_are_forgotten_after_a_day(stored: Stored) -> None:
    for number, hours in enumerate((1, 25, 26, 27)):
        paste = await stored.paste(idempotency_hash=b"%032d" % number, fingerprint=b"same")
        await stored.sql(
            "update pastes set created_at = now() - $2::interval where id = $1", paste.id, ago(hours * 3600)
        )
    assert [await stored.leftovers.forget_idempotency(2) for _ in range(3)] == [2, 1, 0]
    rows = await stored.sql("select idempotency_hash, fingerprint from pastes where idempotency_hash is not null")
    assert [tuple(row) for row in rows] == [(b"%032d" % 0, b"same")]
    assert await stored.sql("select from pastes where fingerprint is not null and idempotency_hash is null") == []


async def test_figures_tell_what_is_left_and_since_when(stored: Stored) -> None:
    empty = await stored.leftovers.figures()
    assert (empty.present, empty.oldest_seconds, empty.orphans) == (0, 0, 0)
    await stored.paste()
    await stored.expire(await stored.paste(), 500)
    await stored.end(await stored.paste(), 100)
    await stored.blob()
    figures = await stored.leftovers.figures()
    assert (figures.present, figures.orphans) == (2, 1)
    assert 500 <= figures.oldest_seconds < 600
    await stored.leftovers.expire(10)
    assert (await stored.leftovers.figures()).present == 2
    await stored.leftovers.strip(10)
    figures = await stored.leftovers.figures()
    assert (figures.present, figures.oldest_seconds) == (0, 0)


async def test_both_sides_can_be_compared(stored: Stored) -> None:
    blobs = [await stored.blob(b"%d" % number) for number in range(5)]
    await stored.pastes.create(draft(*blobs[:4]))
    keys = sorted(str(blob.blob_key) for blob in blobs[:4])
    pages, after = [], ""
    while page := await stored.leftovers.known(after, 3):
        pages.append(page)
        after = page[-1].key
    assert [len(page) for page in pages] == [3, 2]
    states = {str(blob.blob_key): blob in blobs[:4] for blob in blobs}
    assert [row for page in pages for row in page] == [Known(key, states[key]) for key in sorted(states)]
    assert sorted(await stored.leftovers.still_live(list(states))) == keys
    assert await stored.leftovers.unknown([*keys, str(blobs[4].blob_key), "f" * 32]) == ["f" * 32]
    assert await stored.leftovers.unknown([]) == []


async def test_every_statement_is_one(stored: Stored) -> None:
    """The sweeper outlives what the database answers, so a statement that is none must be noticed here."""
    statements = [
        text for name, text in vars(module).items() if name.startswith("_") and name.isupper() and isinstance(text, str)
    ]
    assert len(statements) > 10
    async with stored.database.primary() as connection:
        for statement in statements:
            await connection.prepare(statement)


async def test_only_what_was_given_up_is_named(stored: Stored) -> None:
    given_up, committed = [await stored.blob() for _ in range(2)]
    await stored.pastes.create(draft(committed))
    assert await stored.leftovers.abandon_blobs([str(given_up.blob_key), str(committed.blob_key)]) == [
        given_up.blob_key
    ]
