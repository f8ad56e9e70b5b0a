"""Lookups that share statements, on a real primary and a real replica that lags as much as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pastebin.allowance import Allowance
from pastebin.embedded import create_replica, primary
from pastebin.embedded.server import Server
from pastebin.errors import PasteNotFound, Unavailable
from pastebin.models import Paste
from pastebin.positions import SESSION, Position, Session
from pastebin.sections import DatabaseSection, EmbeddedSection
from pastebin.store import lookups, schema
from pastebin.store.connections import Connection
from pastebin.store.database import Database
from pastebin.store.lookups import strictest
from pastebin.store.pastes import Pastes
from tests.postgres import reachable_directory
from tests.store.stores import INLINE, connected, draft, file, opened

T = TypeVar("T")

POSITIONS = st.builds(Position, st.integers(1, 2), st.integers(1, 2), st.integers(0, 5))


@given(st.lists(POSITIONS, max_size=5))
def test_the_strictest_position_covers_the_others_or_the_primary_is_asked(positions: list[Position]) -> None:
    found = strictest(positions)
    if found == "primary":
        assert len({(position.system_id, position.timeline) for position in positions}) > 1
    elif found is None:
        assert not positions
    else:
        assert all(found.covers(position) for position in positions)
        assert found in positions


async def test_lookups_of_one_moment_share_a_statement_and_equal_ones_a_row(database_dsn: str) -> None:
    async with opened(database_dsn) as pastes:
        one = await pastes.create(draft(b"one"))
        two = await pastes.create(draft(files=(file(b"a", 0, "a"), file(b"b", 1, "b"))))
        before = pastes._lookups._replicas.figures.flights
        bare, again, sole, every, named, neither, missing = await asyncio.gather(
            pastes.find(one.slug),
            pastes.find(one.slug),
            pastes.find(one.slug, bodies="sole"),
            pastes.find(two.slug, bodies="all"),
            pastes.find(two.slug, body_of="b"),
            pastes.find(two.slug, bodies="sole"),
            pastes.find("unknown", bodies="sole"),
            return_exceptions=True,
        )
        assert pastes._lookups._replicas.figures.flights - before == 3  # all bodies of a paste fly alone
    assert bare is again
    assert bare.files[0].body is None
    assert sole == one
    assert every == two
    assert [each.body for each in named.files] == [None, b"b"]
    assert [each.body for each in neither.files] == [None, None]
    assert isinstance(missing, PasteNotFound)


async def test_a_name_that_no_file_can_have_disturbs_nobody(database_dsn: str) -> None:
    async with opened(database_dsn) as pastes:
        paste = await pastes.create(draft())
        calls = [pastes.find(paste.slug), pastes.find(paste.slug, body_of="nul\0"), pastes.find(paste.slug)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [getattr(outcome, "slug", None) for outcome in outcomes] == [paste.slug] * 3


async def test_a_lookup_never_joins_a_statement_that_was_sent_before_it(database_dsn: str) -> None:
    """What was acknowledged before a lookup is seen by it, however many others ask for the same at that time."""
    async with opened(database_dsn) as pastes:
        done = asyncio.Event()

        async def asking(slug: str) -> None:
            while not done.is_set():
                await asyncio.gather(pastes.find(slug), return_exceptions=True)

        async with asyncio.TaskGroup() as tasks:
            for number in range(30):
                slug = f"slug-{number}"
                tasks.create_task(asking(slug))
            for number in range(30):
                await pastes.create(draft(slug=f"slug-{number}"))
                assert (await pastes.find(f"slug-{number}")).revision == 1
            done.set()


class TwoServers(Database):
    """Reads from a replica, whatever its lag; notes what was required of it."""

    replica: Database
    required: list[Position | None]

    @property
    def has_replicas(self) -> bool:
        return True

    async def read(
        self,
        question: Callable[[Connection], Awaitable[T]],
        *,
        at: Position | None = None,
        from_primary: bool = False,
        is_hedged: bool = False,
    ) -> T:
        if from_primary:
            return await super().read(question, at=at, from_primary=True)
        self.required.append(at)
        async with self.replica.reader() as connection:
            return await question(connection)


@dataclass
class Pair:
    """A primary, its replica, and pastes that are read from it."""

    primary: Server
    replica: Server
    pastes: Pastes
    required: list[Position | None] = field(default_factory=list)

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[None]:
        """The replica replays nothing while the block lasts."""
        async with connected(self.replica.dsn) as connection:
            await connection.execute("select pg_wal_replay_pause()")
            while await connection.fetchval("select pg_get_wal_replay_pause_state()") != "paused":  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            try:
                yield
            finally:
                await connection.execute("select pg_wal_replay_resume()")

    async def catch_up(self) -> None:
        async with connected(self.primary.dsn) as source, connected(self.replica.dsn) as replica:
            # what commits have left for later is written with it
            await source.execute("select pg_logical_emit_message(false, 'here', '', true)")
            lsn = await source.fetchval("select pg_current_wal_flush_lsn()")
            while await replica.fetchval("select pg_last_wal_replay_lsn()") < lsn:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture(scope="module")
async def pair() -> AsyncIterator[Pair]:
    with reachable_directory() as directory:
        homes = [directory / "primary", directory / "replica"]
        for home in homes:
            home.mkdir(mode=0o755)
        async with AsyncExitStack() as stack:
            source = await stack.enter_async_context(primary(EmbeddedSection(durable=False), homes[0]))
            await schema.migrate(source.dsn)
            replica = await create_replica(source, homes[1], name="behind", settings={})
            stack.push_async_callback(replica.stop)
            database = await stack.enter_async_context(TwoServers.opened(DatabaseSection(), source.dsn))
            assert isinstance(database, TwoServers)
            database.replica = await stack.enter_async_context(Database.opened(DatabaseSection(), replica.dsn))
            database.required = []
            pastes = await stack.enter_async_context(Pastes.opened(database, INLINE))
            yield Pair(source, replica, pastes, database.required)


async def test_what_was_just_made_is_found_though_the_replica_does_not_know_it(pair: Pair) -> None:
    async with pair.standing_still():
        made = await asyncio.gather(*(pair.pastes.create(draft(b"%d" % number)) for number in range(50)))
        found = await asyncio.gather(*(pair.pastes.find(paste.slug, bodies="sole") for paste in made))
        assert list(found) == list(made)
        assert pair.pastes._lookups._misses.figures.flights < 10
        with pytest.raises(PasteNotFound):
            await pair.pastes.find("unknown")


async def test_who_tries_names_does_not_reach_the_primary_for_ever(pair: Pair) -> None:
    async def tries() -> list[BaseException | Paste]:
        return await asyncio.gather(*(pair.pastes.find(f"try-{n}") for n in range(1500)), return_exceptions=True)

    before = pair.pastes._lookups._misses.figures.rows
    pair.pastes._lookups._allowance = Allowance(0, 100)
    await pair.catch_up()
    kinds = [type(outcome) for outcome in await tries()]
    assert kinds.count(PasteNotFound) > 1300  # the replica has seen all there is, but for a moment now and then
    async with pair.standing_still():
        paste = await pair.pastes.create(draft())
        pair.pastes._lookups._allowance = Allowance(0, 101)
        assert (await pair.pastes.find(paste.slug)).slug == paste.slug
        outcomes = await tries()
    kinds = [type(outcome) for outcome in outcomes]
    assert (kinds.count(PasteNotFound), kinds.count(Unavailable)) == (100, 1400)
    assert pair.pastes._lookups._misses.figures.rows - before == 201
    refused = next(outcome for outcome in outcomes if type(outcome) is Unavailable)
    assert isinstance(refused, Unavailable) and refused.retry_after_seconds >= 1
    pair.pastes._lookups._allowance = Allowance(lookups.MISSES_PER_SECOND, lookups.MISSES_BURST)


async def test_a_replica_gets_to_know_what_a_session_requires(pair: Pair) -> None:
    paste = await pair.pastes.create(draft())
    await pair.catch_up()
    pair.required.clear()

    async def reader(required: Position | None) -> Session:
        session = Session(required=required)
        SESSION.set(session)
        await pair.pastes.find(paste.slug)
        return session

    async def look(required: Position | None = None) -> Session:
        async with asyncio.TaskGroup() as tasks:
            return await tasks.create_task(reader(required), context=copy_context())

    first = (await look()).seen
    assert first is not None
    second = (await look(first)).seen
    assert second is not None and second.covers(first)
    assert pair.required == [None, first]


async def test_a_session_may_insist_on_the_primary(pair: Pair) -> None:
    async def reader() -> None:
        SESSION.set(Session(from_primary=True))
        assert (await pair.pastes.find(paste.slug)).title == "new"

    async with pair.standing_still(), asyncio.TaskGroup() as tasks:
        paste = await pair.pastes.create(draft(title="new"))
        before = len(pair.required)
        await tasks.create_task(reader(), context=copy_context())
        assert len(pair.required) == before


async def test_a_retried_create_finds_its_first_paste_on_the_primary(pair: Pair) -> None:
    async with pair.standing_still():
        one = await pair.pastes.create(draft(idempotency_hash=b"r" * 32, fingerprint=b"f" * 32))
        two = await pair.pastes.create(draft(idempotency_hash=b"r" * 32, fingerprint=b"f" * 32))
    assert one.slug == two.slug
