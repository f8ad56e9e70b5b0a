"""Ports for servers of the tests, chosen before anybody listens there."""

from __future__ import annotations

import os
import secrets
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def _below() -> Sequence[int]:
    """The ports below those that the kernel hands out; each worker of a run has some of its own."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return range(max(1024, lowest - 16_000), lowest)[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


_BELOW = _below()
# what was given away lately, and whose server may not listen yet
_given: deque[int] = deque(maxlen=len(_BELOW) // 2 or 1000)


def free_port() -> int:
    """One that nobody gets by chance before its server listens, nor while that is away for a moment."""
    while True:
        port = secrets.choice(_BELOW) if _BELOW else 0
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            port = int(listener.getsockname()[1])
            if port not in _given:
                _given.append(port)
                return port
