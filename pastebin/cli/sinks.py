"""Where downloaded bytes go: a stream, or a file that appears under its name only when it is whole."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from pastebin.cli.failures import LocalFileError, as_local_error

_LONGEST_NAME = 200


class Sink(Protocol):
    """Takes the bytes of one file in order. `position` counts them."""

    position: int

    def write(self, chunk: bytes) -> None:
        """Raises LocalFileError, BrokenPipeError."""

    def restart(self) -> bool:
        """Forget everything written so far; False where that cannot be done."""

    def complete(self) -> None:
        """Everything is there and right. Raises LocalFileError, BrokenPipeError."""

    def salvage(self) -> str | None:
        """Keep an incomplete file under another name, and tell which."""


class StreamSink:
    """Standard output, a pipe or a device: what is written is gone."""

    def __init__(self, label: str, stream: BinaryIO) -> None:
        self.position = 0
        self._label = label
        self._stream = stream

    def write(self, chunk: bytes) -> None:
        with as_local_error(self._label):
            self._stream.write(chunk)
        self.position += len(chunk)

    def restart(self) -> bool:
        return self.position == 0

    def complete(self) -> None:
        with as_local_error(self._label):
            self._stream.flush()

    def salvage(self) -> str | None:
        return None


class FileSink:
    """A temporary file beside `path`, renamed to it by `complete`; an existing file keeps its permissions."""

    def __init__(self, path: Path) -> None:
        self.position = 0
        self._path = Path(os.path.realpath(path))
        self._temporary = self._path.with_name(f".pastebin-{secrets.token_hex(8)}.part")
        with as_local_error(path):
            descriptor = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            self._file = os.fdopen(descriptor, "wb")
            with suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(self._path.stat().st_mode))

    def write(self, chunk: bytes) -> None:
        with as_local_error(self._path):
            self._file.write(chunk)
        self.position += len(chunk)

    def restart(self) -> bool:
        with as_local_error(self._path):
            self._file.seek(0)
            self._file.truncate()
        self.position = 0
        return True

    def complete(self) -> None:
        with as_local_error(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._temporary.replace(self._path)

    def salvage(self) -> str | None:
        if not self.position:
            return None
        kept = self._path.with_name(f"{self._path.name[:_LONGEST_NAME]}.incomplete-{secrets.token_hex(3)}")
        with suppress(OSError):  # then the last buffer is lost
            self._file.flush()
        with as_local_error(self._path):
            self._temporary.rename(kept)
        return str(kept)

    def close(self) -> None:
        """Remove what was not completed."""
        try:
            with suppress(OSError):  # a full disk has been reported by the write that met it
                self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)


@contextmanager
def open_sink(output: str | None, file_name: str) -> Iterator[Sink]:
    """The place for one file: `output` is a path, an existing directory, or `-` or None for standard output.

    In a directory the file gets a safe form of its own name, a stranger's choice, and replaces nothing.
    """
    path = _path(output, file_name)
    if path is None:
        if sys.stdout is None:
            raise LocalFileError("standard output is closed")
        yield StreamSink("standard output", sys.stdout.buffer)
    elif _is_special(path):
        with as_local_error(path), path.open("wb") as stream:
            yield StreamSink(str(path), stream)
    else:
        sink = FileSink(path)
        try:
            yield sink
        finally:
            sink.close()


def check_place(output: str | None, file_name: str) -> None:
    """Raises LocalFileError if `open_sink` would; leaves no trace."""
    path = _path(output, file_name)
    if path is not None and not _is_special(path):
        FileSink(path).close()


def _path(output: str | None, file_name: str) -> Path | None:
    if output is None or output == "-":
        return None
    path = Path(output)
    if path.is_dir():
        path = path / safe_name(file_name)
        if os.path.lexists(path):
            raise LocalFileError(f"{path}: exists already; move it away, or give another place with -o")
    return path


def _is_special(path: Path) -> bool:
    """A pipe or a device, which is written to and never replaced."""
    return path.exists() and not path.is_file()


def safe_name(name: str) -> str:
    """A file name that stays in its directory, is not hidden, not an option, and cannot steer a terminal."""
    plain = "".join(letter if letter.isprintable() and letter not in "/\\" else "_" for letter in name)
    if plain[:1] in (".", "-", "~", " ", ""):
        plain = f"_{plain}"
    encoded = plain.encode("utf-8", "replace")
    return encoded[:_LONGEST_NAME].decode("utf-8", "ignore")
