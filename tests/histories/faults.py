"""Faults by dice: what is broken when, and for how long, from a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Action = Literal["kill", "stop", "freeze", "cut", "cut one way", "lag", "skew"]

# How long each lasts, in seconds; a kill until the box is back by itself.
_LASTS: Mapping[Action, tuple[float, float]] = {
    "kill": (6.0, 6.0),
    "stop": (3.0, 8.0),
    "freeze": (2.0, 9.0),
    "cut": (4.0, 15.0),
    "cut one way": (4.0, 15.0),
    "lag": (8.0, 20.0),
    "skew": (10.0, 30.0),
}
_CHOICE = 4  # turns that wait for room
_PAUSES = (1.0, 6.0)  # between the beginnings of two faults
_MOST_AT_ONCE = 3
LAG_SECONDS = (1.0, 8.0)
SKEW_SECONDS = 300.0
# There are few of these, and without any of them nothing works: one at a time.
_APART = frozenset({"gateway", "geodns", "worker", "postgres", "objects"})


@dataclass(frozen=True)
class Fault:
    """Begins `at` seconds after the start of the run; `target` is a box, or one side of a cut with `other`."""

    at: float
    seconds: float
    action: Action
    target: str
    other: str = ""
    amount: float = 0.0  # seconds of lag or skew

    @property
    def until(self) -> float:
        return self.at + self.seconds

    def __str__(self) -> str:
        amount = f" {self.amount:+.1f} s" if self.amount else ""
        other = f" {'->' if self.action == 'cut one way' else '--'} {self.other}" if self.other else ""
        return f"{self.at:6.1f} s, for {self.seconds:4.1f} s: {self.action} {self.target}{other}{amount}"


@dataclass(frozen=True)
class Ground:
    """What there is to break: boxes by name with their kinds, places between which a way can be cut, clocks."""

    kinds: Mapping[str, str]
    places: Sequence[str] = ()
    has_clocks: bool = False

    def boxes(self, kind: str) -> list[str]:
        return [name for name, its in self.kinds.items() if its == kind]


def schedule(seed: int, seconds: float, ground: Ground) -> list[Fault]:
    """Every kind of box and every kind of fault has its turn before any has a second one; all is whole at the end."""
    chance = random.Random(seed)  # noqa: S311  (no secret)
    found: list[Fault] = []
    turns = _turns(chance, ground)
    waiting: list[tuple[Action, str]] = []
    at = 1.0
    while at < seconds:
        if len(waiting) < _CHOICE:
            waiting.append(next(turns))
            continue
        dealt = [(turn, _dealt(chance, ground, *turn, at)) for turn in waiting]
        fitting = [(turn, fault) for turn, fault in dealt if fault.until <= seconds and _has_room(found, fault, ground)]
        if fitting:
            waiting.remove(fitting[0][0])
            found.append(fitting[0][1])
        at = round(at + chance.uniform(*_PAUSES), 1)
    return found


def _turns(chance: random.Random, ground: Ground) -> Iterator[tuple[Action, str]]:
    """Kinds of faults with kinds of boxes, dealt from one deck after the other, for ever."""
    kinds = sorted(set(ground.kinds.values()))
    deck: list[tuple[Action, str]] = [("kill", kind) for kind in kinds]
    deck += [("freeze", kind) for kind in kinds] + [("stop", kind) for kind in kinds if kind != "postgres"]
    if len(ground.places) > 1:
        deck += [("cut", ""), ("cut one way", "")] * 3
    if any(name.startswith("replica") for name in ground.kinds):
        deck += [("lag", "")] * 3
    if ground.has_clocks:
        deck += [("skew", "")] * 3
    while True:
        yield from chance.sample(deck, len(deck))


def _dealt(chance: random.Random, ground: Ground, action: Action, kind: str, at: float) -> Fault:
    seconds = round(chance.uniform(*_LASTS[action]), 1)
    if action in ("cut", "cut one way"):
        one, other = chance.sample(list(ground.places), 2)
        return Fault(at, seconds, action, one, other)
    if action == "lag":
        replicas = [name for name in ground.kinds if name.startswith("replica")]
        return Fault(at, seconds, action, chance.choice(replicas), amount=round(chance.uniform(*LAG_SECONDS), 1))
    if action == "skew":
        nodes = [name for name, kind in ground.kinds.items() if kind not in ("postgres", "objects")]
        amount = round(chance.uniform(-SKEW_SECONDS, SKEW_SECONDS), 1)
        return Fault(at, seconds, action, chance.choice(nodes), amount=amount)
    return Fault(at, seconds, action, chance.choice(ground.boxes(kind)))


def _has_room(found: Sequence[Fault], fault: Fault, ground: Ground) -> bool:
    """Whether it may be beside what is broken already."""
    beside = [one for one in found if fault.at < one.until]
    kind = ground.kinds.get(fault.target, "")
    if any(one.target == fault.target and not fault.other and not one.other for one in beside):
        return False
    if kind in _APART and any(ground.kinds.get(one.target) == kind for one in beside):
        return False
    if any(one.other and {one.target, one.other} == {fault.target, fault.other} for one in beside):
        return False
    return len(beside) < _MOST_AT_ONCE
