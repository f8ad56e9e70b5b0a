"""Request bodies as streams: with a deadline for every read, and refused early when their length says too much."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from pastebin.decoding import shortened
from pastebin.errors import (
    InvalidPaste,
    PasteTooLarge,
    Problem,
    UnreadableRequest,
    UnsupportedMedia,
    UploadTooSlow,
)
from pastebin.phrases import Phrase
from pastebin.sections import LimitsSection

FIELD_BYTES = 64 * 1024
LARGE_BYTES = 256 * 1024
LEAST_BYTES_PER_SECOND = 16 * 1024
MAX_FIELDS = 64
# how aiohttp's multipart reader says that the body is not what its head promises
_BROKEN_FORM = (ValueError, AssertionError, LookupError, RuntimeError, RequestPayloadError, HttpProcessingError)
# what aiohttp reads as lines: the head of a part and the boundaries, which have no business being longer
_LINES_PER_PART = 256
# with a number, a part has fields of its own: `content-2`, and before it `name-2` and `syntax-2`
_FILE_FIELD = re.compile(r"(content|f|file)(-[1-9][0-9]{0,4})?")
# what browsers do to the name of a file (HTML, 4.10.22.8)
_ESCAPED = {"%22": '"', "%0D": "\r", "%0A": "\n"}


async def chunks(request: web.Request, idle_seconds: float) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises UploadTooSlow when nothing came for `idle_seconds`, UnreadableRequest."""
    content = request.content
    while True:
        try:
            # a small body is here already, all of it: setting up deadlines would cost more than reading it
            if not (chunk := content.read_nowait()):
                if content.at_eof():
                    return
                async with asyncio.timeout(idle_seconds):
                    chunk = await content.readany()
        except TimeoutError:
            raise UploadTooSlow(f"Nothing arrived for {idle_seconds:g} seconds.") from None
        except RequestPayloadError as error:
            raise UnreadableRequest(f"The body could not be read: {error}") from None
        if not chunk:
            return
        yield chunk


def arrived(request: web.Request) -> bytes | None:
    """The body, if all of it is here already; reading it then takes neither deadlines nor waiting."""
    content = request.content
    if not content.is_eof() or content.exception() is not None:
        return None
    return content.read_nowait()


async def whole(
    request: web.Request, limit: int, idle_seconds: float, on_large: Callable[[], Awaitable[object]] | None = None
) -> bytes:
    """A body that has to be in memory. Raises PasteTooLarge past `limit` bytes.

    `on_large` is awaited once, when the body outgrows LARGE_BYTES: the place to wait for one's turn. From then on the
    body has to come at LEAST_BYTES_PER_SECOND on average, so that nobody keeps a turn. Raises UploadTooSlow.
    """
    if request.content.total_bytes <= min(limit, LARGE_BYTES) and (here := arrived(request)) is not None:
        return here
    body = bytearray()
    loop = asyncio.get_running_loop()
    since: float | None = None
    try:
        async with asyncio.timeout(None) as pace:
            async for chunk in chunks(request, idle_seconds):
                body += chunk
                if len(body) > limit:
                    raise _too_much_json(limit)
                if since is None and on_large is not None and len(body) > LARGE_BYTES:
                    await on_large()
                    since = loop.time()
                if since is not None:
                    pace.reschedule(since + len(body) / LEAST_BYTES_PER_SECOND)
    except TimeoutError:
        raise UploadTooSlow(f"Less than {LEAST_BYTES_PER_SECOND} bytes a second arrived.") from None
    return bytes(body)


def check_length(request: web.Request, limits: LimitsSection) -> None:
    """Refuse by Content-Length before a byte is read. Raises PasteTooLarge, UnsupportedMedia."""
    length = request.content_length or 0
    if length > limits.max_paste_bytes:
        raise PasteTooLarge(
            f"A paste holds at most {limits.max_paste_bytes} bytes here.", max_bytes=limits.max_paste_bytes
        )
    if request.content_type == "application/json" and length > limits.max_json_bytes:
        raise _too_much_json(limits.max_json_bytes)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("Send the body without Content-Encoding; it would be kept as it is.")


def _too_much_json(limit: int) -> PasteTooLarge:
    return PasteTooLarge(
        f"A JSON body holds at most {limit} bytes here; send the content itself, or a form.", max_bytes=limit
    )


@dataclass(slots=True)
class FormFile:
    """A file part; its `chunks` must be used up before the next part is asked for.

    `field` is the name of the part; `is_typed` tells what came as a field from what came as a file.
    """

    name: str | None
    chunks: AsyncIterator[bytes]
    field: str = ""
    syntax: str | None = None
    is_typed: bool = False


