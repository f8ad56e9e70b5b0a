"""Which server gets a read, and who is fit for it: decisions on values and `now`, without any I/O.

Times are seconds of a monotonic clock; an LSN is a number of bytes. Whether a replica may serve is decided in three
steps that do not know each other: does it answer (`Health`), is it recent enough (`Lag`), has it replayed what the
reader has seen already (`Status.covers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, TypeVar

from pastebin.positions import Position

T = TypeVar("T")

_PAGE_BYTES = 8192
_SHORT_HEADER_BYTES = 24
_LONG_HEADER_BYTES = 40

_LATENCY_MEMORY_SECONDS = 10.0
_UNKNOWN_LATENCY_SECONDS = 0.001
_FEWEST_SHARE = 0.05

_LONGEST_EJECTION_SECONDS = 30.0
_CALM_SECONDS = 60.0
_RISE = 2

_URGENT_SECONDS = 0.2
_LONGEST_HEARTBEAT_SECONDS = 1.0


def settled(lsn: int, segment_bytes: int) -> int:
    """The end of the last record before the insert position `lsn`.

    At the beginning of a page PostgreSQL's insert position stands behind the page's header, which belongs to no
    record: a replica would reach it only with the next record.
    """
    if lsn % _PAGE_BYTES == _SHORT_HEADER_BYTES and lsn % segment_bytes != _SHORT_HEADER_BYTES:
        return lsn - _SHORT_HEADER_BYTES
    if lsn % segment_bytes == _LONG_HEADER_BYTES:
        return lsn - _LONG_HEADER_BYTES
    return lsn


@dataclass(frozen=True, slots=True)
class Status:
    """What a server said of itself; `at` is when it was asked, so everything is at least as recent.

    `lsn` is the end of what it has replayed, on a primary of what it has written; None when it does not know.
    """

    at: float
    is_replica: bool
    system_id: int
    timeline: int
    lsn: int | None
    segment_bytes: int = 16 * 1024**2
    behind_seconds: float | None = None

    @property
    def position(self) -> Position | None:
        return None if self.lsn is None else Position(self.system_id, self.timeline, self.lsn)

    def covers(self, at: Position) -> bool:
        """Whether whoever reads here sees everything up to `at`. Timeline 0 is an unknown one, and covers nothing."""
        position = self.position
        return position is not None and at.timeline > 0 and position.covers(at)

    def shares_history(self, at: Position) -> bool:
        """Whether waiting may help to cover `at`."""
        return self.system_id == at.system_id and self.timeline == at.timeline > 0


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a replica is behind the primary; None where that cannot be told."""

    seconds: float | None = None
    bytes: int | None = None

    def within(self, max_seconds: float, max_bytes: int) -> bool:
        """One of the two suffices: time lies on an idle primary, bytes lie on a busy one."""
        return (self.seconds is not None and self.seconds <= max_seconds) or (
            self.bytes is not None and self.bytes <= max_bytes
        )


def lag(status: Status, primary: Status | None) -> Lag:
    """The lag of a replica behind what was last heard from the primary; unknown before anything was heard.

    LSNs of different timelines are not compared: after a promotion only time counts until the replica follows.
    """
    if primary is None or primary.system_id != status.system_id or primary.lsn is None:
        return Lag()
    if status.timeline != primary.timeline or status.lsn is None:
        return Lag(seconds=status.behind_seconds)
    behind = max(primary.lsn - status.lsn, 0)
    return Lag(0.0 if behind == 0 else status.behind_seconds, behind)


