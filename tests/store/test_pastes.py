"""Pastes in a real database: what is found, who wins, what an end leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pastebin.errors import (
    IdempotencyMismatch,
    InvalidPaste,
    PastebinError,
    PasteNotFound,
    RevisionConflict,
    SlugTaken,
    Unavailable,
    UploadTooSlow,
)
from pastebin.models import Changes, Draft, Paste
from pastebin.store.database import Database
from pastebin.store.pastes import Pastes
from tests.store.stores import INLINE
from tests.stored import SECTION, Stored, draft, file

KEY = b"k" * 32
PAST = datetime(2020, 1, 1, tzinfo=UTC)


async def outcomes(*attempts: Awaitable[Paste]) -> tuple[list[Paste], list[type[BaseException]]]:
    """Those that made it, and how the others were refused; an error that is no word of the domain is raised."""
    made: list[Paste] = []
    refused: list[type[BaseException]] = []
    for answer in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(answer, PastebinError):
            refused.append(type(answer))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            made.append(answer)
    return made, refused


def revised(content: bytes, **members: Any) -> Changes:
    return Changes((file(content),), members)


async def test_what_was_created_is_found(stored: Stored) -> None:
    asked = draft(
        b"one\n",
        b"two\n",
        title="Tïtle",
        visibility="public",
        lifetime=timedelta(hours=1),
        max_reads=3,
        password_hash="$argon2id$",
        encryption={"v": 1, "ünïcode": [None, True]},
        parent="some-parent",
    )
    made = await stored.pastes.create(asked)
    assert made.expires_at is not None
    assert made.expires_at - made.created_at == timedelta(hours=1)
    assert (made.revision, made.reads, made.revised_at) == (1, 0, made.created_at)
    found = await stored.pastes.find(asked.slug, bodies="all")
    assert found == made
    for member in ("slug", "title", "visibility", "max_reads", "password_hash", "encryption", "parent", "token_hash"):
        assert getattr(found, member) == getattr(asked, member)


async def test_bodies_come_along_only_when_asked_for(stored: Stored) -> None:
    several = await stored.paste(b"one\n", b"two\n")
    sole = await stored.paste(b"only\n")

    async def bodies(paste: Paste, **asked: Any) -> list[bytes | None]:
        return [one.body for one in (await stored.pastes.find(paste.slug, **asked)).files]

    assert await bodies(several) == [None, None]
    assert await bodies(several, bodies="all") == [b"one\n", b"two\n"]
    assert await bodies(several, bodies="sole") == [None, None]
    assert await bodies(several, body_of="file-1") == [None, b"two\n"]
    assert await bodies(several, body_of="nope") == [None, None]
    assert await bodies(sole) == [None]
    assert await bodies(sole, bodies="sole") == [b"only\n"]


async def test_a_slug_is_given_once(stored: Stored) -> None:
    wishes = [stored.pastes.create(draft(b"%d" % number, slug="mine")) for number in range(10)]
    (made,), refused = await outcomes(*wishes)
    assert refused == [SlugTaken] * 9
    assert (await stored.pastes.find("mine", bodies="all")).files == made.files
    assert [await stored.count(table) for table in ("pastes", "revisions", "files")] == [1, 1, 1]


@pytest.mark.parametrize("end", ["deleted", "expired", "burned", "expired and swept"])
async def test_what_has_ended_keeps_its_slug_until_it_is_buried(stored: Stored, end: str) -> None:
    paste = await stored.paste(slug="mine", max_reads=1)
    if end == "deleted":
        await stored.pastes.delete(paste)
    elif end == "burned":
        await stored.pastes.take_read(paste)
    else:
        await stored.expire(paste, 60)
    if end == "expired and swept":
        await stored.leftovers.expire(10)
        await stored.leftovers.strip(10)
    with pytest.raises(PasteNotFound):
        await stored.pastes.find("mine")
    with pytest.raises(SlugTaken):
        await stored.paste(slug="mine")
    await stored.leftovers.expire(10)
    await stored.leftovers.strip(10)
    assert await stored.leftovers.bury(0, 10) == 1
    assert (await stored.paste(slug="mine")).id != paste.id


async def test_an_expiry_in_the_past_is_the_database_s_to_see(stored: Stored) -> None:
    with pytest.raises(InvalidPaste, match="expires_at"):
        await stored.paste(expires_at=PAST)
    assert await stored.count("pastes") == 0
    paste = await stored.paste()
    with pytest.raises(InvalidPaste, match="expires_at"):
        await stored.pastes.revise(paste, revised(b"2", expires_at=PAST))
    assert (await stored.pastes.find(paste.slug)).revision == 1


async def test_when_the_time_is_over_nothing_reaches_the_paste_any_more(stored: Stored) -> None:
    paste = await stored.paste(lifetime=timedelta(hours=1), max_reads=5)
    await stored.expire(paste)
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: stored.pastes.find(paste.slug),
        lambda: stored.pastes.revise(paste, revised(b"2", lifetime=timedelta(days=9))),
        lambda: stored.pastes.take_read(paste),
        lambda: stored.pastes.delete(paste),
    ]
    for attempt in attempts:
        with pytest.raises(PasteNotFound):
            await attempt()
    assert [(row["state"], row["reads"]) for row in await stored.sql("select * from pastes")] == [("live", 0)]


async def test_of_concurrent_revisions_one_wins(stored: Stored) -> None:
    paste = await stored.paste(b"0")
    (made,), refused = await outcomes(*(stored.pastes.revise(paste, revised(b"%d" % n)) for n in range(1, 11)))
    assert refused == [RevisionConflict] * 9
    found = await stored.pastes.find(paste.slug, bodies="all")
    assert (found.revision, found.files) == (2, made.files)
    assert [await stored.count(table) for table in ("pastes", "revisions", "files")] == [1, 2, 2]


async def test_a_revision_leaves_what_it_does_not_name(stored: Stored) -> None:
    paste = await stored.paste(b"0", title="title", lifetime=timedelta(hours=1), max_reads=3, password_hash="hash")
    content = await stored.pastes.revise(paste, revised(b"1"))
    assert (content.title, content.expires_at, content.max_reads, content.password_hash) == (
        "title",
        paste.expires_at,
        3,
        "hash",
    )
    assert content.revised_at > paste.revised_at
    gone = {"title": None, "expires_at": None, "lifetime": None, "max_reads": None, "password_hash": None}
    options = await stored.pastes.revise(content, Changes(None, {**gone, "visibility": "public"}))
    assert (options.title, options.expires_at, options.max_reads, options.password_hash) == (None, None, None, None)
    assert (options.visibility, options.revision, options.files) == ("public", 2, content.files)
    assert options.revised_at == content.revised_at


async def test_a_new_read_limit_counts_from_the_start(stored: Stored) -> None:
    paste = await stored.paste(max_reads=2)
    await stored.pastes.take_read(paste)
    again = await stored.pastes.revise(paste, Changes(None, {"max_reads": 2}))
    assert again.reads_left == 2


async def test_of_concurrent_deletes_one_wins_and_little_stays(stored: Stored) -> None:
    paste = await stored.paste(title="secret", password_hash="hash", encryption={"v": 1})
    answers = await asyncio.gather(*(stored.pastes.delete(paste) for _ in range(5)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == [*["PasteNotFound"] * 4, "int"]
    (row,) = await stored.sql("select state, title, password_hash, encryption from pastes")
    assert tuple(row) == ("deleted", None, None, None)
    for attempt in (stored.pastes.find(paste.slug), stored.pastes.revise(paste, revised(b"2"))):
        with pytest.raises(PasteNotFound):
            await attempt


@pytest.mark.parametrize("limit", [1, 4])
async def test_over_two_nodes_a_paste_is_read_exactly_as_often_as_allowed(stored: Stored, limit: int) -> None:
    paste = await stored.paste(b"one\n", b"two\n", max_reads=limit)
    async with Database.opened(SECTION, stored.dsn) as database, Pastes.opened(database, INLINE) as other:
        nodes = [stored.pastes, other]
        read, refused = await outcomes(*(nodes[number % 2].take_read(paste) for number in range(20)))
    assert sorted(one.reads for one in read) == list(range(1, limit + 1))
    assert refused == [PasteNotFound] * (20 - limit)
    assert {tuple(one.body for one in seen.files) for seen in read} == {(b"one\n", b"two\n")}
    with pytest.raises(PasteNotFound):
        await stored.pastes.find(paste.slug)
    assert [tuple(row) for row in await stored.sql("select state, reads from pastes")] == [("burned", limit)]


async def test_a_read_of_what_has_been_revised_consumes_nothing(stored: Stored) -> None:
    seen = await stored.paste(b"old", max_reads=1)
    now = await stored.pastes.revise(seen, revised(b"new"))
    with pytest.raises(RevisionConflict):
        await stored.pastes.take_read(seen)
    assert (await stored.pastes.take_read(now)).files[0].body == b"new"


async def test_readers_and_a_deleter_at_once(stored: Stored) -> None:
    for _ in range(5):
        paste = await stored.paste(max_reads=3)
        reads = [stored.pastes.take_read(paste) for _ in range(5)]

        async def delete(paste: Paste = paste) -> Paste:
            await stored.pastes.delete(paste)
            return paste

        done, refused = await outcomes(*reads[:2], delete(), *reads[2:])
        assert len([one for one in done if one is not paste]) <= 3
        assert set(refused) <= {PasteNotFound}
        with pytest.raises(PasteNotFound):
            await stored.pastes.find(paste.slug)


def idempotent(content: bytes, fingerprint: bytes = b"same") -> Draft:
    return draft(content, idempotency_hash=KEY, fingerprint=fingerprint)


async def test_concurrent_creates_with_one_key_make_one_paste(stored: Stored) -> None:
    drafts = [idempotent(b"exactly once") for _ in range(10)]
    made, refused = await outcomes(*(stored.pastes.create(one) for one in drafts))
    assert refused == []
    assert {paste.slug for paste in made} <= {one.slug for one in drafts}
    assert len({(paste.id, paste.slug) for paste in made}) == 1
    assert [await stored.count(table) for table in ("pastes", "revisions", "files")] == [1, 1, 1]


async def test_a_retry_with_an_own_slug_finds_its_paste(stored: Stored) -> None:
    drafts = [draft(b"x", slug="mine", idempotency_hash=KEY, fingerprint=b"same") for _ in range(6)]
    made, refused = await outcomes(*(stored.pastes.create(one) for one in drafts))
    assert (len({paste.id for paste in made}), refused) == (1, [])


async def test_a_key_is_for_one_paste_only_and_for_24_hours(stored: Stored) -> None:
    first = await stored.pastes.create(idempotent(b"x"))
    with pytest.raises(IdempotencyMismatch):
        await stored.pastes.create(idempotent(b"y", b"other"))
    await stored.sql("update pastes set created_at = now() - interval '23 hours 59 minutes'")
    assert (await stored.pastes.create(idempotent(b"x"))).id == first.id
    await stored.sql("update pastes set created_at = now() - interval '24 hours 1 minute'")
    second = await stored.pastes.create(idempotent(b"y", b"other"))
    assert second.id != first.id
    assert (await stored.pastes.find(first.slug)).id == first.id
    with pytest.raises(IdempotencyMismatch):
        await stored.pastes.create(idempotent(b"x"))


async def test_a_key_whose_paste_is_gone_makes_no_second_one(stored: Stored) -> None:
    await stored.pastes.delete(await stored.pastes.create(idempotent(b"x")))
    with pytest.raises(PasteNotFound, match="gone already"):
        await stored.pastes.create(idempotent(b"x"))
    assert await stored.count("pastes") == 1


async def test_a_commit_makes_its_blobs_live_and_a_refused_one_does_not(stored: Stored) -> None:
    first, second, third = [await stored.blob(b"%d" % number) for number in range(3)]
    paste = await stored.pastes.create(draft(first, slug="mine"))
    assert paste.files[0].blob_key == first.blob_key
    with pytest.raises(SlugTaken):
        await stored.pastes.create(draft(second, slug="mine"))
    await stored.pastes.revise(paste, Changes((second,)))
    with pytest.raises(RevisionConflict):
        await stored.pastes.revise(paste, Changes((third,)))
    states = await stored.blob_states()
    assert [states[str(one.blob_key)] for one in (first, second, third)] == ["live", "live", "pending"]


async def test_an_upload_whose_blob_was_given_up_is_refused_wholly(stored: Stored) -> None:
    taken = await stored.blob()
    await stored.sql("delete from blobs")
    with pytest.raises(UploadTooSlow):
        await stored.pastes.create(draft(b"x", taken))
    assert [await stored.count(table) for table in ("pastes", "revisions", "files")] == [0, 0, 0]


async def test_a_change_of_options_alone_guards_reads_and_changes(stored: Stored) -> None:
    seen = await stored.paste(max_reads=5)
    now = await stored.pastes.revise(seen, Changes(None, {"password_hash": "new"}))
    assert (now.revision, now.version) == (1, 2)
    with pytest.raises(RevisionConflict):
        await stored.pastes.take_read(seen)
    with pytest.raises(RevisionConflict):
        await stored.pastes.revise(seen, Changes(None, {"title": "late"}))
    assert (await stored.pastes.take_read(now)).version == 2
    assert (await stored.pastes.find(seen.slug)).version == 2, "a read is no change"


async def test_bodies_of_a_private_paste_come_for_its_owner_only(stored: Stored) -> None:
    paste = await stored.paste(visibility="private")
    for wish in ({"bodies": "all"}, {"bodies": "sole"}):
        for token_hash in (None, bytes(32)):
            found = await stored.pastes.find(paste.slug, token_hash=token_hash, **wish)  # type: ignore[arg-type]
            assert found.files[0].body is None
        found = await stored.pastes.find(paste.slug, token_hash=paste.token_hash, **wish)  # type: ignore[arg-type]
        assert found.files[0].body == b"hello\n"


@pytest.mark.parametrize("code", ["25006", "40001", "40P01", "53000", "57P05", "58030", "XX000", "XX001"])
async def test_the_server_s_own_trouble_is_no_bug_of_ours(stored: Stored, code: str) -> None:
    with pytest.raises(Unavailable):
        await stored.sql(f"do $$ begin raise exception 'trouble' using errcode = '{code}'; end $$")
