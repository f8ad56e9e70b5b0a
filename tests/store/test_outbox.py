"""What is noted with every change, and beside them: enough for caches and figures, nothing where nothing happened."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pastebin.errors import PasteNotFound, RevisionConflict, SlugTaken
from pastebin.models import Changes
from pastebin.store.outbox import Outbox
from tests.stored import Stored, draft, file

_ALL = "select kind, slug, paste_id, size, syntax, tell, xid from outbox order by id"


async def noted(stored: Stored) -> list[tuple[object, ...]]:
    return [tuple(row)[:-1] for row in await stored.sql(_ALL)]


async def test_every_change_is_noted_with_what_it_concerns(stored: Stored) -> None:
    paste = await stored.paste(b"one", b"two")
    named = await stored.paste(b"three", is_named=True)
    revised = await stored.pastes.revise(paste, Changes((file(b"four!"),)))
    await stored.pastes.revise(revised, Changes(members={"title": "new"}))
    change = await stored.pastes.delete(paste)
    await stored.pastes.take_down(named)
    assert await noted(stored) == [
        ("create", paste.slug, paste.id, 6, None, False),
        ("create", named.slug, named.id, 5, None, True),
        ("revise", paste.slug, paste.id, 5, None, True),
        ("revise", paste.slug, paste.id, None, None, True),
        ("delete", paste.slug, paste.id, None, None, True),
        ("take-down", named.slug, named.id, None, None, True),
    ]
    xids = [row["xid"] for row in await stored.sql(_ALL)]
    assert (xids[0], xids[2], xids[4]) == (paste.change, revised.change, change)


async def test_the_last_reading_is_noted_and_no_other(stored: Stored) -> None:
    paste = await stored.paste(max_reads=2)
    await stored.pastes.take_read(paste)
    assert [row[0] for row in await noted(stored)] == ["create"]
    await stored.pastes.take_read(paste)
    assert (await noted(stored))[1] == ("burn", paste.slug, paste.id, None, None, True)
    with pytest.raises(PasteNotFound):
        await stored.pastes.take_read(paste)
    assert len(await noted(stored)) == 2


async def test_what_expires_is_noted_when_it_is_found(stored: Stored) -> None:
    paste = await stored.paste(lifetime=timedelta(hours=1))
    await stored.expire(paste)
    assert await stored.leftovers.expire(10) == 1
    assert await stored.leftovers.expire(10) == 0
    assert [row[0] for row in await noted(stored)] == ["create", "expire"]


async def test_what_did_not_happen_is_not_noted(stored: Stored) -> None:
    paste = await stored.paste(slug="taken")
    with pytest.raises(SlugTaken):
        await stored.pastes.create(draft(b"x", slug="taken", is_named=True))
    await stored.pastes.revise(paste, Changes(members={"title": "new"}))
    with pytest.raises(RevisionConflict):
        await stored.pastes.revise(paste, Changes(members={"title": "other"}))
    await stored.pastes.delete(paste)
    with pytest.raises(PasteNotFound):
        await stored.pastes.delete(paste)
    assert [row[0] for row in await noted(stored)] == ["create", "revise", "delete"]


async def test_only_what_caches_have_to_hear_rings(stored: Stored) -> None:
    rings: list[str] = []
    with stored.database.changes.answered(lambda: rings.append("x")):
        paste = await stored.paste()
        assert rings == []
        await stored.paste(is_named=True)
        await stored.pastes.revise(paste, Changes(members={"title": "new"}))
        await stored.pastes.delete(paste)
    assert len(rings) == 3


async def test_a_push_is_asked_for_once_a_minute(stored: Stored) -> None:
    outbox = Outbox(stored.database)
    assert await outbox.enqueue_push("hot", "here", ["http://x/hot"])
    assert not await outbox.enqueue_push("hot", "there", ["http://x/hot"])
    assert await outbox.enqueue_push("other", "here", ["http://x/other"])
    await stored.sql("update outbox set created_at = now() - interval '61 seconds'")
    assert await outbox.enqueue_push("hot", "here", ["http://x/hot"])
    ((payload,), *_) = await stored.sql("select payload from outbox where slug = 'hot'")
    assert payload == {"region": "here", "urls": ["http://x/hot"]}
