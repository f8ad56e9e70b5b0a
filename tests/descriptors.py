"""Files that the process of the tests holds open. What else it holds is others', who open and close as they like."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def held_open(below: Path) -> list[Path]:
    """Those at `below` or under it, with their names; ` (deleted)` follows where the name is gone."""
    held = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held.append(link.readlink())
    return [path for path in held if path.is_relative_to(below)]
