"""Two pastes, or two revisions of one, held against each other: file by file, within bounds of time and memory."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import msgspec

from pastebin.errors import Overloaded, Unavailable
from pastebin.models import File, Paste
from pastebin.sections import LimitsSection, RenderingSection
from pastebin.services import differ, patches
from pastebin.services.differ import Form, Job, Side, Told
from pastebin.services.patches import Header
from pastebin.services.reading import Reading
from pastebin.services.workers import END_SECONDS, environment

log = logging.getLogger(__name__)

Kind = Literal["added", "removed", "changed", "renamed"]
# Why the lines of a change are not shown.
Trouble = Literal["binary", "large"]

_FILES = 4  # together the texts of one side are this many times as large as a single one may be
# more, of both sides together, is not for the event loop: the work grows with the square
_LOOP_BYTES = 16 * 1024
_LOOP_LINES = 200
_AT_ONCE = 2
_TURN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class FileChange:
    """What became of one file; a file that was neither changed nor renamed has none.

    `body` tells the changed lines in the form that was asked for; those of a patch only where there is no `trouble`.
    Not `is_whole`: the rest of them had no room.
    """

    old: File | None
    new: File | None
    trouble: Trouble | None = None
    added: int = 0
    removed: int = 0
    body: bytes = b""
    is_whole: bool = True

    @property
    def kind(self) -> Kind:
        if self.old is None:
            return "added"
        if self.new is None:
            return "removed"
        return "renamed" if self.old.sha256 == self.new.sha256 else "changed"


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
    """Compares what callers may see: small files here, others in a process that is there for that; two at a time."""

    def __init__(self, reading: Reading, limits: LimitsSection, rendering: RenderingSection) -> None:
        self._reading = reading
        self._most_bytes = limits.page_bytes
        self._section = rendering
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def compare(self, old: Paste, new: Paste, form: Form) -> Comparison:
        """Both with their inline bodies. Raises Overloaded, BlobMissing, Unavailable."""
        found = [pair for pair in pairs(old.files, new.files) if _differ(*pair)]
        rooms = [self._most_bytes * _FILES] * 2
        troubles = [self._trouble(pair, rooms) for pair in found]
        asked: list[tuple[Side | None, Side | None]] = []
        for pair, trouble in zip(found, troubles, strict=True):
            if trouble is None:
                is_same = _is_same(*pair)
                asked.append((await self._side(pair[0], is_same=is_same), await self._side(pair[1], is_same=is_same)))
        told = iter(await self._told(Job(form, asked, self._section.timeout_seconds)))
        changes = [
            FileChange(*pair, trouble, body=_named(pair, trouble) if form == "patch" else b"")
            if trouble is not None
            else _change(pair, next(told), form)
            for pair, trouble in zip(found, troubles, strict=True)
        ]
        return Comparison(old, new, tuple(changes))

    async def _told(self, job: Job) -> list[Told]:
        contents = [side.content for pair in job.pairs for side in pair if side is not None]
        if sum(map(len, contents)) <= _LOOP_BYTES and sum(text.count(b"\n") for text in contents) <= _LOOP_LINES:
            return differ.tell(job)
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded("Too many comparisons are being made; try again shortly.") from None
        try:
            async with asyncio.timeout(2 * self._section.timeout_seconds):
                return await _asked(job, self._section.memory_mb)
        except TimeoutError:
            raise Overloaded("This comparison took too long; try again when there is less to do.") from None
        finally:
            self._turns.release()

    def _trouble(self, pair: Pair, rooms: list[int]) -> Trouble | None:
        """Why these two cannot be compared; what can takes its share of the rooms."""
        files = [(side, file) for side, file in enumerate(pair) if file is not None]
        if _is_same(*pair):
            return None
        if any(not file.is_text for _, file in files):
            return "binary"
        if any(file.size > min(self._most_bytes, rooms[side]) for side, file in files):
            return "large"
        for side, file in files:
            rooms[side] -= file.size
        return None

    async def _side(self, file: File | None, *, is_same: bool) -> Side | None:
        """What has the same content on both sides, however much it is, need not be looked at."""
        return None if file is None else Side(file.name, b"" if is_same else await self._reading.content(file))


async def _asked(job: Job, memory_mb: int) -> list[Told]:
    """What a process says to the job. Raises Unavailable if it does not."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "pastebin.services.differ", str(memory_mb)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=environment(),
            start_new_session=True,  # Ctrl+C at the terminal is for the node
        )
    except OSError as error:
        raise Unavailable("No comparison can be started at the moment; try again shortly.") from error
    try:
        said, _ = await process.communicate(msgspec.msgpack.encode(job))
        return msgspec.msgpack.decode(said, type=list[Told])
    except msgspec.DecodeError as error:
        raise Unavailable("This comparison failed; try again shortly.") from error
    finally:
        await asyncio.shield(_ended(process))


async def _ended(process: Process) -> None:
    """Kill the process, if it is still there, and take leave of it."""
    with suppress(ProcessLookupError):
        process.kill()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        log.warning("a killed comparison does not end", extra={"pid": process.pid})


def _differ(old: File | None, new: File | None) -> bool:
    return old is None or new is None or (old.name, old.sha256) != (new.name, new.sha256)


def _is_same(old: File | None, new: File | None) -> bool:
    return old is not None and new is not None and old.sha256 == new.sha256


def _change(pair: Pair, told: Told, form: Form) -> FileChange:
    if told.is_large:
        return FileChange(*pair, "large", body=_named(pair, "large") if form == "patch" else b"")
    return FileChange(*pair, None, told.added, told.removed, told.body, told.is_whole)


def _named(pair: Pair, trouble: Trouble) -> bytes:
    """A patch that names what it cannot tell."""
    old, new = pair
    header = Header(old is not None, new is not None, old.name if old else None, new.name if new else None)
    return b"".join(patches.parts(header, (), trouble))
