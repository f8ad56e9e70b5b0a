"""The data directory of a node: made when absent, and used by one node at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pastebin.errors import DataDirectoryUnusable

_LOCK_NAME = "node.lock"


def make_directory(directory: Path) -> None:
    """Make the directory unless it exists. Raises DataDirectoryUnusable.

    When the node is root others may pass through it, because PostgreSQL's own directory lies inside.
    """
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True)
            directory.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise _unusable(directory, error) from error


@contextmanager
def claim(data_dir: Path) -> Iterator[None]:
    """Hold the data directory, made when absent, for this process; the kernel releases it however that ends.

    A child forked without exec would go on holding it. Raises DataDirectoryUnusable when another process holds
    it or it cannot be written to.
    """
    make_directory(data_dir)
    path = data_dir / _LOCK_NAME
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise _unusable(data_dir, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            raise DataDirectoryUnusable(
                f"the data directory {data_dir} is in use by the pastebin with process id {owner}"
            ) from None
        try:
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
        except OSError as error:
            raise _unusable(data_dir, error) from error
        try:
            yield
        finally:
            # the file stays: removing it would let two processes hold two files of the same name
            os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def _unusable(directory: Path, error: OSError) -> DataDirectoryUnusable:
    return DataDirectoryUnusable(f"the data directory {directory} cannot be used: {error.strerror}")
