"""Complaints in SQL: bounded, settled with their paste; and what was taken down stays known."""

from __future__ import annotations

from pastebin.store import complaints
from pastebin.store.complaints import Complaints
from tests.stored import Stored


async def test_the_table_is_bounded(stored: Stored) -> None:
    every = Complaints(stored.database)
    paste = await stored.paste()
    added = [await every.add(paste, "spam", "") for _ in range(complaints.MOST_OF_PASTE + 3)]
    assert added == [True] * complaints.MOST_OF_PASTE + [False] * 3
    await stored.sql(
        "insert into reports (slug, paste_id, reason) select 'x', $1, 'spam' from generate_series(1, $2)",
        paste.id,
        complaints.MOST,
    )
    assert await every.add(await stored.paste(), "spam", "")
    assert await stored.count("reports") == complaints.MOST


async def test_whoever_deletes_a_paste_settles_the_complaints(stored: Stored) -> None:
    every = Complaints(stored.database)
    paste, other = await stored.paste(), await stored.paste()
    await every.add(paste, "spam", "")
    await every.add(other, "malware", "look")
    await stored.pastes.delete(paste)
    (left,) = await every.list()
    assert (left.slug, left.reason, left.details, left.of_paste) == (other.slug, "malware", "look", 1)
    assert await every.dismiss(other.slug) == 1
    assert await every.list() == []


async def test_it_stays_known_when_other_tombstones_go(stored: Stored) -> None:
    paste, other = await stored.paste(), await stored.paste()
    await stored.pastes.take_down(paste, "by law")
    await stored.pastes.delete(other)
    await stored.leftovers.strip(10)
    await stored.leftovers.bury(0.0, 10)
    assert [row["slug"] for row in await stored.sql("select slug from pastes")] == [paste.slug]
    assert await stored.count("files") == 0
    ((kind, payload),) = await stored.sql(
        "select kind, payload from outbox where slug = $1 and kind <> 'create'", paste.slug
    )
    assert (kind, payload) == ("take-down", {"reason": "by law"})
