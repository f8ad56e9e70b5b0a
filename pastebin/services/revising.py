"""Changes to a part of a paste: one file of it, an earlier revision as the new one. What is not changed is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pastebin.errors import InvalidPaste, PreconditionFailed, Problem
from pastebin.models import NO_OPTIONS, File, Paste, Purge
from pastebin.services.intake import Intake
from pastebin.services.publishing import Publishing
from pastebin.store.history import History


@dataclass(frozen=True, slots=True)
class Condition:
    """What the client believes to be there: a revision, or a digest of the file; `is_absent`: no such file."""

    revision: str | None = None
    sha256: bytes | None = None
    is_absent: bool = False


class Revising:
    """New revisions of which most is known already."""

    def __init__(self, publishing: Publishing, history: History) -> None:
        self._publishing = publishing
        self._history = history

    async def held(self, slug: str, token: str | None, name: str | None, taken: Intake) -> Paste:
        """The paste that `put` is going to change, before a body is taken: `taken` counts what stays.

        Raises TokenRequired, EditForbidden, PasteNotFound, PasteTooLarge.
        """
        paste = await self._publishing.authorise(slug, token)
        taken.hold(file for file in paste.files if file is not _place(paste.files, name))
        return paste

    async def put(
        self, slug: str, token: str | None, name: str | None, taken: Intake, condition: Condition
    ) -> tuple[Paste, Purge]:
        """Make the one file in `taken` the file called `name`, or the only one.

        A file that is there already, byte for byte, makes no new revision. Raises as `Publishing.revise` does, and
        PreconditionFailed.
        """

        async def arrange(paste: Paste) -> tuple[File, ...]:
            whole = await self._history.revision(paste, paste.revision)
            _check(_place(whole.files, name), condition)
            return put(whole.files, taken.files[0], name)

        return await self._publishing.revise(slug, token, taken, NO_OPTIONS, condition.revision, arrange)

    async def restore(
        self, slug: str, token: str | None, number: int, if_match: str | None = None
    ) -> tuple[Paste, Purge]:
        """Make an earlier revision the current one, as a new revision; the current one stays as it is.

        Raises as `Publishing.revise` does, and PasteNotFound if there is no such revision.
        """

        async def arrange(paste: Paste) -> tuple[File, ...]:
            earlier = await self._history.revision(paste, number)
            return () if number == paste.revision else earlier.files

        async with self._publishing.intake() as taken:
            return await self._publishing.revise(slug, token, taken, NO_OPTIONS, if_match, arrange)


def put(files: Sequence[File], new: File, name: str | None) -> tuple[File, ...]:
    """The files with the new one in the place of the one called `name`, or as the last; none where nothing changes.

    It keeps the syntax of the one before. Raises InvalidPaste where the name is needed to know which is meant.
    """
    before = _place(files, name)
    if before is None and name is None:
        raise InvalidPaste([Problem("name", "is needed: the paste has several files")])
    if before is None:
        named = [replace(file, name=file.name or f"file-{file.position + 1}") for file in files]
        return arranged([*named, replace(new, name=name)])
    if before.sha256 == new.sha256:
        return ()
    changed = replace(new, name=before.name, syntax=before.syntax or new.syntax)
    return arranged([changed if file is before else file for file in files])


def arranged(files: Sequence[File]) -> tuple[File, ...]:
    """Files in the order in which they stand."""
    return tuple(replace(file, position=position) for position, file in enumerate(files))


def _place(files: Sequence[File], name: str | None) -> File | None:
    if name is None:
        return files[0] if len(files) == 1 else None
    return next((file for file in files if file.name == name), None)


def _check(file: File | None, condition: Condition) -> None:
    if condition.is_absent and file is not None:
        raise PreconditionFailed("There is a file of this name already.")
    if condition.sha256 is not None and (file is None or file.sha256 != condition.sha256):
        raise PreconditionFailed("The file has changed since.")
