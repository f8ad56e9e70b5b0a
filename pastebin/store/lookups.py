"""Read coalescing: the lookups of a moment become one statement per server.

A lookup only ever joins a statement that has not been sent yet, so what it sees is never older than the lookup itself.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import asyncpg

from pastebin.allowance import Allowance
from pastebin.deadlines import DUE
from pastebin.errors import PasteNotFound, PasteTakenDown, Unavailable
from pastebin.models import File, Paste
from pastebin.positions import SESSION, Position, later
from pastebin.store import rows
from pastebin.store.batching import Batcher, Bounds
from pastebin.store.connections import LSN, Connection
from pastebin.store.database import Database, position_at
from pastebin.store.flights import all_or_nothing

T = TypeVar("T")

Bodies = Literal["none", "all", "sole"]

# What a server must have seen to be asked for this slug.
Marks = Callable[[str], Position | Literal["primary"] | None]

# Rows are cheap, bodies are not: a flight of lookups that want none is bounded by rows, the others by bytes.
_FLIGHT_ROWS = 256
_FLIGHT_BYTES = 8 * 1024**2
_ROW_BYTES = 1024
MISSES_PER_SECOND = 2000.0
MISSES_BURST = 4000

# $2: null, all, sole (if the paste has just one file) or named (the file called $3). Every wish has a row, so that
# there is always one to tell the position. $4: whose private bodies come along as well.
_FIND = f"""
select {rows.PASTE}, {rows.FILE},
       case when (p.visibility <> 'private' or p.token_hash = w.token_hash)
             and case w.bodies when 'all' then true
                               when 'named' then f.name = w.name
                               when 'sole' then not exists (select from files o where o.paste_id = p.id
                                                            and o.revision = p.revision and o.position > 0)
                               else false
                 end
            then f.body end as body,
       w.number, p.id is null and exists (
           select from pastes t where t.slug = w.slug and t.state = 'taken-down' and t.visibility <> 'private'
       ) as is_taken_down, (select case when $5::bool then {LSN} end) as lsn,
       extract(epoch from p.expires_at - now())::float8 as seconds_left
from unnest($1::text[], $2::text[], $3::text[], $4::bytea[])
    with ordinality as w (slug, bodies, name, token_hash, number)
left join pastes p on p.slug = w.slug and {rows.LIVE}
left join files f on f.paste_id = p.id and f.revision = p.revision
"""
_NUMBER = rows.PASTE_COLUMNS + rows.FILE_COLUMNS
_SECONDS_LEFT = -1


class Wish(NamedTuple):
    """A lookup: whose inline bodies come along is said by `bodies`, or by the name of a file."""

    slug: str
    bodies: Literal["none", "all", "sole", "named"] = "none"
    name: str | None = None
    token_hash: bytes | None = None

    @classmethod
    def of(cls, slug: str, bodies: Bodies, body_of: str | None, token_hash: bytes | None = None) -> Wish:
        """A file's name is text that the database can hold; nothing else can be one."""
        if body_of is None:
            return cls(slug, bodies, None, None if bodies == "none" else token_hash)
        is_text = "\0" not in body_of and not any("\ud800" <= letter <= "\udfff" for letter in body_of)
        return cls(slug, "named", body_of, token_hash) if is_text else cls(slug)


class Asked(NamedTuple):
    """A wish, and what the server that is asked must have seen."""

    wish: Wish
    required: Position | None = None
    wants_position: bool = False


class Seen(NamedTuple):
    """What a lookup has shown: None for a slug that names nothing, and where in its history the server was.

    `is_taken_down`: there was a paste that strangers could know of, and it does not come back.
    """

    paste: Paste | None
    position: Position | None
    is_taken_down: bool = False


