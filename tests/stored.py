"""A database and a blob directory of a test's own, without a node around them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from pastebin import slugs
from pastebin.models import Draft, File, Paste
from pastebin.sections import DatabaseSection
from pastebin.store.blobs import Blobs, new_key
from pastebin.store.database import Database
from pastebin.store.directory import DirectoryBlobs
from pastebin.store.leftovers import Leftovers
from pastebin.store.pastes import Pastes

SECTION = DatabaseSection(pool_size=12)
TOKEN = "the owner's"


@dataclass(frozen=True)
class Stored:
    """The floor below the services, and what tests ask of it."""

    dsn: str
    database: Database
    pastes: Pastes
    leftovers: Leftovers
    blobs: Blobs

    async def sql(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """What the database itself says."""
        async with self.database.primary() as connection:
            return await connection.fetch(query, *arguments)

    async def count(self, table: str) -> int:
        ((number,),) = await self.sql(f"select count(*) from {table}")
        return int(number)

    async def paste(self, *bodies: bytes, **members: Any) -> Paste:
        """A live paste with these inline files."""
        return await self.pastes.create(draft(*(bodies or (b"hello\n",)), **members))

    async def blob(self, content: bytes = b"large\n") -> File:
        """A file whose object is stored and announced, as an upload leaves it just before its commit."""
        key = new_key()
        await self.leftovers.announce_blob(key)
        async with self.blobs.writer(key) as writer:
            await writer.write(content)
            await writer.complete()
        return replace(file(content), body=None, blob_key=key)

    async def end(self, paste: Paste, seconds_ago: float = 0.0) -> None:
        """Delete it, as if so long ago."""
        await self.pastes.delete(paste)
        await self.sql("update pastes set ended_at = now() - $2::interval where id = $1", paste.id, ago(seconds_ago))

    async def expire(self, paste: Paste, seconds_ago: float = 0.0) -> None:
        """Let its time be over, as if so long ago."""
        await self.sql("update pastes set expires_at = now() - $2::interval where id = $1", paste.id, ago(seconds_ago))

    async def age(self, key: str, seconds: float) -> None:
        """Make the row of a blob older."""
        await self.sql("update blobs set changed_at = changed_at - $2::interval where key = $1", key, ago(seconds))

    async def blob_states(self) -> dict[str, str]:
        return {row["key"]: row["state"] for row in await self.sql("select key, state from blobs")}

    async def objects(self) -> set[str]:
        return {entry.key async for entry in self.blobs.entries()}


@asynccontextmanager
async def opened(dsn: str, directory: Path) -> AsyncIterator[Stored]:
    async with (
        Database.opened(SECTION, dsn) as database,
        Pastes.opened(database, 64 * 1024) as pastes,
        DirectoryBlobs.opened(directory, min_free_bytes=0) as blobs,
    ):
        yield Stored(dsn, database, pastes, Leftovers(database), blobs)


def file(content: bytes, position: int = 0, name: str | None = None) -> File:
    digest = hashlib.sha256(content).digest()
    return File(position, name, "text/plain", None, len(content), digest, body=content)


def draft(*contents: bytes | File, **members: Any) -> Draft:
    """A draft of these files, each given as its inline content or ready-made."""
    files = [
        replace(content, position=position)
        if isinstance(content, File)
        else file(content, position, f"file-{position}" if len(contents) > 1 else None)
        for position, content in enumerate(contents)
    ]
    defaults = {"slug": slugs.generate(protected=False), "token_hash": slugs.hash_token(TOKEN)}
    return Draft(files=tuple(files), **{**defaults, **members})


def ago(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
