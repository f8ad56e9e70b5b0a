"""How pastes and files look in SQL: their columns, named once, in the order of the models' members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from pastebin.models import File, Paste

# A moment takes longer to decode than ten numbers, and most pastes have never been revised.
PASTE = """p.id, p.slug, p.title, p.visibility, p.created_at, nullif(p.revised_at, p.created_at) as revised_at,
    p.expires_at, p.max_reads, p.reads, p.parent, p.encryption, p.token_hash, p.password_hash, p.revision, p.version,
    p.analytics, p.is_growing"""
PASTE_COLUMNS = 17
_CREATED_AT, _REVISED_AT = 4, 5
# Where the model has its files.
_FILES = 14
# The columns of FILE are followed by `body`, which not every statement takes from the same place.
FILE = "f.position, f.name, f.media_type, f.syntax, f.size, f.sha256, f.blob_key"
FILE_COLUMNS = 8
LIVE = "p.state = 'live' and (p.expires_at is null or p.expires_at > now())"

# What `arrays_of` makes, behind the array that says whose the files are.
CONTENT_COLUMNS = "position, name, media_type, syntax, size, sha256, body, blob_key"
# The same to be inserted from `content f`: a blob that is not `kept`, because it was given up, breaks a check of files.
CONTENT_POSITION = "coalesce(f.position, 0)"
CONTENT_SIZE = "coalesce(f.size, length(f.body))"
CONTENT_VALUES = f"""{CONTENT_POSITION}, f.name, coalesce(f.media_type, 'text/plain'), f.syntax,
    {CONTENT_SIZE}, f.sha256, f.body, kept.key"""
CONTENT_TYPES = ("int[]", "text[]", "text[]", "text[]", "bigint[]", "bytea[]", "bytea[]", "text[]")


def unless_empty(values: list[Any]) -> list[Any] | None:
    """The array, or none at all where it holds nothing: `unnest` fills it up with nulls beside longer ones."""
    return None if values.count(None) == len(values) else values


def arrays_of(files: Iterable[File]) -> tuple[list[Any] | None, ...]:
    """Files as one array for each of CONTENT_COLUMNS; what CONTENT_VALUES finds out by itself is left out."""
    files = list(files)
    return (
        unless_empty([file.position or None for file in files]),
        unless_empty([file.name for file in files]),
        unless_empty([None if file.media_type == "text/plain" else file.media_type for file in files]),
        unless_empty([file.syntax for file in files]),
        unless_empty([file.size if file.body is None else None for file in files]),
        [file.sha256 for file in files],
        unless_empty([file.body for file in files]),
        unless_empty([file.blob_key for file in files]),
    )


def placeholders(types: Sequence[str], first: int = 1) -> str:
    """`$1::int[], $2::text[]` for the types of the arrays; the first one has the number `first`."""
    return ", ".join(f"${number}::{kind}" for number, kind in enumerate(types, first))


def bytes_of(files: Iterable[File]) -> int:
    """What files weigh in a statement, about."""
    return sum([512 + len(file.body or b"") for file in files])


def paste_of(row: asyncpg.Record, files: tuple[File, ...], ends_at: float | None = None) -> Paste:
    """A row that begins with the columns of PASTE."""
    revised_at = row[_REVISED_AT] or row[_CREATED_AT]
    ahead, behind = row[_REVISED_AT + 1 : _FILES], row[_FILES:PASTE_COLUMNS]
    members = (*row[:_REVISED_AT], revised_at, *ahead, files, *behind, ends_at)
    return Paste(*members)


def file_of(row: asyncpg.Record) -> File:
    """A row with the columns of PASTE, then those of FILE, then `body`."""
    return File(*row[PASTE_COLUMNS : PASTE_COLUMNS + FILE_COLUMNS])
