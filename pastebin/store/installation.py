"""What all nodes of an installation have in common, noted in its database by the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from pastebin.errors import SecretDiffers, Unavailable
from pastebin.store.connections import Connection
from pastebin.store.database import Database

_READ = "select secret, node, noted_at from installation"
_NOTE = "insert into installation (secret, node) values ($1, $2) on conflict (is_only) do nothing"
_REPLACE = """
insert into installation (secret, node) values ($1, $2)
on conflict (is_only) do update set secret = excluded.secret, node = excluded.node, noted_at = now()
where installation.secret <> excluded.secret
"""


@dataclass(frozen=True, slots=True)
class Noted:
    """The fingerprint of the secret, and the node that came with it."""

    secret: str
    node: str
    noted_at: datetime


class Installation:
    """Compares the secret of a node with that of the others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def compare(self, fingerprints: Sequence[str], node: str) -> None:
        """Raises SecretDiffers, with whose secret is none of these; the first node's own, which comes first, counts.

        Where there is no primary, a replica's word suffices, and without one there is nothing to compare with.
        """
        try:
            async with self._database.primary() as connection:
                noted = await _read(connection)
                if noted is None:
                    await connection.execute(_NOTE, fingerprints[0], node)
                    noted = await _read(connection)
        except Unavailable:
            try:
                noted = await self._database.read(_read)
            except Unavailable:
                return
        if noted is not None and noted.secret not in fingerprints:
            raise SecretDiffers(
                f"node.secret differs from that of the other nodes: node {noted.node!r} has noted another one on"
                f" {noted.noted_at:%Y-%m-%d %H:%M} UTC. Give every node the same; where all of them have got a new one,"
                " run 'pastebin migrate --new-secret' with it"
            )

    async def replace(self, fingerprint: str, node: str) -> None:
        """From now on this is the secret. Raises as `Database.primary` does."""
        async with self._database.primary() as connection:
            await replace(connection, fingerprint, node)


async def replace(connection: asyncpg.Connection, fingerprint: str, node: str) -> None:
    """The same on a connection."""
    await connection.execute(_REPLACE, fingerprint, node)


async def _read(connection: Connection) -> Noted | None:
    row = await connection.fetchrow(_READ)
    return None if row is None else Noted(row["secret"], row["node"], row["noted_at"])
