"""Who used the processors while something was measured: the sum tells whether the machine was full, and of whom."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Account:
    """Seconds of processor time by party; `elsewhere` is what the rest of the machine used, its kernel included."""

    seconds: Mapping[str, float]

    def since(self, earlier: Account, operations: float) -> dict[str, float]:
        """Microseconds for one operation, by party."""
        spent = {party: self.seconds[party] - earlier.seconds.get(party, 0.0) for party in self.seconds}
        return {party: round(1e6 * max(seconds, 0.0) / max(operations, 1.0), 1) for party, seconds in spent.items()}


def account(parties: Mapping[str, int]) -> Account:
    """What the parties, each a process with everything below it that is no party itself, have used so far."""
    parents, used = _processes()
    of_root = {pid: party for party, pid in parties.items()}
    seconds = dict.fromkeys([*parties, ELSEWHERE], 0.0)
    for pid, spent in used.items():
        at: int | None = pid
        while at is not None and at not in of_root:
            at = parents.get(at)
        if at is not None:
            seconds[of_root[at]] += spent
    seconds[ELSEWHERE] = _busy_seconds() - sum(seconds.values())
    return Account(seconds)


def descendants(pid: int) -> set[int]:
    """A process and all that came from it and are still there."""
    parents, _ = _processes()
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _processes() -> tuple[dict[int, int], dict[int, float]]:
    """Parents, and processor seconds, those of children that have ended included (proc(5))."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            fields = (directory / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        parents[int(directory.name)] = int(fields[1])
        used[int(directory.name)] = sum(int(field) for field in fields[11:15]) / _TICKS
    return parents, used


def _busy_seconds() -> float:
    user, nice, system, _idle, _iowait, irq, softirq, *_ = Path("/proc/stat").read_text(encoding="ascii").split()[1:]
    return sum(int(field) for field in (user, nice, system, irq, softirq)) / _TICKS
