"""A paste was changed while its form was open: what was typed goes on from the version that is there now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from pastebin.models import File, Paste
from pastebin.origin.edit_form import EditedFile, Typed, fresh_key
from pastebin.services import newlines
from pastebin.services.comparing import pairs
from pastebin.services.editing import named
from pastebin.services.reading import Reading


class Conflicts:
    """Lays what was typed over what was saved: file by file, whoever has changed one alone wins."""

    def __init__(self, reading: Reading, page_bytes: int) -> None:
        self._reading = reading
        self._page_bytes = page_bytes

    async def rebase(self, typed: Typed, base: Paste, now: Paste) -> None:
        """Make `typed` of `base` one of `now`, both with inline bodies. A file that both have changed stays as typed.

        A file that only the others have removed is gone, unless it was typed into: then it is new.
        """
        followers = {old.position: new for old, new in pairs(base.files, now.files) if old is not None}
        rows: dict[str, EditedFile] = {}
        for key, row in typed.files.items():
            old = None if row.is_new else _at(base.files, int(key))
            if old is None:
                _add(rows, row, fresh_key(list(rows.values())))
                continue
            new = followers.get(old.position)
            is_typed = row.content is not None and row.content != await self._text(old)
            if new is None:
                if is_typed:
                    _add(rows, row, fresh_key(list(rows.values())))
                continue
            _add(rows, row, str(new.position + 1))
            await self._settle(row, old, new, is_typed=is_typed)
        typed.files = rows
        typed.fields["base"] = f"{now.revision}.{now.version}"

    async def mine(self, typed: Typed, now: Paste) -> Paste:
        """What saving `typed` would make of the paste as it is `now`, to be compared with it."""
        files: list[File] = []
        for file in now.files:
            row = typed.files.get(str(file.position + 1))
            if row is None:
                files.append(file)
            elif not row.is_removed:
                kept = row.content is None or row.content == await self._text(file)
                files.append(replace(file, name=row.name or None) if kept else _made(file, row))
        blank = File(0, None, "text/plain", None, 0, b"")
        files += [
            _made(blank, row) for row in typed.files.values() if row.is_new and row.content and not row.is_removed
        ]
        return replace(now, files=named(files))

    async def _settle(self, row: EditedFile, old: File, new: File, *, is_typed: bool) -> None:
        if row.name == (old.name or ""):
            row.name = new.name or ""
        if row.syntax == (old.syntax or ""):
            row.syntax = new.syntax or ""
        if row.content is None or old.sha256 == new.sha256:
            return
        theirs = await self._text(new)
        if not is_typed and not row.is_removed:
            row.content = theirs
        elif theirs != row.content:
            row.theirs = theirs

    async def _text(self, file: File) -> str | None:
        """What the form shows of it."""
        if not file.is_text or file.size > self._page_bytes:
            return None
        content = await self._reading.content(file)
        return newlines.shown(content) if newlines.is_editable(content) else None


def _at(files: Sequence[File], number: int) -> File | None:
    return files[number - 1] if 1 <= number <= len(files) else None


def _add(rows: dict[str, EditedFile], row: EditedFile, key: str) -> None:
    row.key = key
    rows[key] = row


def _made(file: File, row: EditedFile) -> File:
    body = (row.content or "").encode("utf-8", "replace")
    return replace(
        file,
        name=row.name or None,
        size=len(body),
        sha256=sha256(body).digest(),
        body=body,
        blob_key=None,
        media_type="text/plain",
    )
