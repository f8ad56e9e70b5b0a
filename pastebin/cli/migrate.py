"""`pastebin migrate`: bring the schema of a database of your own up to date; `serve` only checks it."""

from __future__ import annotations

import argparse
import asyncio

from pastebin.cli import settings
from pastebin.config import Config
from pastebin.errors import ConfigError, Problem
from pastebin.fingerprints import fingerprint
from pastebin.store import schema
from pastebin.store.database import Database
from pastebin.store.installation import Installation

SUMMARY = "apply what is missing of the database schema (the embedded database does so by itself)"


def configure(parser: argparse.ArgumentParser) -> None:
    settings.configure(parser)
    parser.add_argument("--new-secret", action="store_true", help="all nodes have got the node.secret that is here")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if something is missing")


def run(arguments: argparse.Namespace) -> int:
    """0 when the schema is up to date (now); 1 with --check when it is not.

    With --new-secret nodes with the secret of this configuration are let in from now on, and no others.
    """
    config = settings.load(arguments)
    if config.uses_embedded:
        problem = "is empty: the embedded database migrates itself at every start"
        raise ConfigError([Problem("database.primary", problem)])
    dsn = config.database.primary.reveal()
    names = asyncio.run(schema.check(dsn) if arguments.check else schema.migrate(dsn))
    if arguments.new_secret and not arguments.check:
        asyncio.run(_note_secret(config))
    word = "missing" if arguments.check else "applied"
    print("\n".join(f"{word}: {name}" for name in names) if names else "the schema is up to date")
    return 1 if arguments.check and names else 0


async def _note_secret(config: Config) -> None:
    async with Database.opened(config.database, config.database.primary.reveal()) as database:
        secret = config.node.secret.reveal().encode()
        await Installation(database).replace(fingerprint(secret), config.node.name)
