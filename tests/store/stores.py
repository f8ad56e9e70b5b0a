"""Pastes on a real database, and drafts to put there."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from pastebin import slugs
from pastebin.models import Draft, File
from pastebin.sections import DatabaseSection
from pastebin.store.database import Database
from pastebin.store.pastes import Pastes

INLINE = 65536


def file(body: bytes, position: int = 0, name: str | None = None) -> File:
    return File(position, name, "text/plain", None, len(body), hashlib.sha256(body).digest(), body=body)


def draft(body: bytes = b"hello\n", **members: Any) -> Draft:
    given = {"slug": slugs.generate(protected=False), "files": (file(body),), "token_hash": bytes(32)}
    return Draft(**{**given, **members})


@asynccontextmanager
async def opened(dsn: str, **section: Any) -> AsyncIterator[Pastes]:
    async with (
        Database.opened(DatabaseSection(**section), dsn) as database,
        Pastes.opened(database, INLINE) as pastes,
    ):
        yield pastes


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()
