"""Where a server's unix socket lives: outside its data directory, on a short path, nobody else's to change.

Outside, because a base backup would copy the socket's lock file and the replica would refuse to start; short,
because a socket's address has room for 107 bytes.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from pastebin.embedded.account import Account
from pastebin.errors import ResourceUnavailable

_MAX_PATH_BYTES = 100


def identity(home: Path) -> str:
    """A short name for the directory with a server's files, the same for every way to write its path."""
    return sha256(os.fsencode(home.resolve())).hexdigest()[:16]


def name(port: int) -> str:
    return f".s.PGSQL.{port}"


def place(home: Path, account: Account) -> Path:
    """The directory for the socket of the server in `home`, made when absent.

    Raises ResourceUnavailable when every candidate is closed to us or belongs to somebody else.
    """
    refusals = []
    for parent in _parents(account):
        directory = parent / identity(home)
        try:
            make(directory, account)
        except ResourceUnavailable as error:
            refusals.append(error.detail)
        else:
            return directory
    raise ResourceUnavailable(f"there is no place for PostgreSQL's socket: {'; '.join(refusals)}")


def make(directory: Path, account: Account) -> None:
    """Make the directory and its parent unless they exist, and make sure that they are ours.

    Raises ResourceUnavailable.
    """
    if len(os.fsencode(directory / name(65535))) > _MAX_PATH_BYTES:
        raise ResourceUnavailable(f"{directory} is too long a path for a socket")
    try:
        _make_private(directory.parent, os.geteuid())
        # the account has to pass through
        directory.parent.chmod(0o755 if account.is_switched else 0o700)
        _make_private(directory, os.geteuid(), account.uid)
        account.own(directory)
    except OSError as error:
        raise ResourceUnavailable(f"{directory} cannot be made: {error.strerror}") from error


def clear(directory: Path) -> None:
    """Remove what a killed server has left; none may be running here. Raises ResourceUnavailable."""
    try:
        for left in directory.glob(".s.PGSQL.*"):
            left.unlink(missing_ok=True)
    except OSError as error:
        raise ResourceUnavailable(f"{directory} cannot be cleared: {error.strerror}") from error


def _parents(account: Account) -> list[Path]:
    own = Path(f"/tmp/pastebin-{os.geteuid()}")  # noqa: S108  (its owner and mode are checked)
    if account.is_switched:
        return [Path("/run/pastebin"), own]
    # what XDG_RUNTIME_DIR names in a session; without one the directory is there too as long as the user lingers
    return [Path(f"/run/user/{account.uid}/pastebin"), own]


def _make_private(directory: Path, *owners: int) -> None:
    """A directory in /tmp could have been made by anybody first, or be a link to elsewhere."""
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners or status.st_mode & 0o022:
        raise ResourceUnavailable(
            f"{directory} is not a directory that only user id {owners[-1]} can change: remove it"
        )