@dataclass(slots=True)
class Form:
    """A multipart body: `files()` streams the file parts, the fields beside them are complete when it has ended.

    It has at most MAX_FIELDS fields, and that many parts more than `max_files`: browsers send empty ones. A field
    `newlines` of `lf` before everything else says that it is filled in by hand, on a page of ours.
    """

    request: web.Request
    idle_seconds: float
    fields: dict[str, str] = field(default_factory=dict)
    max_files: int = 0

    async def files(self) -> AsyncIterator[FormFile]:
        """Every part with content. Raises UnreadableRequest, InvalidPaste, UploadTooSlow."""
        problems: list[Problem] = []
        async for part in self._parts():
            name = part.name or ""
            kind = _FILE_FIELD.fullmatch(name)
            if part.filename is None and kind is None:
                if name in self.fields:
                    problems.append(Problem(shortened(name), "is given twice"))
                self.fields[name] = await self._field(part, name)
                if len(self.fields) + len(problems) > MAX_FIELDS:
                    raise InvalidPaste([Problem("", Phrase("a form has at most %(num)s fields", num=MAX_FIELDS))])
                continue
            file = self._file(part, kind[2] if kind else None)
            # browsers send an empty part for an empty text area and for a file input nobody used
            first = await anext(file.chunks, b"")
            if not first and not part.filename and not (file.name and kind and kind[2]):
                continue
            file.chunks = _rejoined(first, file.chunks)
            yield file
        if problems:
            raise InvalidPaste(problems)

    def _file(self, part: BodyPartReader, number: str | None) -> FormFile:
        """A part with what the fields before it say: those of its number, else `name` of what was typed."""
        is_typed, is_ours = part.filename is None, self.fields.get("newlines") == "lf"
        content = self._content(part)
        if is_typed and is_ours:
            content = unix_newlines(content)
        name = part.filename
        if name and is_ours:
            for escape, character in _ESCAPED.items():
                name = name.replace(escape, character)
        syntax = None
        if number:
            name = self.fields.get(f"name{number}") or name
            syntax = self.fields.get(f"syntax{number}") or None
        elif is_typed:
            name = self.fields.get("name")
        return FormFile(name or None, content, part.name or "", syntax, is_typed)

    async def _parts(self) -> AsyncIterator[BodyPartReader]:
        most = self.max_files + MAX_FIELDS
        lines = _Lines(self.request.content)
        try:
            reader = MultipartReader(self.request.headers, cast(StreamReader, lines))
            for number in count():
                lines.left = _LINES_PER_PART
                # reading what has arrived already never waits, and so would let nobody else run
                await asyncio.sleep(0)
                async with asyncio.timeout(self.idle_seconds):
                    part = await reader.next()
                if part is None:
                    return
                if number >= most:
                    raise InvalidPaste([Problem("", Phrase("a form has at most %(num)s parts", num=most))])
                if isinstance(part, MultipartReader):
                    raise UnreadableRequest("A part of the form is a multipart itself, which is not read here.")
                yield part
        except TimeoutError:
            raise UploadTooSlow from None
        except _BROKEN_FORM as error:
            raise UnreadableRequest(f"The form could not be read: {_reason(error)}") from None

    async def _content(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self.idle_seconds):
                    chunk = await part.read_chunk(64 * 1024)
            except TimeoutError:
                raise UploadTooSlow(f"Nothing arrived for {self.idle_seconds:g} seconds.") from None
            except _BROKEN_FORM as error:
                raise UnreadableRequest(f"The form could not be read: {_reason(error)}") from None
            if chunk:
                yield bytes(chunk)
            if part.at_eof():
                return

    async def _field(self, part: BodyPartReader, name: str) -> str:
        value = bytearray()
        async for chunk in self._content(part):
            value += chunk
            if len(value) > FIELD_BYTES:
                raise InvalidPaste([Problem(shortened(name), Phrase("must be at most %(num)s bytes", num=FIELD_BYTES))])
        try:
            return codecs.decode(value, "utf-8")
        except UnicodeDecodeError:
            raise InvalidPaste([Problem(shortened(name), "must be UTF-8 text")]) from None


class _Lines:
    """The content of a form, of which only so many lines are `left` to be read as such."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self.left = _LINES_PER_PART

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise ValueError("too many lines before or between its parts")
        return await self._content.readline(max_line_length=max_line_length)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


def urlencoded(body: bytes) -> dict[str, str]:
    """The fields of a small `application/x-www-form-urlencoded` body. Raises UnreadableRequest, InvalidPaste."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise UnreadableRequest(f"The form could not be read: {error}") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidPaste([Problem("", "a field is given twice")])
    return fields


async def unix_newlines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Undo what browsers do to a text area: CR LF becomes LF, also where a chunk ends between the two."""
    held = b""
    async for chunk in chunks:
        text = (held + chunk).replace(b"\r\n", b"\n")
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)]
        if text:
            yield text
    if held:
        yield held


async def _rejoined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


def _reason(error: Exception) -> str:
    """What is wrong with a form; aiohttp would quote a header as Python writes it."""
    is_head = isinstance(error, HttpProcessingError)
    return "the head of a part holds what no header may, such as a control character" if is_head else str(error)
