"""Line indexes in SQL: kept once, and gone with their blob."""

from __future__ import annotations

from pastebin.store.blobs import new_key
from pastebin.store.line_indexes import LineIndexes, StoredIndex
from tests.stored import Stored, draft

INDEX = StoredIndex(100, 64, True, b"\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0")


async def test_an_index_goes_with_its_blob(stored: Stored) -> None:
    indexes = LineIndexes(stored.database)
    file = await stored.blob()
    assert file.blob_key is not None
    assert await indexes.find(file.blob_key) is None
    await indexes.keep(file.blob_key, INDEX)
    await indexes.keep(file.blob_key, StoredIndex(1, 1, False, b""))
    assert await indexes.find(file.blob_key) == INDEX
    paste = await stored.pastes.create(draft(file))
    await stored.end(paste, 100)
    await stored.leftovers.strip(10)
    async with stored.leftovers.orphans(0.0, 10) as keys:
        assert keys == [file.blob_key]
    assert await indexes.find(file.blob_key) is None


async def test_a_blob_that_is_not_known_has_no_index(stored: Stored) -> None:
    indexes, key = LineIndexes(stored.database), new_key()
    await indexes.keep(key, INDEX)
    assert await indexes.find(key) is None
