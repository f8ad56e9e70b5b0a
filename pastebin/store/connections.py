"""Connections that know their server, notice when it is gone, and end in bounded time; the driver's errors as words."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson

from pastebin.errors import DatabaseUnavailable, Overloaded, StorageFull, UploadTooSlow
from pastebin.positions import Position
from pastebin.sections import DatabaseSection
from pastebin.store.balancing import Status, settled

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

log = logging.getLogger(__name__)

# The server did not answer, or will not: another one may, later even this one.
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# A statement that a replica gave up in favour of replaying, or a primary that has become a replica.
ELSEWHERE = (asyncpg.SerializationError, asyncpg.ReadOnlySQLTransactionError)
# The server's own trouble, not the statement's: classes 53, 57, 58 and XX of PostgreSQL's appendix A.
_TROUBLE = (
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
)
# Whatever a connection attempt can end with.
REFUSALS = (asyncpg.PostgresError, *AWAY)

LSN = "case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() end"
"""SQL for where the history stands, as an int. Read in a statement it bounds what the statement sees from above,
because the snapshot was taken before; read before a statement it bounds that one from below."""

# On a replica the timeline is a lower bound that needs no privilege; `received_tli` (pg_monitor) tells it at once.
# A receiver follows a new timeline only when nothing that was replayed contradicts it, so it never says too much.
# pg_walfile_name cannot be asked during recovery, pg_control_checkpoint is behind right after a promotion.
_STATUS = f"""
select pg_is_in_recovery() as is_replica,
       (select system_identifier from pg_control_system()) as system_id,
       {LSN} as lsn,
       case when pg_is_in_recovery()
            then greatest((select received_tli from pg_stat_wal_receiver),
                          (select timeline_id from pg_control_checkpoint()),
                          (select min_recovery_end_timeline from pg_control_recovery()))
            else ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int end as timeline,
       pg_size_bytes(current_setting('wal_segment_size')) as segment_bytes,
       extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 as behind_seconds
"""

_KEEPALIVE = {
    "TCP_KEEPIDLE": 10,  # seconds of silence before the first question whether the other side is there
    "TCP_KEEPINTVL": 3,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 15_000,  # milliseconds that sent bytes may stay unacknowledged
}


class Link(Connection):
    """A connection whose server has said who it is. Use no session state on it: it is not reset between users."""

    status: Status  # when it was made
    latest: Callable[[], Status]  # what is known of its server now

    def get_reset_query(self) -> str:
        """Nothing to send: a transaction is rolled back all the same, and nobody sets or locks for a session."""
        return ""

    @property
    def is_replica(self) -> bool:
        """As the server reported by itself: it says so with its first answer after a promotion (PostgreSQL 14)."""
        reported: Any = getattr(self.get_settings(), "in_hot_standby", None)
        return self.status.is_replica if reported is None else reported == "on"

    @property
    def timeline(self) -> int:
        """A primary keeps its timeline for as long as a connection to it lives; 0 when it was promoted meanwhile."""
        if not self.status.is_replica:
            return self.status.timeline
        return self.latest().timeline if self.is_replica else 0

    def position(self, lsn: int) -> Position:
        """Where `lsn`, read on this connection, lies. A promoted server's timeline is not known here, and is 0."""
        if not self.is_replica:
            lsn = settled(lsn, self.status.segment_bytes)
        return Position(self.status.system_id, self.timeline, lsn)

    def guard(self) -> None:
        """Let the kernel notice a server that has vanished; the driver sets nothing of the kind."""
        channel = self._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        if channel is None or channel.family not in (socket.AF_INET, socket.AF_INET6):
            return
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if (option := getattr(socket, name, None)) is not None:  # Linux has them all
                channel.setsockopt(socket.IPPROTO_TCP, option, value)


def options(section: DatabaseSection) -> dict[str, Any]:
    """How connections of a node are made: every wait has an end here, and on the server a moment later."""
    command = section.command_timeout_seconds
    return {
        "timeout": section.connect_timeout_seconds,
        "command_timeout": command,
        "connection_class": Link,
        "record_class": asyncpg.Record,
        "server_settings": {
            "application_name": "pastebin",
            # the server gives up by itself a moment after we did, so that no lock outlives its request
            "statement_timeout": str(int(command * 1000) + 1000),
            "lock_timeout": str(max(1, int(command * 500))),
            "idle_in_transaction_session_timeout": "30000",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "3",
            "tcp_keepalives_count": "3",
        },
    }


async def connect(*arguments: Any, **keywords: Any) -> Link:
    """`asyncpg.connect` for a `Link`; running out of time is a broken connection, unlike a queue that is too long."""
    try:
        link: Link = await asyncpg.connect(*arguments, **keywords)
    except TimeoutError as error:
        raise ConnectionAbortedError(f"no connection in {keywords.get('timeout')} s") from error
    link.guard()
    return link


async def prepare(link: Link) -> None:
    """What every new connection of a pool needs once."""
    await link.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_json, decoder=orjson.loads)
    link.status = await ask(link)


async def ask(link: Link, *, timeout: float | None = None) -> Status:
    """Who the server is, and how far it has come."""
    at = asyncio.get_running_loop().time()
    row = await link.fetchrow(_STATUS, timeout=timeout)
    assert row is not None  # noqa: S101  (the statement always yields one)
    lsn = row["lsn"]
    if lsn is not None and not row["is_replica"]:
        lsn = settled(lsn, row["segment_bytes"])
    return Status(
        at=at,
        is_replica=row["is_replica"],
        system_id=row["system_id"],
        timeline=row["timeline"],
        lsn=lsn,
        segment_bytes=row["segment_bytes"],
        behind_seconds=row["behind_seconds"],
    )


def explain(error: BaseException) -> str:
    """One line for the operator; the driver's own texts name no passwords."""
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"{error}; create it with: createdb"
    return str(error).partition("\n")[0] or type(error).__name__


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into the domain's words, once, at this border."""
    try:
        yield
    except (asyncpg.DiskFullError, asyncpg.OutOfMemoryError) as error:
        raise StorageFull from error
    except (asyncpg.ForeignKeyViolationError, asyncpg.CheckViolationError) as error:
        # the only rows of others that ours point to are the blobs of an upload, which can be given up as abandoned;
        # then they are gone, or not kept (see `rows.CONTENT_VALUES`)
        raise UploadTooSlow("The upload was given up because it stood still; please send it again.") from error
    except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError) as error:
        raise Overloaded("The database took too long; try again shortly.") from error
    except asyncpg.TransactionRollbackError as error:
        raise Overloaded("The database was busy with something else; try again shortly.") from error
    except (asyncpg.ReadOnlySQLTransactionError, *AWAY, *_TROUBLE) as error:
        log.warning("database away: %s", explain(error))
        raise DatabaseUnavailable from error


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()
