"""The form that edits or forks a paste: what stands in it, and what comes back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from pastebin.errors import InvalidPaste, Overloaded, PasteTooLarge, Problem, UnreadableRequest
from pastebin.http import bodies
from pastebin.models import File
from pastebin.sections import LimitsSection
from pastebin.services import newlines
from pastebin.services.editing import Edit
from pastebin.services.intake import Intake
from pastebin.services.reading import Reading

FILES = 20  # of one page
NEW = "new"  # the key of a file that is not there yet; more of them are `new2` and so on
_FIELDS = 200
_TEXTS = 2  # together the texts of a page are so many times as large as a single file that a page shows
_TURN_SECONDS = 5.0
_AT_ONCE = 3  # forms that are larger than bodies.LARGE_BYTES
_OF_FILE = re.compile(r"(name|syntax|content|remove|place)-([1-9][0-9]{0,4}|new[0-9]{0,4})")

# Why a file has no text area.
Obstacle = Literal["binary", "large", "encoding"]
# Called before a chosen file is taken; False: it is passed over.
MayUpload = Callable[["Typed"], Awaitable[bool]]


@dataclass(slots=True)
class EditedFile:
    """One file of the form. `content` is None where it stays; `theirs` is what somebody else made of it meanwhile,
    `place` the number that it is to have instead of its own.
    """

    key: str
    name: str = ""
    syntax: str = ""
    content: str | None = None
    is_removed: bool = False
    size: int = 0
    obstacle: Obstacle | None = None
    theirs: str | None = None
    place: int | None = None

    @property
    def is_new(self) -> bool:
        return self.key.startswith(NEW)


@dataclass(slots=True)
class Typed:
    """What the form was filled in with; the files by their keys, which are the numbers they had, from 1 on, or NEW.

    `uploads_count` is how many files were chosen; their content is in the intake if they were taken.
    """

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, EditedFile] = field(default_factory=dict)
    uploads_count: int = 0

    @property
    def base(self) -> str:
        """Revision and version of the paste that the page was made of."""
        return self.fields.get("base", "")


class _Parts(bodies.Form):
    """The parts of a form in the order in which they come."""

    async def each(self) -> AsyncIterator[tuple[str, str | None, AsyncIterator[bytes]]]:
        """Name, file name and content, which must be used up before the next part."""
        async for part in self._parts():
            yield part.name or "", part.filename, self._content(part)


class EditForms:
    """Reads forms, only so many large ones at a time."""

    def __init__(self, limits: LimitsSection, idle_seconds: float) -> None:
        self._limits = limits
        self._idle_seconds = idle_seconds
        self._most_bytes = limits.page_bytes * _TEXTS + _FIELDS * bodies.FIELD_BYTES
        self._large = asyncio.Semaphore(_AT_ONCE)

    async def read(
        self, request: web.Request, typed: Typed, taken: Intake, may_upload: MayUpload, turn: AsyncExitStack
    ) -> None:
        """Fill `typed`; files that were chosen go into `taken`. `turn` ends when nobody needs what was typed any more.

        Raises UnreadableRequest, UploadTooSlow, PasteTooLarge, InvalidPaste, Overloaded.
        """
        bodies.check_length(request, self._limits)
        if request.content_type != "multipart/form-data":
            raise UnreadableRequest("This form is sent as multipart/form-data.")
        size = 0
        is_large = False
        parts = _Parts(request, self._idle_seconds, max_files=self._limits.max_files + _FIELDS)
        async for name, filename, content in parts.each():
            if filename is not None:
                await self._upload(filename, content, typed, taken, may_upload)
                continue
            value = bytearray()
            async for chunk in content:
                value += chunk
                size += len(chunk)
                if size > self._most_bytes:
                    raise PasteTooLarge(f"Texts of a form hold at most {self._most_bytes} bytes together.")
                if size > bodies.LARGE_BYTES and not is_large:
                    is_large = True
                    await self._wait(turn)
            self._note(typed, name, value)
            if len(typed.fields) + 4 * len(typed.files) > 4 * _FIELDS:
                raise InvalidPaste([Problem("", "the form has too many fields")])

    async def _upload(
        self, filename: str, content: AsyncIterator[bytes], typed: Typed, taken: Intake, may_upload: MayUpload
    ) -> None:
        """Browsers send an empty part where no file was chosen."""
        first = await anext(content, b"")
        if not filename and not first:
            return
        typed.uploads_count += 1
        if await may_upload(typed):
            await taken.add(_joined(first, content), name=filename or None)
            return
        async for _ in content:
            pass

    async def _wait(self, turn: AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await turn.enter_async_context(self._large)
        except TimeoutError:
            raise Overloaded("Too many large forms are on their way; try again shortly.") from None

    def _note(self, typed: Typed, name: str, value: bytearray) -> None:
        text = value.decode("utf-8", "replace")
        found = _OF_FILE.fullmatch(name)
        if found is None:
            typed.fields[name] = text[: bodies.FIELD_BYTES]
            return
        file = typed.files.setdefault(found[2], EditedFile(found[2]))
        match found[1]:
            case "name":
                file.name = text[: bodies.FIELD_BYTES]
            case "syntax":
                file.syntax = text[: bodies.FIELD_BYTES].strip()
            case "content":
                file.content = text.replace("\r\n", "\n")
            case "remove":
                file.is_removed = True
            case "place":
                is_number = text.isascii() and text.isdigit() and len(text) < 6
                file.place = int(text) if is_number and text != file.key else None


async def rows(files: Sequence[File], first: int, reading: Reading, limits: LimitsSection) -> list[EditedFile]:
    """Up to FILES of the files of a paste, from the one with the number `first` on, as the form shows them.

    A file is shown where its text fits and would come back as it is.
    """
    shown = []
    room = limits.page_bytes * _TEXTS
    for file in files[first - 1 : first - 1 + FILES]:
        row = EditedFile(str(file.position + 1), file.name or "", file.syntax or "", size=file.size)
        if not file.is_text:
            row.obstacle = "binary"
        elif file.size > min(limits.page_bytes, room):
            row.obstacle = "large"
        else:
            content = await reading.content(file)
            if newlines.is_editable(content):
                row.content = newlines.shown(content)
                room -= file.size
            else:
                row.obstacle = "encoding"
        shown.append(row)
    return shown


def again(files: Sequence[File], typed: Typed) -> list[EditedFile]:
    """The rows of a form that is shown once more, with everything that was typed; an empty new file is none."""
    known = {str(file.position + 1): file for file in files}
    for key, row in typed.files.items():
        if (file := known.get(key)) is not None:
            row.size = file.size
            row.obstacle = "binary" if row.content is None else None
    return [row for row in typed.files.values() if not row.is_new or row.name or row.content]


def edits(typed: Typed) -> list[Edit]:
    """What is wished for, in the words of the service."""
    return [
        Edit(
            number=None if row.is_new else int(row.key),
            name=row.name,
            syntax=row.syntax,
            content=row.content,
            is_removed=row.is_removed,
            place=row.place,
        )
        for row in typed.files.values()
    ]


def fresh_key(rows: Sequence[EditedFile]) -> str:
    """Of one more new file."""
    number = sum(row.is_new for row in rows) + 1
    return NEW if number == 1 else f"{NEW}{number}"


def window(text: str, files_count: int) -> int:
    """The number of the first file that a page shows, as its query gives it."""
    first = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 1
    return first if 1 <= first <= files_count else 1


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk
