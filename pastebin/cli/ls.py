"""`pastebin ls`: the pastes made from here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import orjson

from pastebin.cli import environment
from pastebin.cli.ledger import Entry, Ledger
from pastebin.cli.messages import printable, show

SUMMARY = "list the pastes made from here, the oldest first"

_HEADINGS = ("ADDRESS", "CREATED", "EXPIRES", "TITLE")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print a JSON array (without the owner tokens)")


def run(arguments: argparse.Namespace) -> int:
    """Needs no server. Raises LocalFileError."""
    entries = Ledger(environment.state_directory()).entries()
    now = datetime.now(UTC)
    if arguments.json:
        show(as_json(entries, now))
    elif entries:
        show("\n".join(as_table(entries, now)))
    return 0


def as_json(entries: Sequence[Entry], now: datetime) -> str:
    shown = []
    for entry in entries:
        members = asdict(entry)
        del members["token"]
        shown.append(members | {"is_expired": entry.is_expired(now)})
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode()


def as_table(entries: Sequence[Entry], now: datetime) -> list[str]:
    """Lines with aligned columns, times in the local zone."""
    rows = [_HEADINGS] + [
        (entry.url, _local(entry.created_at), _expiry(entry, now), _title(entry)) for entry in entries
    ]
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    widths[-1] = 0
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]


def _expiry(entry: Entry, now: datetime) -> str:
    if entry.expires_at is None:
        return "never"
    return "expired" if entry.is_expired(now) else _local(entry.expires_at)


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _title(entry: Entry) -> str:
    return entry.title or entry.name or ""