class Lookups:
    """Finds live pastes for many callers at once. What `marks` says of a slug holds for every session."""

    def __init__(
        self,
        database: Database,
        inline_max_bytes: int,
        replicas: Batcher[Asked, Seen],
        positioned: Batcher[Asked, Seen],
        primary: Batcher[Asked, Seen],
        misses: Batcher[Asked, Seen],
        arrivals: Batcher[None, Position],
    ) -> None:
        self._database = database
        self._inline_max_bytes = inline_max_bytes
        self._replicas = replicas
        self._positioned = positioned
        self._primary = primary
        self._misses = misses
        self._arrivals = arrivals
        self._allowance = Allowance(MISSES_PER_SECOND, MISSES_BURST)
        self.marks: Marks | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls, database: Database, inline_max_bytes: int) -> AsyncIterator[Lookups]:
        """Take lookups while the block lasts."""
        several = Bounds(_FLIGHT_ROWS, _FLIGHT_BYTES)
        one = Bounds(_FLIGHT_ROWS, _FLIGHT_BYTES, flights=1)
        from_reader, from_primary = _Asking(database), _Asking(database, from_primary=True)
        async with AsyncExitStack() as stack:

            async def batcher(name: str, asking: _Asking, bounds: Bounds) -> Batcher[Asked, Seen]:
                return await stack.enter_async_context(Batcher.running(name, asking.send, bounds))

            yield cls(
                database,
                inline_max_bytes,
                await batcher("lookups", from_reader, several),
                await batcher("lookups at a position", from_reader, several),
                await batcher("lookups on the primary", from_primary, several),
                await batcher("misses", from_primary, one),
                await stack.enter_async_context(Batcher.running("arrivals", from_primary.positions, one)),
            )

    async def find(self, wish: Wish, *, from_primary: bool = False) -> Paste:
        """The live paste with its current files, as new as the session of the current request requires.

        Raises PasteNotFound only where the primary has none either, PasteTakenDown; Unavailable if it cannot be asked.
        """
        session = SESSION.get()
        required = session.required if session else None
        from_primary = from_primary or (session is not None and session.from_primary)
        if self.marks is not None and not from_primary:
            mark = self.marks(wish.slug)
            if mark == "primary" or (required and mark and not (required.covers(mark) or mark.covers(required))):
                from_primary = True
            else:
                required = later(required, mark)
        asked = Asked(wish, required, session is not None)
        others = self._replicas if required is None else self._positioned
        batcher = self._primary if from_primary else others
        seen = await batcher.submit(asked, self._cost(wish), deadline=DUE.get())
        if seen.paste is None and not seen.is_taken_down and not from_primary and self._database.has_replicas:
            seen = await self._confirm(asked)
        if session is not None and seen.position is not None:
            session.advance(seen.position)
        if seen.paste is None:
            raise PasteTakenDown if seen.is_taken_down else PasteNotFound
        return seen.paste

    async def _confirm(self, asked: Asked) -> Seen:
        """What a replica does not know may just have been made; but who tries names must not wear the primary out.

        Beyond the allowance the primary only tells all of them together where it is: a replica that has come so far has
        seen whatever was made before the lookup.
        """
        if self._allowance.take():
            return await self._misses.submit(asked, self._cost(asked.wish), deadline=DUE.get())
        arrival = await self._arrivals.submit(None, 0, deadline=DUE.get())
        again = Asked(asked.wish, arrival, wants_position=True)
        seen = await self._positioned.submit(again, self._cost(asked.wish), deadline=DUE.get())
        if seen.paste is None and (seen.position is None or not seen.position.covers(arrival)):
            raise Unavailable("Too many unknown names are being asked for; try again shortly.")
        return seen

    def _cost(self, wish: Wish) -> int:
        """About what the answer may weigh; all bodies of a paste may be a flight of their own."""
        if wish.bodies == "none":
            return _ROW_BYTES
        return _FLIGHT_BYTES if wish.bodies == "all" else _ROW_BYTES + self._inline_max_bytes


@dataclass(frozen=True, slots=True)
class _Asking:
    """The flights of lookups."""

    database: Database
    from_primary: bool = False

    async def send(self, asked: Sequence[Asked]) -> Sequence[Seen | Exception]:
        """Look up all at once; equal wishes share one row."""
        numbers: dict[Wish, int] = {}
        for one in asked:
            numbers.setdefault(one.wish, len(numbers) + 1)
        arguments = (
            [wish.slug for wish in numbers],
            rows.unless_empty([None if wish.bodies == "none" else wish.bodies for wish in numbers]),
            rows.unless_empty([wish.name for wish in numbers]),
            rows.unless_empty([wish.token_hash for wish in numbers]),
            any(one.wants_position for one in asked),
        )

        async def question(connection: Connection) -> tuple[dict[int, Paste], set[int], Position | None]:
            asked_at = time.monotonic()  # the statement's now() comes later
            with all_or_nothing():  # as a read always is
                found = await connection.fetch(_FIND, *arguments)
            lsn = found[0]["lsn"]
            down = {row[_NUMBER] for row in found if row["is_taken_down"]}
            return _pastes(found, asked_at), down, None if lsn is None else position_at(connection, lsn)

        pastes, down, position = await self._ask(question, asked)
        seen = {wish: Seen(pastes.get(number), position, number in down) for wish, number in numbers.items()}
        return [seen[one.wish] for one in asked]

    async def positions(self, asked: Sequence[None]) -> Sequence[Position | Exception]:
        """Where the primary is, for all who want to know."""
        async with self.database.primary() as connection:
            return [await self.database.position_of(connection)] * len(asked)

    async def _ask(self, question: Callable[[Connection], Awaitable[T]], asked: Sequence[Asked]) -> T:
        if self.from_primary:
            async with self.database.primary() as connection:
                return await question(connection)
        required = strictest([one.required for one in asked if one.required is not None])
        if required == "primary":
            return await self.database.read(question, from_primary=True)
        return await self.database.read(question, at=required, is_hedged=True)


def strictest(positions: Sequence[Position]) -> Position | Literal["primary"] | None:
    """The position that covers all of them; `primary` if they cannot be compared, None if there are none."""
    latest: Position | None = None
    for position in positions:
        if latest is None or position.covers(latest):
            latest = position
        elif not latest.covers(position):
            return "primary"
    return latest


def _pastes(found: Sequence[asyncpg.Record], asked_at: float) -> dict[int, Paste]:
    """By number of the wish; the files of a paste come as rows of their own."""
    firsts: dict[int, asyncpg.Record] = {}
    files: dict[int, list[File]] = {}
    for row in found:
        if row[0] is None:
            continue
        number = row[_NUMBER]
        firsts.setdefault(number, row)
        files.setdefault(number, []).append(rows.file_of(row))
    return {
        number: rows.paste_of(row, _in_order(files[number]), _ends_at(row[_SECONDS_LEFT], asked_at))
        for number, row in firsts.items()
    }


def _ends_at(seconds_left: float | None, asked_at: float) -> float | None:
    return None if seconds_left is None else asked_at + seconds_left


def _in_order(files: list[File]) -> tuple[File, ...]:
    if len(files) > 1:
        files.sort(key=lambda file: file.position)
    return tuple(files)
