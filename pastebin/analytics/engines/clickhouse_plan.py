"""From what an answer is put together: hours of sums that know of everything, and single events for the rest. Pure.

Before and after the events of an hour are written, a mark is counted for it. Who makes sums counts marks first, then
reads events, and notes the count with the sums. These are used only while the count is the same: an event that they
lack has a mark that they did not count. Sums that are made again are another generation, beside the old one, so that
who is killed, or rolls while somebody else does, harms nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pastebin.analytics.engines.clickhouse_intake import REACH_HOURS
from pastebin.analytics.engines.grains import HOUR_MINUTES


@dataclass(frozen=True, slots=True)
class State:
    """What the database says of its hours. `rolled`: (marks that were counted, generation) of the newest sums.

    Events of hours before `kept_hour` are gone; their sums are final.
    """

    kept_hour: int = 0
    marks: dict[int, int] = field(default_factory=dict)
    rolled: dict[int, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> State:
        """From (what, hour, count, generation)."""
        kept_hour = 0
        marks: dict[int, int] = {}
        rolled: dict[int, tuple[int, int]] = {}
        for what, hour, count, generation in rows:
            if what == "kept":
                kept_hour = int(hour)
            elif what == "marks":
                marks[int(hour)] = int(count)
            else:
                rolled[int(hour)] = (int(count), int(generation))
        return cls(kept_hour, marks, rolled)

    def counted(self, hour: int) -> int:
        """Marks of everything that the sums of an hour depend on: what came before may tell who is no newcomer."""
        return sum(self.marks.get(one, 0) for one in range(hour - REACH_HOURS, hour + 1))

    def is_clean(self, hour: int) -> bool:
        return self.rolled.get(hour, (0, 0))[0] == self.counted(hour)

    def dirty(self, before_hour: int) -> list[int]:
        """Hours with events that are over, and whose sums lack something."""
        found = (hour for hour in self.marks if self.kept_hour <= hour < before_hour)
        return sorted(hour for hour in found if not self.is_clean(hour))


@dataclass(frozen=True, slots=True)
class Plan:
    """Minutes from `since` to `until`, end excluded, are the hours of three kinds, which exclude each other.

    `raw`: from single events; `rolled`: (hour, generation) of sums; `final`: hours, end excluded, whose newest
    generation is the right one.
    """

    since: int
    until: int
    raw: list[int]
    rolled: list[tuple[int, int]]
    final: tuple[int, int] | None

    @classmethod
    def of(cls, edges: Sequence[int], state: State) -> Plan:
        """For answers between neighbouring `edges`, in minutes.

        Where single events are gone an hour belongs to the answer in which it begins.
        """
        since, until = edges[0], edges[-1]
        split = {edge // HOUR_MINUTES for edge in edges if edge % HOUR_MINUTES}
        raw: list[int] = []
        rolled: list[tuple[int, int]] = []
        for hour in sorted(state.marks):
            if hour < state.kept_hour or (hour + 1) * HOUR_MINUTES <= since or hour * HOUR_MINUTES >= until:
                continue
            if hour not in split and state.is_clean(hour):
                rolled.append((hour, state.rolled[hour][1]))
            else:
                raw.append(hour)
        lo, hi = -(-since // HOUR_MINUTES), min(-(-until // HOUR_MINUTES), state.kept_hour)
        return cls(since, until, raw, rolled, (lo, hi) if lo < hi else None)
