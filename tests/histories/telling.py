"""Histories in words: what is wrong, with what happened around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tests.histories.checking import Violation, share
from tests.histories.operations import GONE, SEALED, History, Operation

_AROUND = 6
_WORDS = {GONE: "gone", SEALED: "sealed", -3: "damaged", None: "-"}


def told(found: Iterable[Violation], history: History, marks: Sequence[tuple[float, str]] = ()) -> str:
    """Each violation with the operations on its paste before and after, and with `marks`: faults, by their moment."""
    return "\n\n".join(_told(one, history, marks) for one in found)


def _told(violation: Violation, history: History, marks: Sequence[tuple[float, str]]) -> str:
    related = history.by_key().get(violation.key, [])
    involved = set(violation.operations)
    wanted: set[int] = set()
    for place, operation in enumerate(related):
        if operation in involved:
            wanted |= set(range(place - _AROUND, place + _AROUND))
        elif operation.kind not in ("read", "reveal"):
            wanted.add(place)
    start = _start(history)
    lines = [
        (one.invoked, f"{'>>' if one in involved else '  '} {line(one, start)}")
        for place, one in enumerate(related)
        if place in wanted
    ] or [(one.invoked, f">> {line(one, start)}") for one in violation.operations]
    if lines:
        first, last = min(lines)[0] - 20, max(lines)[0] + 5
        lines += [(at, f"** {at - start:7.2f} {what}") for at, what in marks if first <= at <= last]
    paste = history.pastes.get(violation.key)
    return "\n".join([f"{violation.rule}: {violation.what} ({paste})", *(text for _, text in sorted(lines))])


def _start(history: History) -> float:
    return min((one.invoked for one in history.operations), default=0.0)


def line(one: Operation, start: float) -> str:
    """One operation, its times counted from `start`."""
    holds = "" if one.holds_at is None else f" (everywhere from {one.holds_at - start:.2f})"
    what = _WORDS.get(one.value, str(one.value))
    return (
        f"{one.invoked - start:7.2f}-{one.ended - start:<7.2f} {one.client} in {one.region}"
        f"{' with session' if one.session else ''}: {one.kind} {one.key} {what} {one.outcome}{holds} | {one.how}"
    )


def summary(history: History) -> list[str]:
    """How many there were of each kind, how many were answered, and by the first try."""
    lines = []
    for kind, count in sorted(Counter(one.kind for one in history.operations).items()):
        these = history.of(kind)
        outcomes = Counter(one.outcome for one in these)
        first = sum(one.outcome == "ok" and "//" not in one.how for one in these) / count
        slowest = max(one.ended - one.invoked for one in these)
        lines.append(
            f"{kind:<8} {count:6}  ok {outcomes['ok']}, fail {outcomes['fail']}, info {outcomes['info']}"
            f" ({share(these):.2%}; by the first try {first:.2%}; the slowest {slowest:.1f} s)"
        )
    return lines
