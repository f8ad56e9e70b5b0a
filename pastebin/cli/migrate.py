"""`pastebin migrate`: bring the schema of a database of your own up to date; `serve` only checks it."""

from __future__ import annotations

import argparse
import asyncio

from pastebin.cli import settings
from pastebin.errors import ConfigError, Problem
from pastebin.store import schema

SUMMARY = "apply what is missing of the database schema (the embedded database does so by itself)"


def configure(parser: argparse.ArgumentParser) -> None:
    settings.configure(parser)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if something is missing")


def run(arguments: argparse.Namespace) -> int:
    """0 when the schema is up to date (now); 1 with --check when it is not."""
    config = settings.load(arguments)
    if config.uses_embedded:
        problem = "is empty: the embedded database migrates itself at every start"
        raise ConfigError([Problem("database.primary", problem)])
    dsn = config.database.primary.reveal()
    names = asyncio.run(schema.check(dsn) if arguments.check else schema.migrate(dsn))
    word = "missing" if arguments.check else "applied"
    print("\n".join(f"{word}: {name}" for name in names) if names else "the schema is up to date")
    return 1 if arguments.check and names else 0