class State(Enum):
    """Whether a server answers. A suspect is not asked while there is another; one that is down is only checked."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Health:
    """Where a server stands between up and down.

    A request that fails makes it suspect, at once; only checks bring it down, and back. `strikes` counts how often
    requests failed on a server whose checks succeed: each one doubles the time it is left out.
    """

    state: State = State.DOWN
    failures: int = 0
    successes: int = 0
    strikes: int = 0
    struck_at: float = -math.inf
    risen_at: float = -math.inf
    has_been_up: bool = False

    def failed_request(self, now: float) -> Health:
        """A request met a refused or broken connection, or no answer in time."""
        if self.state is not State.UP:
            return self  # the requests of one moment fail together: that is one strike
        strikes = 1 if now - self.struck_at > _CALM_SECONDS else self.strikes + 1
        return replace(self, state=State.SUSPECT, strikes=strikes, struck_at=now)

    def failed_check(self) -> Health:
        failures = self.failures + 1
        state = State.SUSPECT if self.state is State.UP else State.DOWN
        return replace(self, state=state, failures=failures, successes=0)

    def passed_check(self, now: float, base_seconds: float) -> Health:
        """Up at once when it is new; after a fall only when it has answered twice, and then with a slow start."""
        passed = replace(self, failures=0, successes=self.successes + 1)
        match self.state:
            case State.DOWN if not self.has_been_up:
                return replace(passed, state=State.UP, has_been_up=True)
            case State.DOWN if passed.successes >= _RISE:
                return replace(passed, state=State.UP, risen_at=now)
            case State.SUSPECT if now - self.struck_at >= self.ejection_seconds(base_seconds):
                return replace(passed, state=State.UP)
        return passed

    def ejection_seconds(self, base_seconds: float) -> float:
        """For how long requests that failed keep it suspect although its checks pass: 0, then doubling."""
        if self.strikes < 2:
            return 0.0
        return min(_LONGEST_EJECTION_SECONDS, base_seconds * 2.0 ** min(self.strikes - 2, 10))

    def share(self, now: float, slow_start_seconds: float) -> float:
        """The part of its load that it is given, growing from a little to 1 after its return."""
        if slow_start_seconds <= 0:
            return 1.0
        return min(1.0, max(_FEWEST_SHARE, (now - self.risen_at) / slow_start_seconds))


def check_pause_seconds(interval_seconds: float, *, leads: bool, is_urgent: bool, jitter: float) -> float:
    """How long until a server is checked again; jitter from 0 to 1 spreads the checks of many nodes.

    The primary's word about its LSN may never be much older than a second, whatever the interval of the others.
    """
    seconds = min(interval_seconds, _LONGEST_HEARTBEAT_SECONDS) if leads else interval_seconds
    return (min(seconds, _URGENT_SECONDS) if is_urgent else seconds) * (0.75 + jitter / 2)


class Latency(NamedTuple):
    """A moving average that believes bad news at once and good news slowly (peak EWMA)."""

    seconds: float = 0.0
    at: float = -math.inf

    def observed(self, seconds: float, now: float) -> Latency:
        if seconds >= self.seconds:
            return Latency(seconds, now)
        kept = math.exp(-max(now - self.at, 0.0) / _LATENCY_MEMORY_SECONDS)
        return Latency(self.seconds * kept + seconds * (1 - kept), now)


def cost(latency: Latency, in_flight: int, share: float) -> float:
    """What one more request would wait for: the lower, the better."""
    return max(latency.seconds, _UNKNOWN_LATENCY_SECONDS) * (in_flight + 1) / share


def choose(candidates: Sequence[T], cost_of: Callable[[T], float], random: Callable[[], float]) -> T:
    """Power of two choices: of two at random the cheaper one, so that no herd follows one number.

    `random` yields from 0 to below 1. There has to be a candidate.
    """
    if len(candidates) == 1:
        return candidates[0]
    first = int(random() * len(candidates))
    second = (first + 1 + int(random() * (len(candidates) - 1))) % len(candidates)
    one, other = candidates[first], candidates[second]
    return one if cost_of(one) <= cost_of(other) else other


@dataclass(frozen=True, slots=True)
class Claim:
    """A server that says it is the primary."""

    name: str
    timeline: int
    is_up: bool


def lead(claims: Sequence[Claim], known_timeline: int, current: str | None) -> str | None:
    """Who is the primary: of several the one on the highest timeline, which is the one promoted last.

    Nobody whose timeline is behind one that has been seen: that server has been replaced, and what it would
    acknowledge would be lost. Between names for one server the present one stays, unless only others are up.
    """
    fit = [claim for claim in claims if claim.timeline >= known_timeline]
    if not fit:
        return None
    highest = max(claim.timeline for claim in fit)
    best = [claim for claim in fit if claim.timeline == highest]
    return max(best, key=lambda claim: (claim.is_up, claim.name == current)).name


def spill_places(pool_size: int, share: float) -> int:
    """How many reads meant for replicas the primary may serve at the same time."""
    return max(1, int(pool_size * share))


def refresh_seconds(ttl_seconds: float, minimum_seconds: float, jitter: float) -> float:
    """When to ask DNS again: not before its answer has expired, and not all nodes at the same moment."""
    return max(ttl_seconds, minimum_seconds) * (1.0 + jitter / 10)
