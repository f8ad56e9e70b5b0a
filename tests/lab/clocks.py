"""Clocks of boxes that go wrong while everything runs: libfaketime (Debian: libfaketime) before the real one.

Only the time of day is false. What nodes measure with is the monotonic clock, which no administrator can set.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.lab.errors import LabError

_LIBRARIES = Path("/usr/lib")
_SHARED = Path("/dev/shm")
_LOOKED_AT_SECONDS = 1  # so soon a box notices


def library() -> str | None:
    """Where it is, if it is there."""
    return next(map(str, _LIBRARIES.glob("*/faketime/libfaketimeMT.so.1")), None)


def environment(path: Path) -> dict[str, str]:
    """For a box whose clock is set by the file `path`. Raises LabError."""
    found = library()
    if found is None:
        raise LabError("libfaketime is not installed; try: apt-get install libfaketime")
    path.parent.mkdir(exist_ok=True)
    set_by(path, 0.0)
    return {
        "LD_PRELOAD": found,
        "FAKETIME_TIMESTAMP_FILE": str(path),
        "FAKETIME_CACHE_DURATION": str(_LOOKED_AT_SECONDS),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def set_by(path: Path, seconds: float) -> None:
    """Set a clock ahead by so much, or back."""
    new = path.with_suffix(".new")
    new.write_text(f"{seconds:+f}\n", encoding="ascii")
    new.replace(path)


def clear() -> None:
    """Remove what the library leaves in shared memory of processes that were killed."""
    for path in _SHARED.glob("*faketime_*"):
        pid = path.name.rpartition("_")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            path.unlink(missing_ok=True)
