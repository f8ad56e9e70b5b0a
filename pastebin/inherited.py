"""Sockets that systemd opened before this process began: ports below 1024 without root (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence

from pastebin.errors import ResourceUnavailable

DOORS = ("origin", "edge", "internal", "gateway", "dns")
_FIRST = 3

Sockets = Mapping[str, Sequence[socket.socket]]


def take(pid: str, count: str, names: str) -> dict[str, list[socket.socket]]:
    """The sockets of each door, from what systemd says in LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES.

    None if that is said to another process. Once only: they belong to who has them. Raises ResourceUnavailable for
    one that no door can use.
    """
    if not (pid.isdecimal() and count.isdecimal()) or int(pid) != os.getpid():
        return {}
    found: dict[str, list[socket.socket]] = {}
    given = [*names.split(":"), *[""] * int(count)]
    for descriptor, name in zip(range(_FIRST, _FIRST + int(count)), given, strict=False):
        try:
            taken = socket.socket(fileno=descriptor)
        except OSError as error:
            raise ResourceUnavailable(f"systemd passed no socket as {name!r}: {error.strerror}") from None
        taken.set_inheritable(False)
        taken.setblocking(False)
        found.setdefault(name, []).append(taken)
        _check(name, taken)
    return found


def _check(name: str, taken: socket.socket) -> None:
    if name not in DOORS:
        allowed = ", ".join(DOORS)
        raise ResourceUnavailable(f"systemd passed a socket as {name!r}; FileDescriptorName must be one of {allowed}")
    if taken.family not in (socket.AF_INET, socket.AF_INET6):
        raise ResourceUnavailable(f"systemd passed a socket for doors.{name} that has no IP address")
    if taken.type != socket.SOCK_STREAM and not (name == "dns" and taken.type == socket.SOCK_DGRAM):
        raise ResourceUnavailable(f"systemd passed a socket for doors.{name} that is not for TCP")
