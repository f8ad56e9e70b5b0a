"""The pastes made from here and their owner tokens: one JSON object a line, for its owner's eyes only.

Every change happens under a lock on the directory, so that commands at the same time lose nothing. An addition is
one appended line; a removal writes a new file and renames it. A file with a line that cannot be read is never
written to.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import orjson

from pastebin.cli.failures import LocalFileError, as_local_error

LOCK_SECONDS = 10.0
_POLL_SECONDS = 0.02

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class Entry:
    """One paste. `token` is for `server` and no other; `url` may name another host, the service's public one."""

    server: str
    slug: str
    url: str
    token: str = field(repr=False)
    created_at: Moment
    expires_at: Moment | None = None
    title: str | None = None
    name: str | None = None

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Ledger:
    """The list in `directory`, which is made when the first paste is added."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / "pastes.jsonl"

    def prepare(self) -> None:
        """Find out, before anything is sent, whether a paste could be added. Raises LocalFileError."""
        with self._locked(fcntl.LOCK_EX):
            self._read()
            with as_local_error(self._path):
                os.close(self._open_for_append())

    def add(self, entry: Entry) -> None:
        """Append an entry; it survives a crash from here on. Raises LocalFileError."""
        line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        with self._locked(fcntl.LOCK_EX):
            self._read()
            with as_local_error(self._path):
                descriptor = self._open_for_append()
                try:
                    _append(descriptor, line)
                finally:
                    os.close(descriptor)

    def remove(self, server: str, slug: str) -> None:
        """Take a paste off the list; one that is not on it is no error. Raises LocalFileError."""
        with self._locked(fcntl.LOCK_EX):
            entries = self._read()
            if entries.pop((server, slug), None) is not None:
                self._replace(entries)

    def entries(self) -> list[Entry]:
        """Every paste, the oldest first. Raises LocalFileError."""
        if not self._directory.is_dir():
            return []
        with self._locked(fcntl.LOCK_SH):
            return sorted(self._read().values(), key=lambda entry: entry.created_at)

    def find(self, server: str, slug: str) -> Entry | None:
        """The paste made at `server`, or else the one that its own server shows under this address."""
        entries = [entry for entry in self.entries() if entry.slug == slug]
        for entry in entries:
            if entry.server == server:
                return entry
        for entry in entries:
            if entry.url == f"{server}/{slug}":
                return entry
        return None

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        with as_local_error(self._directory):
            if kind == fcntl.LOCK_EX:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with as_local_error(self._directory):
                if kind == fcntl.LOCK_EX and os.fstat(descriptor).st_mode & 0o077:
                    os.fchmod(descriptor, 0o700)
            _lock(descriptor, kind, self._directory)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> dict[tuple[str, str], Entry]:
        with as_local_error(self._path):
            try:
                content = self._path.read_bytes()
            except FileNotFoundError:
                return {}
        entries: dict[tuple[str, str], Entry] = {}
        for number, line in enumerate(content.splitlines(keepends=True), 1):
            try:
                entry = _parse(line)
            except ValueError as error:
                raise LocalFileError(
                    f"{self._path}: line {number} is damaged ({error}); nothing was written to it: "
                    "mend that line, or move the file away"
                ) from error
            entries[entry.server, entry.slug] = entry
        return entries

    def _open_for_append(self) -> int:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if os.fstat(descriptor).st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
        return descriptor

    def _replace(self, entries: dict[tuple[str, str], Entry]) -> None:
        lines = b"".join(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in entries.values())
        temporary = self._path.with_name(f".pastes-{secrets.token_hex(8)}")
        with as_local_error(self._path):
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(lines)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)


def _parse(line: bytes) -> Entry:
    if not line.endswith(b"\n"):
        raise ValueError("it is cut off")
    return msgspec.convert(orjson.loads(line), Entry)


def _append(descriptor: int, line: bytes) -> None:
    """All of `line` or nothing: a full disk must not leave half a line behind."""
    size = os.fstat(descriptor).st_size
    try:
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _lock(descriptor: int, kind: int, directory: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LocalFileError(f"{directory}: another command holds the list for too long") from None
            time.sleep(_POLL_SECONDS)
        else:
            return
