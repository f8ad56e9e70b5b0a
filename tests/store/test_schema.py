"""Migrations: applied once, by one at a time, and refused when they do not fit."""

from __future__ import annotations

import ast
import asyncio
import importlib
import pkgutil
from pathlib import Path

import asyncpg
import pytest

import pastebin.store
from pastebin.errors import ResourceUnavailable, SchemaMismatch
from pastebin.store import schema
from pastebin.store.schema import Migration, pending

EXPAND = Migration(1, "0001_expand_one.sql", "select 1")
CONTRACT = Migration(2, "0002_contract_two.sql", "select 2")

# Whether somebody waits for somebody else here.
WAITS = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"


def applied(*migrations: Migration) -> list[tuple[int, str, str]]:
    return [(migration.version, migration.name, migration.sha256) for migration in migrations]


def test_pending_is_what_was_not_applied_in_order() -> None:
    assert pending([EXPAND, CONTRACT], []) == [EXPAND, CONTRACT]
    assert pending([EXPAND, CONTRACT], applied(EXPAND)) == [CONTRACT]
    assert pending([EXPAND, CONTRACT], applied(EXPAND, CONTRACT)) == []


def test_a_changed_file_is_refused() -> None:
    changed = Migration(1, EXPAND.name, "select 'other'")
    with pytest.raises(SchemaMismatch, match="changed after it was applied"):
        pending([changed], applied(EXPAND))


def test_older_code_goes_on_after_an_expansion_but_not_after_a_contraction() -> None:
    newer = Migration(3, "0003_expand_three.sql", "select 3")
    assert pending([EXPAND], applied(EXPAND, newer)) == []
    with pytest.raises(SchemaMismatch, match="newer than this pastebin"):
        pending([EXPAND], applied(EXPAND, CONTRACT))


def test_shipped_files_are_numbered_without_gaps() -> None:
    assert [migration.version for migration in schema.shipped()] == list(range(1, len(schema.shipped()) + 1))


async def test_migrate_is_done_once_even_by_many_at_once(empty_database_dsn: str) -> None:
    assert await schema.check(empty_database_dsn) == [migration.name for migration in schema.shipped()]
    rounds = await asyncio.gather(*(schema.migrate(empty_database_dsn) for _ in range(4)))
    assert sorted(len(names) for names in rounds) == [0, 0, 0, len(schema.shipped())]
    assert await schema.check(empty_database_dsn) == []


async def test_a_failing_migration_leaves_nothing(empty_database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Migration(1, "0001_expand_broken.sql", "create table half (id int); select nonsense")
    monkeypatch.setattr(schema, "shipped", lambda _room: [broken])
    with pytest.raises(SchemaMismatch, match="0001_expand_broken.sql failed"):
        await schema.migrate(empty_database_dsn)
    connection = await asyncpg.connect(empty_database_dsn)
    try:
        assert await connection.fetchval("select to_regclass('half')") is None
    finally:
        await connection.close()


async def test_an_index_is_built_while_its_table_is_written_to(
    empty_database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that an attempt has left half made is made anew."""
    first = Migration(1, "0001_expand_table.sql", "create table things (id int, word text)")
    index = Migration(2, "0002_expand_index.sql", "-- Words.\n\ncreate index things_word on things (word);\n")
    monkeypatch.setattr(schema, "shipped", lambda _room: [first])
    await schema.migrate(empty_database_dsn)
    connections = [await asyncpg.connect(empty_database_dsn) for _ in range(3)]
    writing, other, watching = connections
    try:
        await watching.execute("create index things_word on things (id)")
        transaction = writing.transaction()
        await transaction.start()
        await writing.execute("insert into things values (1, 'a')")
        monkeypatch.setattr(schema, "shipped", lambda _room: [first, index])
        migrating = asyncio.create_task(schema.migrate(empty_database_dsn))
        while not await watching.fetchval(WAITS):
            assert not migrating.done()
        await other.execute("set lock_timeout = '1s'")
        await other.execute("insert into things values (2, 'b')")
        await transaction.commit()
        assert await migrating == [index.name]
        made = await watching.fetchval("select pg_get_indexdef('things_word'::regclass)")
        assert made.endswith("(word)")
    finally:
        for connection in connections:
            await connection.close()


async def test_an_absent_database_server_is_named_in_one_line() -> None:
    with pytest.raises(ResourceUnavailable, match="database.primary cannot be reached"):
        await schema.check("postgresql://pastebin@127.0.0.1:1/pastebin")


# Statements about one partition, and which one will do.
PARTITIONS = {
    "pastebin.store.partitions._IS_WANTED": "feed_rest",
    "pastebin.store.partitions._RAISE_FLOOR": "feed_rest",
    "pastebin.store.partitions._START_AFRESH": "outbox_rest",
}


def statements() -> list[tuple[str, str]]:
    """Every SQL constant of the store: names of module constants that hold a statement."""
    found = []
    for module_info in pkgutil.iter_modules(pastebin.store.__path__):
        module = importlib.import_module(f"pastebin.store.{module_info.name}")
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        names = [
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        for name in names:
            value = getattr(module, name)
            words = value.split() if isinstance(value, str) else []
            if (
                words
                and words[0] in ("select", "insert", "update", "delete", "with")
                and "from unnest" not in value[:40]
            ):
                found.append((f"{module.__name__}.{name}", value))
    return found


async def test_every_statement_of_the_store_fits_the_schema(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    try:
        known = statements()
        assert len(known) > 15
        for name, sql in known:
            try:
                await connection.prepare(sql.replace("{name}", PARTITIONS.get(name, "")))
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name}: {error}")
    finally:
        await connection.close()
