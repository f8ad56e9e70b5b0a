"""What clients did and what they were told: one operation after the other, on one clock."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson

# What a read may find beside a version, which is 0 or more.
GONE = -1  # there is no such paste
SEALED = -2  # there is one; what is in it takes a reveal
DAMAGED = -3  # bytes that nobody has written

Kind = Literal["create", "read", "revise", "delete", "reveal", "resolve"]
# info: nobody can tell whether it happened, or when it will
Outcome = Literal["ok", "fail", "info"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a client did, all its tries together; times are seconds of the monotonic clock."""

    client: str
    region: str
    kind: Kind
    key: str
    invoked: float
    ended: float
    outcome: Outcome
    value: int | None = None  # the version written or found, or GONE, SEALED, DAMAGED
    holds_at: float | None = None  # since when everybody has to see it, if that is later than `ended`
    session: str = ""  # of a client that sends on the token it was given
    slug: str = ""
    how: str = ""  # who answered what to each try

    @property
    def holds_since(self) -> float:
        return self.ended if self.holds_at is None else self.holds_at


@dataclass(frozen=True, slots=True)
class Paste:
    """What is known of a paste beside its versions, all from the one who made it."""

    key: str
    max_reads: int | None = None
    has_password: bool = False
    expires_at: float | None = None  # on the clock of the operations

    @property
    def is_sealed(self) -> bool:
        return self.has_password or self.max_reads is not None


@dataclass(slots=True)
class History:
    """Everything that was recorded."""

    pastes: dict[str, Paste] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)

    def of(self, *kinds: Kind) -> list[Operation]:
        return [operation for operation in self.operations if operation.kind in kinds]

    def by_key(self) -> dict[str, list[Operation]]:
        """The operations on each paste, in the order they were begun; resolving has nothing to do with any."""
        found: dict[str, list[Operation]] = {key: [] for key in self.pastes}
        for operation in sorted(self.operations, key=lambda one: one.invoked):
            if operation.kind != "resolve":
                found[operation.key].append(operation)
        return found

    def save(self, path: Path) -> None:
        """One object a line: the pastes first."""
        rows: list[Paste | Operation] = [*self.pastes.values(), *self.operations]
        path.write_bytes(b"".join(orjson.dumps(dataclasses.asdict(row)) + b"\n" for row in rows))

    @classmethod
    def load(cls, path: Path) -> History:
        history = cls()
        for line in path.read_bytes().splitlines():
            row = orjson.loads(line)
            if "kind" in row:
                history.operations.append(Operation(**row))
            else:
                history.pastes[row["key"]] = Paste(**row)
        return history


SMALLEST_BYTES = 256
LARGEST_BYTES = 64 * 2**20
_LINE_BYTES = 65
_DIFFERENT = 4096  # lines; beyond them the number alone tells them apart
_MARK = re.compile(rb"begin (\S+) (\d+) (\d+)")


def body(key: str, version: int, size: int) -> bytes:
    """The text of a version, of `size` bytes: it says what it is at both ends, and no part of it is like another."""
    first = b"begin %s %d %d\n" % (key.encode(), version, size)
    last = b"end %s %d\n" % (key.encode(), version)
    lines, rest = divmod(size - len(first) - len(last), _LINE_BYTES)
    state = hashlib.sha256(first)
    text = []
    for number in range(lines):
        if number < _DIFFERENT:
            state.update(b"%d" % number)
            text.append(state.hexdigest().encode() + b"\n")
        else:
            text.append(text[number % _DIFFERENT][:55] + b"%09d\n" % number)
    return first + b"".join(text) + b"." * (rest - 1) + b"\n" * (rest > 0) + last


def version_in(key: str, found: bytes) -> int:
    """Which version these bytes are, DAMAGED if none."""
    mark = _MARK.match(found)
    if mark is None or mark[1] != key.encode():
        return DAMAGED
    version, size = int(mark[2]), int(mark[3])
    is_whole = size == len(found) <= LARGEST_BYTES and found == body(key, version, size)
    return version if is_whole else DAMAGED


def version_on(key: str, page: str) -> int:
    """Which version a page shows from its first line to its last."""
    first = re.search(rf"begin {re.escape(key)} (\d+) \d+", page)
    if first is None or "</html>" not in page:
        return DAMAGED
    return int(first[1]) if f"end {key} {first[1]}" in page else DAMAGED
