"""Events in PostgreSQL: partitions by day, a ledger of batches, sums by minute, hour and day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from hashlib import blake2b
from operator import attrgetter, lt

import asyncpg
from msgspec import json
from msgspec.structs import astuple, fields

from pastebin.analytics.engines import Dimension, Filter, Span, Stock, Totals
from pastebin.analytics.engines.grains import DAY_MS, MINUTE_MS, day_of
from pastebin.analytics.engines.postgres_answers import Answers
from pastebin.analytics.engines.postgres_partitions import Partitions
from pastebin.analytics.engines.postgres_pool import borrowed, opened_pool, transaction
from pastebin.analytics.engines.postgres_rolling import Rolling
from pastebin.errors import StorageFull, Unavailable, UnreadableRequest, UploadTooSlow
from pastebin.sections import AnalyticsSection
from pastebin.store import schema
from pastebin.store.connections import Connection, Pool
from pastebin.visits import Batch, Change, Visit

log = logging.getLogger(__name__)

_TAKE_SECONDS = 30.0
_LEDGER_DAYS = 2

VISITS = [*(one.name for one in fields(Visit)), "node", "received_ms"]
CHANGES = [*(one.name for one in fields(Change)), "node", "received_ms"]

# What stands between two events in JSON.
_BETWEEN = b"],["

_CLAIM = "select * from claim($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_HERE = {
    table: f"select number from {table} where node = $1 and at_ms >= $2 and at_ms <= $3 and number between $4 and $5"
    for table in ("visits", "changes")
}


class PostgresEngine:
    """See `Engine`. Several nodes may share a database; one of them rolls at a time.

    The ledger holds a batch for as long as its events could be accepted again; an event that comes again in another
    batch is known by the numbers of its node.
    """

    def __init__(self, pool: Pool, section: AnalyticsSection) -> None:
        self._pool = pool
        self._section = section
        self._partitions = Partitions(pool)
        self._rolling = Rolling(pool, self._partitions)
        self._answers = Answers(pool, section.question_timeout_seconds)
        self._freshening = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(cls, section: AnalyticsSection, dsn: str) -> AsyncIterator[PostgresEngine]:
        """Bring the schema up to date and connect. Raises ResourceUnavailable, SchemaMismatch."""
        await schema.migrate(dsn, "pastebin.analytics.engines", "analytics.database")
        async with opened_pool(section, dsn) as pool:
            yield cls(pool, section)

    async def take(self, batch: Batch, received_at: datetime) -> bool:
        with _told():
            times = list(map(attrgetter("at_ms"), (*batch.visits, *batch.changes)))
            days = _in_units(times, DAY_MS) | {visit.period for visit in batch.visits if visit.visitor}
            try:
                await self._partitions.make(days)
                return await self._take(batch, received_at, times)
            except UploadTooSlow:  # a row without room: another node has dropped what we knew
                self._partitions.forget()
                await self._partitions.make(days)
                return await self._take(batch, received_at, times)

    async def totals(self, span: Span, which: Filter) -> Totals:
        return (await self.series([span.since, span.until], which))[0]

    async def series(self, edges: Sequence[datetime], which: Filter) -> list[Totals]:
        with _told():
            await self._freshen()
            return await self._answers.series(edges, which)

    async def breakdown(
        self, dimension: Dimension, span: Span, which: Filter, limit: int, after: tuple[int, str] | None = None
    ) -> list[tuple[str, Totals]]:
        with _told():
            await self._freshen()
            return await self._answers.breakdown(dimension, span, which, limit, after)

    async def stock(self, edges: Sequence[datetime]) -> list[Stock]:
        with _told():
            await self._freshen()
            return await self._answers.stock(edges)

    async def roll(self, now: datetime) -> None:
        with _told():
            await self._partitions.make_ahead(now)
            await self._rolling.roll(now)

    async def retain(self, now: datetime) -> None:
        section = self._section
        with _told():
            await self._rolling.roll(now)
            ledger = now - timedelta(seconds=section.late_seconds, days=_LEDGER_DAYS)
            await self._rolling.forget(
                events_before=day_of(now) - section.raw_days,
                sums_before=day_of(now) - section.rollup_days,
                batches_before_ms=_milliseconds(ledger),
            )

    async def _freshen(self) -> None:
        """Many questions at once wait for one roller, and find everything done."""
        async with asyncio.timeout(self._section.question_timeout_seconds), self._freshening:
            if await self._rolling.has_unrolled():
                await self._rolling.roll_minutes()

    async def _take(self, batch: Batch, received_at: datetime, times: list[int]) -> bool:
        received_ms, node = _milliseconds(received_at), _key(batch.node)
        minutes = list(_in_units(times, MINUTE_MS))
        batch_id: str | None = batch.id
        async with borrowed(self._pool, _TAKE_SECONDS) as connection, transaction(connection):
            for table, columns, events in _parts(batch):
                numbers = list(map(attrgetter("number"), events))
                stretch = (min(numbers), max(numbers), min(times), max(times)) if events else (None,) * 4
                row = await connection.fetchrow(
                    *(_CLAIM, batch_id, received_ms, minutes, node, table == "changes", *stretch), timeout=_TAKE_SECONDS
                )
                if row is None or not row["is_new"]:
                    return False
                batch_id = None
                if not all(map(lt, numbers, numbers[1:])):
                    events = list({event.number: event for event in reversed(events)}.values())
                if row["since"] is not None:
                    here = await connection.fetch(_HERE[table], node, row["since"], row["until"], *stretch[:2])
                    known = {one["number"] for one in here}
                    events = [event for event in events if event.number not in known]
                if events:
                    await _copy(connection, table, columns, events, (node, received_ms))
        return True


async def _copy(
    connection: Connection, table: str, columns: list[str], events: Sequence[Visit | Change], more: tuple[int, int]
) -> None:
    """Add a row for each of the events, with `more` at its end."""
    if (text := _as_csv(events, more)) is not None:
        source = _pieces(text)
        await connection.copy_to_table(table, source=source, columns=columns, format="csv", timeout=_TAKE_SECONDS)
        return
    rows = [(*astuple(event), *more) for event in events]
    await connection.copy_records_to_table(table, records=rows, columns=columns, timeout=_TAKE_SECONDS)


def _as_csv(events: Sequence[Visit | Change], more: tuple[int, int]) -> bytes | None:
    """The rows as COPY reads them, or None where a text in them has a quote, a control character or a row's end.

    Arrays of JSON are lines of CSV as long as nothing in them is escaped: strings stand in quotes, so that empty ones
    are not null, and PostgreSQL reads true and false. Both encoders are C: a third of the work of making tuples.
    """
    text = json.encode(events)
    if b"\\" in text:
        return None
    end = b",%d,%d\n" % more
    lines = text[2:-2].replace(_BETWEEN, end)
    # counted by what it has grown, for looking through it once more takes as long
    if len(lines) != len(text) - 4 + (len(end) - len(_BETWEEN)) * (len(events) - 1):
        return None
    return lines + end


async def _pieces(text: bytes) -> AsyncIterator[bytes]:
    """The driver takes what it is given at once for the name of a file."""
    yield text


def _parts(batch: Batch) -> list[tuple[str, list[str], Sequence[Visit | Change]]]:
    """Table, columns and events; at least one, for the id of a batch must be kept even if nothing is in it."""
    parts: list[tuple[str, list[str], Sequence[Visit | Change]]] = []
    if batch.visits or not batch.changes:
        parts.append(("visits", VISITS, batch.visits))
    if batch.changes:
        parts.append(("changes", CHANGES, batch.changes))
    return parts


def _in_units(times: Sequence[int], unit_ms: int) -> set[int]:
    """The days or minutes that are touched: mostly just one."""
    if not times:
        return set()
    first, last = min(times) // unit_ms, max(times) // unit_ms
    return {first} if first == last else {at // unit_ms for at in times}


def _key(node: str) -> int:
    """A node's name as a number, the same in every database."""
    return int.from_bytes(blake2b(node.encode(), digest_size=8).digest(), "big", signed=True)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@contextmanager
def _told() -> Iterator[None]:
    """Whatever it is that the database cannot do, it may be able to do it later."""
    try:
        yield
    except (StorageFull, UploadTooSlow) as error:
        raise Unavailable("The analytics database cannot keep anything at the moment; try again shortly.") from error
    except TimeoutError as error:
        raise Unavailable("The analytics database does not answer in time; try again shortly.") from error
    except asyncpg.DataError as error:
        raise UnreadableRequest("The analytics database cannot keep this.") from error
    except asyncpg.PostgresError as error:
        log.exception("the analytics database refuses what it is told")
        raise Unavailable("The analytics database refuses; try again later.") from error
