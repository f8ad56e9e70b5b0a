"""The tables of the ClickHouse engine, in the dialect of the server that is there.

Times are whole numbers since 1970 (`at_ms` milliseconds, `minute`, `hour`, `day`), so that no time zone of a server
plays a part. What takes part in a key is never changed: an event that comes again replaces itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pastebin.analytics.engines.clickhouse_client import Client, Place
from pastebin.errors import ResourceUnavailable, Unavailable

OLDEST = (18, 16)
_TODAYS = (22, 3)
_SECONDS = 30.0
_VERSION = re.compile(r"(\d+)\.(\d+)[\d.a-z-]*")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a version wants it. `word`: the type of text with few values; `durable`: settings of tables."""

    word: str = "String"
    durable: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, version: tuple[int, int]) -> Dialect:
        if version < _TODAYS:
            return cls()
        return cls(
            "LowCardinality(String)",
            ", fsync_after_insert = 1, fsync_part_directory = 1",
            {
                # Batches are large already. Should a profile forbid the first, who sends still waits for the disk.
                "async_insert": "0",
                "wait_for_async_insert": "1",
                # copies of an event are in one partition: it follows from the key
                "do_not_merge_across_partitions_select_final": "1",
            },
        )


# `marks` counts what came for an hour, `rolled` how much of it a generation of sums knows: see `clickhouse_plan`.
_TABLES = """
create table if not exists visits (
    hour UInt32, node String, number Int64, at_ms Int64, slug String, file String, kind {word}, cache {word},
    region {word}, pop {word}, country {word}, referrer String, agent {word}, agent_class {word}, is_bot UInt8,
    status UInt16, bytes UInt64, duration_us UInt64, weight UInt32, period Int32, visitor Int64, visitor_before Int64
) engine = ReplacingMergeTree partition by {day} order by (hour, node, number)
settings index_granularity = 8192{durable}

create table if not exists changes (
    hour UInt32, node String, number Int64, at_ms Int64, kind {word}, slug String, size UInt64, syntax {word}
) engine = ReplacingMergeTree partition by {day} order by (hour, node, number)
settings index_granularity = 8192{durable}

create table if not exists batches (
    id String, day UInt16, attempt Int64, is_done UInt8
) engine = MergeTree partition by toDate(day) order by id
settings index_granularity = 8192{durable}

create table if not exists marks (
    hour UInt32, attempt Int64, marks UInt64
) engine = SummingMergeTree(marks) partition by {day} order by hour
settings index_granularity = 8192{durable}

create table if not exists rolled (
    hour UInt32, generation Int64, covers UInt64, made_at DateTime default now()
) engine = MergeTree partition by {day} order by hour

create table if not exists kept (since_day UInt16) engine = MergeTree order by since_day

create table if not exists sums (
    hour UInt32, dimension {word}, value String, is_bot UInt8, generation Int64, {sums}
) engine = AggregatingMergeTree partition by {day} order by (dimension, hour, is_bot, value, generation)

create table if not exists facts (
    hour UInt32, slug String, file String, kind {word}, cache {word}, region {word}, pop {word}, country {word},
    referrer String, agent {word}, agent_class {word}, is_bot UInt8, status UInt16, generation Int64, {sums}
) engine = AggregatingMergeTree partition by {day}
order by (slug, hour, is_bot, file, kind, cache, region, pop, country, referrer, agent, agent_class, status, generation)
"""
MEASURES = ("visits", "visitors", "volume", "hits", "errors", "spent")


def tables(dialect: Dialect) -> list[str]:
    """The statements that make what is not there yet."""
    sums = ", ".join(f"{name} AggregateFunction(sum, UInt64)" for name in MEASURES)
    day = "toDate(toUInt16(intDiv(hour, 24)))"
    text = _TABLES.format(word=dialect.word, durable=dialect.durable, sums=sums, day=day)
    return [statement.strip() for statement in text.strip().split("\n\n")]


async def prepare(client: Client, place: Place) -> None:
    """Make what is missing, and have the client speak the server's dialect. Raises ResourceUnavailable."""
    try:
        [[version]] = await client.ask("select version()", seconds=_SECONDS, nowhere=True)
        dialect = Dialect.of(_checked(str(version)))
        names = await client.ask("select name from system.databases", seconds=_SECONDS, nowhere=True)
        if [place.database] not in names:
            await client.command(f"create database {place.database}", seconds=_SECONDS, nowhere=True)
        client.settings = dialect.settings
        for statement in tables(dialect):
            await client.command(statement, seconds=_SECONDS)
    except Unavailable as error:
        raise ResourceUnavailable(f"analytics.database: {error.detail}") from error


def _checked(version: str) -> tuple[int, int]:
    match = _VERSION.fullmatch(version)
    found = (int(match[1]), int(match[2])) if match else (0, 0)
    if found < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ResourceUnavailable(
            f"analytics.database: ClickHouse {oldest} or later is needed, this is {version[:20]!r}"
        )
    return found
