"""What is inside an encrypted paste: PrivateBin's JSON, with a member of ours for what it has no place for. Pure.

A first file that is text is PrivateBin's text, all others are its attachments. Title and the text's own name are in
the member `pastebin`, which its clients pass over.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from pastebin.cli.encrypted_cipher import MOST_BYTES, Damaged
from pastebin.cli.failures import UsageError

_DATA = re.compile(r"data:[^,]*?(;base64)?,", re.IGNORECASE)
TOO_LARGE = (
    f"too large to be encrypted: {MOST_BYTES // 1024**2} MiB at most, and files that are no text count a third more"
)


@dataclass(frozen=True, slots=True)
class PlainFile:
    """One file; the name is empty where it has none."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """What the author wrote."""

    files: Sequence[PlainFile]
    title: str = ""


def pack(message: Message) -> bytes:
    """Raises UsageError for what is too large."""
    text, attached = _text(message.files)
    more = {"title": message.title, "name": message.files[0].name if text is not None else ""}
    content: dict[str, Any] = {"paste": text or ""}
    urls = [f"data:application/octet-stream;base64,{base64.b64encode(file.content).decode()}" for file in attached]
    names = [file.name or f"file-{number}" for number, file in enumerate(attached, 1)]
    if len(urls) == 1:  # as every client understands it; several are known since PrivateBin 1.7.7
        content |= {"attachment": urls[0], "attachment_name": names[0]}
    elif urls:
        content |= {"attachment": urls, "attachment_name": names}
    if kept := {name: value for name, value in more.items() if value}:
        content["pastebin"] = kept
    packed = orjson.dumps(content)
    if len(packed) > MOST_BYTES:
        raise UsageError(TOO_LARGE)
    return packed


def unpack(content: bytes) -> Message:
    """Raises Damaged."""
    try:
        document = json.loads(content)
        more = document.get("pastebin") or {}
        text = document.get("paste") or ""
        urls, names = _listed(document.get("attachment")), _listed(document.get("attachment_name"))
        files = [PlainFile(_word(names, index), _content(url)) for index, url in enumerate(urls)]
        if text or not files:
            files.insert(0, PlainFile(_word([more.get("name")], 0), text.encode("utf-8", "replace")))
        return Message(files, _word([more.get("title")], 0))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Damaged from None


def _text(files: Sequence[PlainFile]) -> tuple[str | None, Sequence[PlainFile]]:
    """The first file as text, if it is, and what is left."""
    if not files:
        return None, files
    try:
        return files[0].content.decode(), files[1:]
    except UnicodeDecodeError:
        return None, files


def _content(url: str) -> bytes:
    """RFC 2397. Raises ValueError."""
    head = _DATA.match(url)
    if head is None:
        raise ValueError("no data URL")
    data = url[head.end() :]
    try:
        return base64.b64decode(data, validate=True) if head[1] else unquote_to_bytes(data)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _word(values: Sequence[Any], index: int) -> str:
    value = values[index] if index < len(values) else None
    return value if isinstance(value, str) else ""
