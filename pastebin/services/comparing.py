"""Two pastes, or two revisions of one, held against each other: file by file, within bounds of time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pastebin.errors import Overloaded
from pastebin.models import File, Paste
from pastebin.sections import LimitsSection
from pastebin.services import differences
from pastebin.services.differences import Effort, Hunk
from pastebin.services.reading import Reading

Kind = Literal["added", "removed", "changed", "renamed"]
# Why the lines of a change are not shown.
Trouble = Literal["binary", "large"]

_FILES = 4  # together the texts of one side are this many times as large as a single one may be
_LINES = 200_000  # of one file
_LOOP_BYTES = 16 * 1024  # more is compared in a thread
_AT_ONCE = 2
_TURN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class FileChange:
    """What became of one file; a file that was neither changed nor renamed has none.

    `hunks` are empty where only the name changed, and where there is `trouble`.
    """

    old: File | None
    new: File | None
    hunks: tuple[Hunk, ...] = ()
    trouble: Trouble | None = None

    @property
    def kind(self) -> Kind:
        if self.old is None:
            return "added"
        if self.new is None:
            return "removed"
        return "renamed" if self.old.sha256 == self.new.sha256 else "changed"

    @property
    def added(self) -> int:
        return sum(line.tag == "added" for hunk in self.hunks for line in hunk.lines)

    @property
    def removed(self) -> int:
        return sum(line.tag == "removed" for hunk in self.hunks for line in hunk.lines)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The changes that lead from one paste to another, by their files' order in the new one, then in the old one."""

    old: Paste
    new: Paste
    files: tuple[FileChange, ...]

    @property
    def added(self) -> int:
        return sum(change.added for change in self.files)

    @property
    def removed(self) -> int:
        return sum(change.removed for change in self.files)


Pair = tuple[File | None, File | None]


def pairs(old: Sequence[File], new: Sequence[File]) -> list[Pair]:
    """Files that belong together: those of one name, else of one content; of two single files both, whatever they hold.

    Each file is in exactly one pair.
    """
    if len(old) == len(new) == 1:
        return [(old[0], new[0])]
    by_name = {file.name: file for file in old}
    partner = {file.position: by_name[file.name] for file in new if file.name in by_name}
    taken = {file.position for file in partner.values()}
    by_content: dict[bytes, list[File]] = {}
    for file in reversed(old):
        if file.position not in taken:
            by_content.setdefault(file.sha256, []).append(file)
    for file in new:
        if file.position not in partner and (moved := by_content.get(file.sha256)):
            partner[file.position] = moved.pop()
    taken = {file.position for file in partner.values()}
    found: list[Pair] = [(partner.get(file.position), file) for file in new]
    return found + [(file, None) for file in old if file.position not in taken]


class Comparing:
    """Compares what callers may see. Two comparisons at a time are made, in threads; others wait a moment."""

    def __init__(self, reading: Reading, limits: LimitsSection) -> None:
        self._reading = reading
        self._most_bytes = limits.page_bytes
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def compare(self, old: Paste, new: Paste) -> Comparison:
        """Both with their inline bodies. Raises Overloaded, BlobMissing, Unavailable."""
        together = [pair for pair in pairs(old.files, new.files) if _differ(*pair)]
        rooms = [self._most_bytes * _FILES] * 2
        changes: list[FileChange | tuple[Pair, bytes, bytes]] = []
        for pair in together:
            trouble = self._trouble(pair, rooms)
            if trouble is not None or _is_same_content(*pair):
                changes.append(FileChange(*pair, trouble=trouble if not _is_same_content(*pair) else None))
                continue
            for side, file in enumerate(pair):
                rooms[side] -= file.size if file is not None else 0
            changes.append((pair, await self._content(pair[0]), await self._content(pair[1])))
        size = sum(len(one) + len(other) for _, one, other in (c for c in changes if isinstance(c, tuple)))
        if size <= _LOOP_BYTES:
            return Comparison(old, new, _computed(changes))
        return Comparison(old, new, await self._in_turn(changes))

    async def _in_turn(self, changes: Sequence[FileChange | tuple[Pair, bytes, bytes]]) -> tuple[FileChange, ...]:
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded("Too many comparisons are being made; try again shortly.") from None
        try:
            return await asyncio.to_thread(_computed, changes)
        finally:
            self._turns.release()

    def _trouble(self, pair: Pair, rooms: Sequence[int]) -> Trouble | None:
        files = [(side, file) for side, file in enumerate(pair) if file is not None]
        if any(not file.is_text for _, file in files):
            return "binary"
        if any(file.size > min(self._most_bytes, rooms[side]) for side, file in files):
            return "large"
        return None

    async def _content(self, file: File | None) -> bytes:
        return b"" if file is None else await self._reading.content(file)


def _differ(old: File | None, new: File | None) -> bool:
    return old is None or new is None or (old.name, old.sha256) != (new.name, new.sha256)


def _is_same_content(old: File | None, new: File | None) -> bool:
    return old is not None and new is not None and old.sha256 == new.sha256


def _computed(changes: Sequence[FileChange | tuple[Pair, bytes, bytes]]) -> tuple[FileChange, ...]:
    effort = Effort()
    return tuple(
        change if isinstance(change, FileChange) else _change(change[0], change[1], change[2], effort)
        for change in changes
    )


def _change(pair: Pair, old: bytes, new: bytes, effort: Effort) -> FileChange:
    if max(old.count(b"\n"), new.count(b"\n")) > _LINES:
        return FileChange(*pair, trouble="large")
    found = differences.hunks(differences.lines_of(old), differences.lines_of(new), effort)
    return FileChange(*pair, hunks=tuple(found))
