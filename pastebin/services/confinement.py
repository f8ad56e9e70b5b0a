"""What a process that works on hostile input gives up, as far as this operating system lets it."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
import time
from contextlib import suppress

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_FILES = 32


def confine(memory_mb: int) -> None:
    """Take no more memory than that, open next to nothing, leave the processor to others, and end with the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with suppress(OSError):
        os.nice(5)
    for kind, amount in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_AS, memory_mb * 1024**2),
    ):
        with suppress(OSError, ValueError):  # macOS refuses RLIMIT_AS
            resource.setrlimit(kind, (amount, amount))


def limit_cpu(seconds: float) -> None:
    """A backstop for the case that the node is gone or stopped: SIGXCPU kills, whatever the interpreter is doing."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
