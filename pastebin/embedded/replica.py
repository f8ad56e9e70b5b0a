"""A streaming replica of a server on this machine."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from pastebin.embedded import processes, sockets
from pastebin.embedded.cluster import Cluster
from pastebin.embedded.server import Server
from pastebin.embedded.settings import ROLE, connection_string
from pastebin.errors import ResourceUnavailable

_BACKUP_SECONDS = 3600.0
_STREAMING_SECONDS = 30.0
_POLL_SECONDS = 0.02
_SIGNAL_FILE = "standby.signal"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,50}")
_IS_STREAMING = "select exists (select from pg_stat_wal_receiver where status = 'streaming')"
_DROP_SLOT = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1"
_CREATE_SLOT = "select pg_create_physical_replication_slot($1, true)"


async def create_replica(primary: Server, directory: Path, *, name: str, settings: Mapping[str, str]) -> Server:
    """Start a hot standby of `primary` with its files in `directory`, copied there unless they exist.

    The primary knows it as `name` (lower-case letters, digits, '-') and keeps what it needs in a slot of that
    name. `settings` are PostgreSQL's, such as {"recovery_min_apply_delay": "2s"}. Returns when it streams;
    the caller stops it. Raises StartError, and ValueError for a name or setting that cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name of lower-case letters, digits and '-'")
    cluster = primary.cluster.at(directory)
    await asyncio.to_thread(cluster.check)
    if not cluster.exists:
        await _copy(primary, cluster, _slot(name))
    elif not (cluster.data / _SIGNAL_FILE).exists():
        raise ResourceUnavailable(f"{cluster.data} is no replica any more: remove it to have it copied anew")
    server = Server(
        cluster,
        msgspec.structs.replace(primary.section, listen=""),
        await asyncio.to_thread(sockets.place, cluster.home, cluster.account),
        overrides={
            "primary_conninfo": _conninfo(primary, application_name=name),
            "primary_slot_name": _slot(name),
            **settings,
        },
    )
    try:
        await server.start()
        await _await_streaming(server)
    except BaseException:
        await server.stop()
        raise
    return server


@asynccontextmanager
async def replica(
    primary: Server, directory: Path, *, name: str, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """`create_replica`, stopped at the end."""
    server = await create_replica(primary, directory, name=name, settings=settings or {})
    try:
        yield server
    finally:
        await server.stop()


def _slot(name: str) -> str:
    return name.replace("-", "_")


def _conninfo(primary: Server, **more: str) -> str:
    return connection_string({"host": str(primary.socket_dir), "port": str(primary.port), "user": ROLE, **more})


async def _copy(primary: Server, cluster: Cluster, slot: str) -> None:
    """A base backup; the slot keeps what the primary writes from its beginning on."""
    async with primary.connected() as connection:
        # a slot of an earlier replica of this name may have lost what this one needs
        await connection.execute(_DROP_SLOT, slot)
        await connection.execute(_CREATE_SLOT, slot)
    async with cluster.making() as temporary:
        command = [
            cluster.binaries.program("pg_basebackup"),
            *("--pgdata", str(temporary), "--dbname", _conninfo(primary), "--slot", slot),
            *("--wal-method=stream", "--checkpoint=fast", "--no-password"),
        ]
        durable = primary.section.durable
        await processes.run(command if durable else [*command, "--no-sync"], cluster.account, seconds=_BACKUP_SECONDS)
        with cluster.translated():
            signal_file = temporary / _SIGNAL_FILE
            os.close(os.open(signal_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
            cluster.account.own(signal_file)


async def _await_streaming(server: Server) -> None:
    try:
        async with asyncio.timeout(_STREAMING_SECONDS), server.connected() as connection:
            while not await connection.fetchval(_IS_STREAMING):  # noqa: ASYNC110  (a view has no events)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise ResourceUnavailable(
            f"the replica in {server.directory} does not stream (its log: {server.cluster.log})"
        ) from None
