"""Whether a history can have been: what was acknowledged, against what was found. Pure, O(n log n) for each paste.

The writes on a paste come one after the other (whoever tests sees to that); reads and reveals come whenever they
like. A write whose answer was lost may happen any time after it was begun, or never.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.histories.operations import DAMAGED, GONE, SEALED, History, Operation, Paste

# how far the clock that pastes expire by may be read wrongly here: what is shown is cut to whole seconds
EXPIRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that cannot have been if the service keeps the promise `rule` (README, Consistency)."""

    rule: str
    key: str
    what: str
    operations: tuple[Operation, ...] = ()


def violations(history: History) -> list[Violation]:
    """Everything that the operations alone show to be wrong."""
    found = [one for key, operations in history.by_key().items() for one in _Judge(history.pastes[key], operations)]
    return found + _resolving(history.of("resolve"))


class _Steps:
    """A number that only grows, by moments: the largest of what has come strictly before one of them."""

    def __init__(self, steps: Sequence[tuple[float, Operation, float]]) -> None:
        ordered = sorted(steps, key=lambda step: step[0])
        self._moments = [moment for moment, _, _ in ordered]
        self._largest: list[tuple[float, Operation]] = []
        for _, operation, rank in ordered:
            before = self._largest[-1] if self._largest else None
            self._largest.append(before if before is not None and before[0] >= rank else (rank, operation))

    def before(self, moment: float) -> tuple[float, Operation] | None:
        place = bisect.bisect_left(self._moments, moment)
        return self._largest[place - 1] if place else None


@dataclass
class _Judge:
    """All there is to say about one paste."""

    paste: Paste
    operations: Sequence[Operation]
    _floor: _Steps = field(init=False)
    _ceiling: _Steps = field(init=False)
    _taken: list[float] = field(init=False)  # when reveals that have used up a read, or may have, were begun
    _given: list[float] = field(init=False)  # when those that have were over

    def __post_init__(self) -> None:
        writes = [one for one in self.operations if one.kind in ("create", "revise", "delete")]
        reveals = [one for one in self.operations if one.kind == "reveal"]
        self._floor = _Steps([(one.holds_since, one, _rank(one)) for one in writes if one.outcome == "ok"])
        self._ceiling = _Steps([(one.invoked, one, _rank(one)) for one in writes if one.outcome != "fail"])
        self._taken = sorted(one.invoked for one in reveals if _is_body(one) or one.outcome == "info")
        self._given = sorted(one.ended for one in reveals if _is_body(one))

    def __iter__(self) -> Iterator[Violation]:
        found = [one for one in self.operations if one.outcome == "ok" and one.kind in ("read", "reveal")]
        for operation in found:
            yield from self._judge(operation)
        yield from self._created_once()
        yield from self._used_up_once()
        yield from self._sessions()

    def _judge(self, operation: Operation) -> Iterator[Violation]:
        """One look at the paste, by itself."""
        if operation.value == DAMAGED:
            yield self._wrong("whole-bodies", "bytes that nobody has written", operation)
        elif operation.value == GONE:
            if not self._may_be_gone(operation.ended):
                yield self._wrong("kept", "an acknowledged paste is not there", operation)
        elif operation.value == SEALED:
            if not self.paste.is_sealed:
                yield self._wrong("kept", "a paste for everybody asks for a reveal", operation)
        else:
            yield from self._judge_body(operation)

    def _judge_body(self, operation: Operation) -> Iterator[Violation]:
        if operation.kind == "read" and self.paste.is_sealed:
            yield self._wrong("sealed", "the body of a sealed paste without a reveal", operation)
        if (end := self._end_before(operation.invoked)) is not None:
            yield self._wrong("ended", f"the body of a paste after {end}", operation)
            return
        floor, ceiling = self._floor.before(operation.invoked), self._ceiling.before(operation.ended)
        if floor is not None and floor[0] != math.inf and _rank(operation) < floor[0]:
            yield self._wrong("latest", "older than what was acknowledged before", floor[1], operation)
        if ceiling is None or (ceiling[0] != math.inf and _rank(operation) > ceiling[0]):
            yield self._wrong("whole-bodies", "newer than anything that was written", operation)

    def _may_be_gone(self, moment: float) -> bool:
        ceiling = self._ceiling.before(moment)
        if ceiling is None or ceiling[0] == math.inf:
            return True
        if self.paste.expires_at is not None and moment > self.paste.expires_at - EXPIRY_SECONDS:
            return True
        most = self.paste.max_reads
        return most is not None and bisect.bisect_left(self._taken, moment) >= most

    def _end_before(self, moment: float) -> str | None:
        """What has ended the paste for everybody who asks from this moment on."""
        floor = self._floor.before(moment)
        if floor is not None and floor[0] == math.inf:
            return "its deletion was acknowledged"
        if self.paste.expires_at is not None and moment > self.paste.expires_at + EXPIRY_SECONDS:
            return "it has expired"
        most = self.paste.max_reads
        if most is not None and bisect.bisect_left(self._given, moment) >= most:
            return "its last read"
        return None

    def _created_once(self) -> Iterator[Violation]:
        made = {one.slug: one for one in self.operations if one.kind == "create" and one.outcome == "ok"}
        if len(made) > 1:
            yield self._wrong("created-once", f"one key has made {len(made)} pastes", *made.values())

    def _used_up_once(self) -> Iterator[Violation]:
        bodies = [one for one in self.operations if one.kind == "reveal" and _is_body(one)]
        if self.paste.max_reads is not None and len(bodies) > self.paste.max_reads:
            yield self._wrong("read-limit", f"{len(bodies)} reads of {self.paste.max_reads}", *bodies)

    def _sessions(self) -> Iterator[Violation]:
        """Who sends on the token is shown what it wrote, and never anything older than it has seen."""
        latest: dict[str, Operation] = {}
        for operation in self.operations:
            if not operation.session or operation.outcome != "ok" or (operation.value or 0) < GONE:
                continue
            seen = latest.get(operation.session)
            if operation.kind in ("read", "reveal") and seen is not None and _rank(operation) < _rank(seen):
                yield self._wrong("session", "a session goes back in time", seen, operation)
            if seen is None or _rank(operation) >= _rank(seen):
                latest[operation.session] = operation

    def _wrong(self, rule: str, what: str, *operations: Operation) -> Violation:
        return Violation(rule, self.paste.key, what, operations)


