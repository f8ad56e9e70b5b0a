"""Lookups that share their statements against lookups one by one, through the same pool."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pastebin import slugs
from pastebin.models import Draft, File
from pastebin.sections import DatabaseSection
from pastebin.store import schema
from pastebin.store.database import Database
from pastebin.store.pastes import Pastes
from tests.bench.harness import Case, Contest, WrongAnswer, durable_postgres, processors

CALLERS = 512
_PASTES = 20_000
# What a node without coalescing would ask for every request.
_ONE = """
select p.id, p.slug, p.title, p.visibility, p.created_at, p.revised_at, p.expires_at, p.max_reads, p.reads, p.parent,
       p.encryption, p.token_hash, p.password_hash, p.revision,
       f.position, f.name, f.media_type, f.syntax, f.size, f.sha256, f.blob_key
from pastes p join files f on f.paste_id = p.id and f.revision = p.revision
where p.slug = $1 and p.state = 'live' and (p.expires_at is null or p.expires_at > now())
"""


class Lookups:
    """Callers that each look up one random paste after the other."""

    def __init__(self, database: Database, pastes: Pastes, digests: dict[str, bytes]) -> None:
        self._database = database
        self._pastes = pastes
        self._digests = digests
        self._turn = itertools.cycle(random.sample(list(digests), len(digests)))

    async def ours(self, seconds: float) -> float:
        async def one(slug: str) -> bytes:
            return (await self._pastes.find(slug)).files[0].sha256

        return await self._drive(one, seconds)

    async def reference(self, seconds: float) -> float:
        async def one(slug: str) -> bytes:
            async with self._database.reader() as connection:
                row = await connection.fetchrow(_ONE, slug)
            return bytes(row["sha256"]) if row else b""

        return await self._drive(one, seconds)

    async def _drive(self, one: Callable[[str], Awaitable[bytes]], seconds: float) -> float:
        done = 0
        until = time.perf_counter() + seconds

        async def caller() -> None:
            nonlocal done
            while time.perf_counter() < until:
                slug = next(self._turn)
                if await one(slug) != self._digests[slug]:
                    raise WrongAnswer(f"{slug} is not what was stored")
                done += 1

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return done / (time.perf_counter() - began)

    async def check(self) -> None:
        """Every answer was compared when it came."""


def _draft(number: int) -> Draft:
    body = f"paste number {number}\n".encode() * 20
    digest = hashlib.sha256(body).digest()
    file = File(0, None, "text/plain", None, len(body), digest, body=body)
    return Draft(slugs.generate(protected=False), (file,), bytes(32))


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    async with durable_postgres(directory) as server:
        await schema.migrate(server.dsn)
        async with Database.opened(DatabaseSection(), server.dsn) as database, Pastes.opened(database, 65536) as pastes:
            drafts = [_draft(number) for number in range(_PASTES)]
            for start in range(0, _PASTES, 1000):
                await asyncio.gather(*(pastes.create(draft) for draft in drafts[start : start + 1000]))
            async with server.connected() as connection:
                await connection.execute("vacuum analyze")
            lookups = Lookups(database, pastes, {draft.slug: draft.files[0].sha256 for draft in drafts})
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, processors()[0])
            try:
                yield Contest(lookups.ours, lookups.reference, lookups.check)
            finally:
                os.sched_setaffinity(0, before)


CASE = Case(
    name="lookups",
    unit="lookups/s",
    ours=f"Pastes.find by {CALLERS} callers",
    reference="fetchrow of the same columns through the same pool by as many",
    goal=8.0,
    prepared=prepared,
)
