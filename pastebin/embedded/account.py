"""The operating system account that runs PostgreSQL, which refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pastebin.errors import ResourceUnavailable

_USUAL_NAMES = ("pastebin", "postgres")
_USERADD = "useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin {}"
_PROBE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs PostgreSQL: the node's own user, or another one when the node is root (`is_switched`).

    `node_user` is the name of the node's own user; both names may be the database role `pastebin`.
    """

    name: str
    uid: int
    gid: int
    node_user: str
    is_switched: bool

    @property
    def spawning(self) -> dict[str, Any]:
        """What `subprocess.Popen` needs to start a program as this account."""
        if not self.is_switched:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": os.getgrouplist(self.name, self.gid)}

    def own(self, path: Path) -> None:
        """Give a file or directory that the node made to this account."""
        if self.is_switched:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose(wanted: str) -> Account:
    """The account for a node: when it is root `wanted`, else the first usual one that exists.

    A node that is not root runs PostgreSQL as itself. Raises ResourceUnavailable when no account fits.
    """
    uid = os.geteuid()
    if uid != 0:
        try:
            own = pwd.getpwuid(uid)
        except KeyError:
            raise ResourceUnavailable(
                f"user id {uid} has no name on this system, and PostgreSQL needs one: add it to /etc/passwd"
            ) from None
        return Account(own.pw_name, uid, own.pw_gid, own.pw_name, is_switched=False)
    for name in (wanted,) if wanted else _USUAL_NAMES:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid == 0:
            raise ResourceUnavailable(f"embedded.user: PostgreSQL does not run as {name}, choose an ordinary account")
        return Account(name, found.pw_uid, found.pw_gid, pwd.getpwuid(0).pw_name, is_switched=True)
    missing = f"the account {wanted} (embedded.user) does not exist" if wanted else "no account for PostgreSQL exists"
    raise ResourceUnavailable(
        f"{missing}, and PostgreSQL does not run as root: "
        f"make one with '{_USERADD.format(wanted or 'pastebin')}', or run pastebin as an ordinary user"
    )


def check_reachable(directory: Path, account: Account) -> None:
    """See that the account can enter the directory. Raises ResourceUnavailable, naming what is in the way.

    The kernel is asked, not the mode bits: access control lists count too.
    """
    if not account.is_switched or _can_enter(directory, account):
        return
    blocking = next(
        (step for step in (*reversed(directory.parents), directory) if not _can_enter(step, account)),
        directory,
    )
    raise ResourceUnavailable(
        f"the account {account.name}, which runs PostgreSQL, cannot enter {blocking}: "
        "choose a --data-dir under /var/lib, or run pastebin as an ordinary user"
    )


def _can_enter(directory: Path, account: Account) -> bool:
    probe = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)]
    try:
        done = subprocess.run(
            probe,
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            **account.spawning,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ResourceUnavailable(f"cannot look at {directory} as {account.name}: {error}") from error
    return done.returncode == 0
