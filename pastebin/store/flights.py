"""What the flights of changes have in common: telling certain failures from uncertain ones, and where they landed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from pastebin.errors import PastebinError
from pastebin.positions import SESSION, Position
from pastebin.store.batching import NothingDone
from pastebin.store.connections import LSN, Connection, translated
from pastebin.store.database import position_at

log = logging.getLogger(__name__)

_COMMITTED = f"select {LSN}"

# The server itself says that it undid the statement because of what was in it, or of whom it met.
_UNDONE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Run one statement that commits by itself. Raises NothingDone where it is certain that it changed nothing."""
    try:
        yield
    except ValueError as error:  # the driver could not encode it, so it was never sent
        raise NothingDone from error
    except _UNDONE as error:
        raise NothingDone from word_of(error)


def word_of(error: Exception) -> Exception:
    """The domain's word for what went wrong, to be handed to those whom it concerns."""
    try:
        with translated():
            raise error  # noqa: TRY301  (the border has no other way through)
    except NothingDone as undone:
        return undone.__cause__ if isinstance(undone.__cause__, Exception) else undone
    except Exception as word:  # it is not handled here, only named
        return word


async def position_after(connection: Connection) -> Position | None:
    """Where the commit of this connection lies; None if that cannot be told any more, which takes nothing back."""
    try:
        with translated():
            return position_at(connection, await connection.fetchval(_COMMITTED))
    except (PastebinError, asyncpg.PostgresError) as error:
        log.warning("the position of a commit is unknown: %s", error)
        return None


def note(position: Position | None) -> None:
    """Let the session of the current request know what it has written."""
    session = SESSION.get()
    if session is None:
        return
    if position is None:
        session.from_primary = True
    else:
        session.advance(position)
