"""What can go wrong in the client, each with the exit code that scripts see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pastebin.errors import PastebinError


class CommandFailed(PastebinError):
    """The command failed."""

    exit_code = 1


class Refused(CommandFailed):
    """The server refused this."""

    def __init__(self, detail: str, *, status: int = 0, kind: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind


class UsageError(CommandFailed):
    """The command cannot be understood."""

    exit_code = 2


class Unreachable(CommandFailed):
    """The server cannot be reached."""

    exit_code = 3


class AnswerLost(Unreachable):
    """The connection broke before the answer was complete."""


class LocalFileError(CommandFailed):
    """A file on this machine cannot be used."""

    exit_code = 4


@contextmanager
def as_local_error(what: object) -> Iterator[None]:
    """Turn an OSError into LocalFileError about `what`; a closed pipe stays BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise LocalFileError(f"{what}: {error.strerror or error}") from error
