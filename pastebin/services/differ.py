"""The program that compares what is too much for the node's own process: one Job from standard input, then its answer.

It may be killed at any moment; nothing is lost with it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Literal

import msgspec

from pastebin.services import confinement, difference_pages, differences, patches
from pastebin.services.difference_pages import Room
from pastebin.services.differences import Effort

# How changes are told: as a patch, or as HTML with one column or two.
Form = Literal["patch", "unified", "split"]

_LINES = 200_000  # of one file
_HTML_CHARACTERS = 1024**2
_SHORTEST_CHARACTERS = 20  # no line takes less room, so what comes after as many as this has none


class Side(msgspec.Struct, frozen=True, array_like=True):
    """One file with its content."""

    name: str | None
    content: bytes


class Told(msgspec.Struct, frozen=True, array_like=True):
    """The changes of one file: how many lines, and all of them in one form; not `is_whole`: as many as had room."""

    added: int = 0
    removed: int = 0
    body: bytes = b""
    is_whole: bool = True
    is_large: bool = False


class Job(msgspec.Struct, frozen=True, array_like=True):
    """Files before and after; None where there is none."""

    form: Form
    pairs: Sequence[tuple[Side | None, Side | None]]
    cpu_seconds: float = 0.0


def tell(job: Job) -> list[Told]:
    """All of it, with one Effort and one Room for them together."""
    effort, room = Effort(), Room(_HTML_CHARACTERS)
    return [_told(job.form, old, new, effort, room) for old, new in job.pairs]


def _told(form: Form, old: Side | None, new: Side | None, effort: Effort, room: Room) -> Told:
    before, after = (side.content if side is not None else b"" for side in (old, new))
    if max(before.count(b"\n"), after.count(b"\n")) > _LINES:
        return Told(is_large=True)
    lines, others = differences.lines_of(before), differences.lines_of(after)
    equal = differences.blocks(lines, others, effort)
    same = sum(block.size for block in equal)
    added, removed = len(others) - same, len(lines) - same
    if form == "patch":
        hunks = list(differences.hunks(lines, others, equal))
        name, other = (side.name if side is not None else None for side in (old, new))
        marks = patches.Header(old is not None, new is not None, name, other)
        return Told(added, removed, b"".join(patches.parts(marks, hunks)))
    lay_out = difference_pages.side_by_side if form == "split" else difference_pages.unified
    shown = differences.hunks(lines, others, equal, most_lines=_HTML_CHARACTERS // _SHORTEST_CHARACTERS)
    html, is_whole = lay_out(shown, room)
    return Told(added, removed, html.encode(), is_whole)


def main() -> None:
    confinement.confine(int(sys.argv[1]))
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    confinement.limit_cpu(job.cpu_seconds)
    with os.fdopen(os.dup(1), "wb") as outgoing:
        outgoing.write(msgspec.msgpack.encode(tell(job)))


if __name__ == "__main__":
    main()
