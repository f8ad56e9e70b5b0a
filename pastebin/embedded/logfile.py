"""PostgreSQL's log file: bounded in size, and read for the reason of a failure."""

from __future__ import annotations

import os
import re
from pathlib import Path

_MAX_BYTES = 8 * 1024**2
_KEPT_BYTES = 1024**2
_EXCERPT_BYTES = 64 * 1024

_FAILURE = re.compile(r"\b(?:PANIC|FATAL|ERROR|error|fatal): +(.+)")
# the reason of some failures stands in a line of its own, such as which address is taken
_REASON = re.compile(r"\bLOG: +((?:could not|unrecognized|invalid|syntax error|parameter) .+)")


def complaint(text: str) -> str:
    """What a program of PostgreSQL says it failed of: its last error, after the reason given, if any."""
    failure = reason = last = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        last = line
        if found := _FAILURE.search(line):
            failure = found[1]
        elif found := _REASON.search(line):
            reason = found[1]
    return "; ".join(filter(None, (reason, failure))) or last


def complaint_since(path: Path, offset: int) -> str:
    """The complaint that the log file holds after `offset` bytes."""
    try:
        with path.open("rb") as file:
            file.seek(max(offset, os.fstat(file.fileno()).st_size - _EXCERPT_BYTES))
            return complaint(file.read().decode(errors="replace"))
    except OSError as error:
        return f"the log {path} cannot be read: {error.strerror}"


def open_to_append(path: Path) -> int:
    """A descriptor for PostgreSQL to write to; the caller closes it."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def bound(path: Path, max_bytes: int = _MAX_BYTES) -> None:
    """When the file has outgrown `max_bytes`, keep its tail as `<name>.1` and empty it.

    It is emptied in place, because a running PostgreSQL goes on writing to the same file.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return
    except FileNotFoundError:
        return
    with path.open("r+b") as file:
        file.seek(-min(_KEPT_BYTES, max_bytes), os.SEEK_END)
        try:
            path.with_name(f"{path.name}.1").write_bytes(file.read())
        finally:
            # even when there is no room for the tail
            file.truncate(0)
