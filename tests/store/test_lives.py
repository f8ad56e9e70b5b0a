"""What has arrived of pastes that are being written: taken once, read alike in whatever pieces it is."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from pastebin.errors import InvalidPaste, PasteNotFound, SlugTaken
from pastebin.models import File
from pastebin.store.lives import Appends, Lives, Piece
from tests.stored import Stored, draft, file


async def read(lives: Lives, paste_id: int, start: int = 0) -> bytes:
    got = b""
    while (arrived := await lives.read(paste_id, start + len(got), from_primary=True)) is not None and arrived.body:
        got += arrived.body
    return got


async def test_a_piece_is_taken_once_however_often_it_is_sent(stored: Stored) -> None:
    lives = Lives(stored.database)
    paste = await lives.start(draft(b""), 30.0)
    assert paste.is_growing
    async with Appends.opened(stored.database, 30.0) as appends:
        for _ in range(2):
            await appends.take(Piece(paste.id, 0, b"one "))
        await appends.take(Piece(paste.id, 4, b""))
        await asyncio.gather(*(appends.take(Piece(paste.id, 4, b"two")) for _ in range(3)))
        with pytest.raises(PasteNotFound):
            await appends.take(Piece(paste.id, 20, b"a gap"))
        assert [await read(lives, paste.id, start) for start in (0, 2, 5, 7, 9)] == [
            b"one two",
            b"e two",
            b"wo",
            b"",
            b"",
        ]
        await lives.close(paste.id, 30.0)
        with pytest.raises(PasteNotFound):
            await appends.take(Piece(paste.id, 7, b"too late"))
    assert await read(lives, paste.id) == b"one two"


async def test_pieces_become_fewer_and_say_the_same(stored: Stored) -> None:
    lives = Lives(stored.database)
    paste = await lives.start(draft(b""), 30.0)
    text = b""
    async with Appends.opened(stored.database, 30.0) as appends:
        for number in range(100):
            line = b"%d " % number * (number * 10)
            await appends.take(Piece(paste.id, len(text), line))
            text += line
        await lives.merge(paste.id, 0, len(text))
        await appends.take(Piece(paste.id, len(text), b"more"))
    assert await stored.count("live_pieces") < 20
    assert await read(lives, paste.id) == text + b"more"
    assert await read(lives, paste.id, 70_000) == (text + b"more")[70_000:]


async def test_what_a_writer_has_left_is_claimed_by_one(stored: Stored) -> None:
    lives = Lives(stored.database)
    left, kept = await lives.start(draft(b""), 0.0), await lives.start(draft(b""), 30.0)
    gone = await lives.start(draft(b""), 0.0)
    await stored.pastes.delete(gone)
    claims = await asyncio.gather(*(lives.claim(30.0, 10) for _ in range(4)))
    claimed = {one.paste_id: one.is_live for claim in claims for one in claim}
    assert claimed == {left.id: True, gone.id: False}
    assert sum(len(claim) for claim in claims) == 2
    ended = await lives.finish(left.id, file(b"what had arrived"))
    assert (ended.is_growing, ended.revision, ended.size) == (False, 1, 16)
    found = await stored.pastes.find(left.slug, bodies="all")
    assert found.files[0].body == b"what had arrived"
    for paste in (left, gone):
        with pytest.raises(PasteNotFound):
            await lives.finish(paste.id, File(0, None, "text/plain", None, 0, hashlib.sha256(b"").digest(), body=b""))
    assert await lives.size(kept.id, from_primary=False) == 0
    assert await stored.count("lives") == 1


async def test_a_name_is_taken_once(stored: Stored) -> None:
    lives = Lives(stored.database)
    await lives.start(draft(b"", slug="my-build", is_named=True), 30.0)
    with pytest.raises(SlugTaken):
        await lives.start(draft(b"", slug="my-build", is_named=True), 30.0)
    past = (await stored.pastes.now()).replace(year=2001)
    with pytest.raises(InvalidPaste):
        await lives.start(draft(b"", expires_at=past), 30.0)


async def test_a_writer_that_lost_it_takes_nothing_from_who_ends_it(stored: Stored) -> None:
    """It was silent for too long, and finds out with its next piece."""
    lives = Lives(stored.database)
    paste = await lives.start(draft(b""), 0.0)
    async with Appends.opened(stored.database, 0.0) as appends:
        await appends.take(Piece(paste.id, 0, b"what was shown"))
        (claimed,) = await lives.claim(30.0, 10)
        with pytest.raises(PasteNotFound):
            await appends.take(Piece(paste.id, 14, b" and more"))
    await lives.forget(paste.id)
    assert claimed.paste_id == paste.id
    assert await read(lives, paste.id) == b"what was shown"
    assert (await lives.finish(paste.id, file(b"what was shown"))).size == 14
