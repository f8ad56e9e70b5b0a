"""How a stretch of minutes is put together from sums by minute, hour and day, where these may be used. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

MINUTE_MS = 60_000
HOUR_MINUTES = 60
DAY_HOURS = 24
DAY_MINUTES = DAY_HOURS * HOUR_MINUTES
DAY_MS = DAY_MINUTES * MINUTE_MS

Run = tuple[int, int]


def minute_of(moment: datetime) -> int:
    """Minutes since 1970."""
    return int(moment.timestamp()) // 60


def day_of(moment: datetime) -> int:
    """Days since 1970, in UTC."""
    return minute_of(moment) // DAY_MINUTES


def date_of(day: int) -> datetime:
    """When the day begins."""
    return datetime.fromtimestamp(day * 86400, UTC)


@dataclass(frozen=True, slots=True)
class Sources:
    """What may be asked: hours and days but for the dirty ones, minutes from `first_minute` on."""

    dirty_hours: frozenset[int] = frozenset()
    dirty_days: frozenset[int] = frozenset()
    first_minute: int = 0


@dataclass(slots=True)
class Pieces:
    """Stretches of minutes, hours and days, end excluded, that are to be added up; `index` says for which answer."""

    minutes: list[tuple[int, int, int]] = field(default_factory=list)
    hours: list[tuple[int, int, int]] = field(default_factory=list)
    days: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, index: int, since: int, until: int, sources: Sources, *, has_days: bool) -> None:
        """Cover the minutes from `since` to `until`, as coarsely as can be.

        Where single minutes are gone an hour belongs to the stretch in which it begins.
        """
        since, until = (_kept(minute, sources.first_minute) for minute in (since, until))
        for is_coarse, lo, hi in _covered(since, until, HOUR_MINUTES, sources.dirty_hours):
            if not is_coarse:
                self.minutes.append((index, lo, hi))
            elif not has_days:
                self.hours.append((index, lo, hi))
            else:
                dirty = sources.dirty_days | {hour // DAY_HOURS for hour in sources.dirty_hours}
                for is_day, first, last in _covered(lo, hi, DAY_HOURS, dirty):
                    (self.days if is_day else self.hours).append((index, first, last))


def runs(numbers: Iterable[int], gap: int = 0) -> list[Run]:
    """Ascending stretches, end excluded, that cover the numbers; those no more than `gap` apart become one."""
    found: list[Run] = []
    for number in sorted(numbers):
        if found and number <= found[-1][1] + gap:
            found[-1] = (found[-1][0], max(found[-1][1], number + 1))
        else:
            found.append((number, number + 1))
    return found


def _kept(minute: int, first: int) -> int:
    return minute if minute >= first else -(-minute // HOUR_MINUTES) * HOUR_MINUTES


def _covered(lo: int, hi: int, size: int, dirty: Collection[int]) -> Iterator[tuple[bool, int, int]]:
    """Whole units of `size` that are not dirty, as (True, unit, unit), and what is left, as (False, lo, hi)."""
    first, last = -(-lo // size), hi // size
    if first >= last:
        if lo < hi:
            yield False, lo, hi
        return
    if lo < first * size:
        yield False, lo, first * size
    for unit in sorted(unit for unit in dirty if first <= unit < last):
        if first < unit:
            yield True, first, unit
        yield False, unit * size, (unit + 1) * size
        first = unit + 1
    if first < last:
        yield True, first, last
    if last * size < hi:
        yield False, last * size, hi