def _is_body(operation: Operation) -> bool:
    return operation.outcome == "ok" and operation.value is not None and operation.value >= 0


def _rank(operation: Operation) -> float:
    """Versions follow each other, and nothing follows the end."""
    if operation.kind == "delete" or operation.value == GONE:
        return math.inf
    return operation.value or 0


def _resolving(operations: Sequence[Operation]) -> list[Violation]:
    """An answer of DNS has addresses in it; that one name server is silent is what there are others for."""
    return [
        Violation("names", one.key, "a name without an address", (one,)) for one in operations if one.outcome != "ok"
    ]


def created_once(history: History, rows: Mapping[str, int]) -> list[Violation]:
    """`rows` says how many pastes the database has of each key, acknowledged or not."""
    return [
        Violation("created-once", key, f"{count} pastes in the database")
        for key, count in rows.items()
        if key in history.pastes and count > 1
    ]


def counted(
    history: History, views: Mapping[str, int], is_certain: Callable[[Operation], bool], tries: Mapping[str, int]
) -> list[Violation]:
    """`views` is what analytics says of each paste. No reading may count that was never asked for; of those that were
    answered only what `is_certain` rules out may be missing: a visit that a killed process still had in memory.
    """
    found = []
    for key, operations in history.by_key().items():
        certain = sum(one.kind in ("read", "reveal") and _is_body(one) and is_certain(one) for one in operations)
        if not certain <= views.get(key, 0) <= tries.get(key, 0):
            what = f"{views.get(key, 0)} views; {certain} were answered, {tries.get(key, 0)} asked for"
            found.append(Violation("counters", key, what))
    return found


def share(operations: Sequence[Operation]) -> float:
    """How many of them had an answer; one to a write may be that there is nothing to write to."""
    answered = sum(one.outcome == "ok" or (one.outcome == "fail" and one.kind != "read") for one in operations)
    return answered / max(len(operations), 1)
