"""Sockets of clients that are elsewhere: in a network namespace, or with an address of their own."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.histories.access import OpenSocket

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, setns(2)
_INSIDE = ("ip", "netns", "exec")
_SECONDS = 5.0


@contextmanager
def sockets(argv: Sequence[str], address: str) -> Iterator[OpenSocket]:
    """What opens sockets where `argv` would start a command, or bound to `address` where it is no other network.

    A socket stays in the namespace where it was made, and a namespace is a thread's own: one thread is there for good.
    """
    if tuple(argv[:3]) != _INSIDE:
        yield lambda family, kind: _bound(family, kind, address)
        return
    with ThreadPoolExecutor(1, initializer=_enter, initargs=(Path("/run/netns") / argv[3],)) as thread:
        yield lambda family, kind: thread.submit(socket.socket, family, kind).result(_SECONDS)


def _enter(namespace: Path) -> None:
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _NEW_NETWORK):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))
    finally:
        os.close(descriptor)


def _bound(family: socket.AddressFamily, kind: socket.SocketKind, address: str) -> socket.socket:
    made = socket.socket(family, kind)
    try:
        made.bind((address, 0))
    except OSError:
        made.close()
        raise
    return made
