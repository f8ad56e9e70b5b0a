"""What becomes of the files of a paste when its form comes back: kept, renamed, rewritten, removed; and new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from pastebin.errors import Problem
from pastebin.models import File, Options, Paste, Published, Purge
from pastebin.services import intake, newlines, syntaxes
from pastebin.services.intake import Intake
from pastebin.services.publishing import Publishing
from pastebin.services.reading import Reading
from pastebin.services.revising import arranged
from pastebin.store.history import History


@dataclass(frozen=True, slots=True)
class Edit:
    """What is wished for one file: `number` from 1 on, None for a new one; None is what stays (`content`, `place`)."""

    number: int | None
    name: str = ""
    syntax: str = ""
    content: str | None = None
    is_removed: bool = False
    place: int | None = None

    @property
    def text(self) -> bytes:
        return (self.content or "").encode("utf-8", "replace")

    @property
    def is_new(self) -> bool:
        """A new file without any content is none."""
        return self.number is None and bool(self.content) and not self.is_removed

    @property
    def stays(self) -> bool:
        return self.number is not None and self.content is None and not self.is_removed


# A file of the paste, what is wished for it, and its new content; None where that stays.
Outcome = tuple[File, Edit | None, bytes | None]


class Editing:
    """Makes revisions and forks of edits; a file that nobody touched is kept, byte for byte."""

    def __init__(self, publishing: Publishing, reading: Reading, history: History, page_bytes: int) -> None:
        self._publishing = publishing
        self._reading = reading
        self._history = history
        self._page_bytes = page_bytes

    async def revise(
        self,
        slug: str,
        token: str | None,
        taken: Intake,
        edits: Sequence[Edit],
        options: Options,
        if_match: str | None,
    ) -> tuple[Paste, Purge]:
        """A new revision, or none where the files stay as they are; `taken` has the files that were chosen.

        Raises as `Publishing.revise` does.
        """
        chosen = tuple(taken.files)

        async def arrange(paste: Paste) -> tuple[File, ...]:
            before = (await self._history.revision(paste, paste.revision)).files
            outcomes = await self._outcomes(before, edits)
            taken.hold(file for file, _, content in outcomes if content is None)
            files = [
                _renamed(file, edit) if content is None or edit is None else await _added(content, edit, taken)
                for file, edit, content in outcomes
            ]
            files += [await _added(edit.text, edit, taken) for edit in edits if edit.is_new]
            found = named([*files, *chosen])
            return () if list(map(_shape, found)) == list(map(_shape, before)) else found

        options = replace(options, problems=(*options.problems, *problems_of(edits)))
        return await self._publishing.revise(slug, token, taken, options, if_match, arrange)

    async def fork(self, parent: Paste | None, taken: Intake, edits: Sequence[Edit], options: Options) -> Published:
        """A paste of its own: the files of `parent`, with their inline bodies, as far as they are not edited.

        Without a parent, which has ended meanwhile, what was typed is there still. Raises as `Publishing.create` does,
        and InvalidPaste for files that nobody has any more.
        """
        chosen = tuple(taken.files)
        before = parent.files if parent is not None else ()
        problems = problems_of(edits)
        if parent is None:
            problems += [Problem(f"name-{edit.number}", "is gone with its paste") for edit in edits if edit.stays]
        files = []
        for file, edit, content in await self._outcomes(before, edits):
            if content is None or edit is None:
                taken.adopt(file)
                files.append(_renamed(taken.files[-1], edit))
            else:
                files.append(await _added(content, edit, taken))
        known = {file.position + 1 for file in before}
        rest = [edit for edit in edits if edit.content is not None and edit.number not in known]
        files += [await _added(edit.text, edit, taken) for edit in rest if not edit.is_removed]
        taken.files[:] = named([*files, *chosen])
        options = replace(options, problems=(*options.problems, *problems))
        return await self._publishing.create(taken, options)

    async def _outcomes(self, before: Sequence[File], edits: Sequence[Edit]) -> list[Outcome]:
        wishes = {edit.number: edit for edit in edits if edit.number is not None}
        found: list[Outcome] = []
        for file in before:
            edit = wishes.get(file.position + 1)
            if edit is None or not edit.is_removed:
                found.append((file, edit, await self._rewritten(file, edit)))
        return sorted(found, key=_place)

    async def _rewritten(self, file: File, edit: Edit | None) -> bytes | None:
        if edit is None or edit.content is None:
            return None
        if not file.is_text or file.size > self._page_bytes:
            return edit.text  # no form has shown it, so there are no ends of lines to keep
        original = await self._reading.content(file)
        content = await asyncio.to_thread(newlines.restored, original, edit.text)
        return None if content == original else content


def _place(outcome: Outcome) -> tuple[int, int]:
    """Where a file goes: what moves up before the one whose place it takes, what moves down behind it."""
    file, edit, _ = outcome
    number = file.position + 1
    wished = edit.place if edit is not None and edit.place is not None else number
    return wished, (wished > number) - (wished < number)


def problems_of(edits: Sequence[Edit]) -> list[Problem]:
    """What is wrong with names and syntaxes, by the fields of the form."""
    found: list[Problem] = []
    for edit in edits:
        key = edit.number or "new"
        if edit.name and not edit.is_removed:
            found += intake.name_problems(edit.name, f"name-{key}")
        if edit.syntax and not edit.is_removed and syntaxes.find(edit.syntax) is None:
            found.append(Problem(f"syntax-{key}", "is not known; /api/v1/syntaxes lists what is"))
    return found


def named(files: Sequence[File]) -> tuple[File, ...]:
    """In their order, each with a name where there are several."""
    if len(files) > 1:
        files = [replace(file, name=file.name or f"file-{place}") for place, file in enumerate(files, 1)]
    return arranged(files)


def _renamed(file: File, edit: Edit | None) -> File:
    """With the name and syntax that are wished for; without a syntax the name is asked for one."""
    if edit is None or problems_of([edit]):
        return file
    name = edit.name or None
    syntax = syntaxes.find(edit.syntax) if edit.syntax else None
    if syntax is None and file.is_text:
        syntax = syntaxes.guess(name, (file.body or b"")[: syntaxes.HEAD_BYTES])
    return replace(file, name=name, syntax=syntax.name if syntax else None)


async def _added(content: bytes, edit: Edit, taken: Intake) -> File:
    """Into the intake; a name or syntax that is refused anyway is left out."""
    is_right = not problems_of([edit])
    name = edit.name or None if is_right else None
    syntax = syntaxes.find(edit.syntax) if edit.syntax and is_right else None
    chosen = syntax.name if syntax else None
    if not taken.add_whole(content, name=name, syntax=chosen):
        await taken.add(_once(content), name=name, syntax=chosen)
    return taken.files[-1]


def _shape(file: File) -> tuple[str | None, str | None, bytes]:
    return file.name, file.syntax, file.sha256


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
