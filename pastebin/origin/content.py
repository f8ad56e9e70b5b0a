"""The content of a create or a change: three kinds of body, one stream into the intake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from aiohttp import web

from pastebin.errors import InvalidPaste, Overloaded, Problem
from pastebin.http import bodies, payloads
from pastebin.http.payloads import CreatePaste, Part, PasteChanges, PasteOptions, RevisePaste
from pastebin.http.short import Short
from pastebin.models import NO_OPTIONS, Options
from pastebin.origin.create_form import Typed
from pastebin.origin.refusals import Place
from pastebin.phrases import Phrase
from pastebin.sections import LimitsSection
from pastebin.services.intake import Intake

# JSON has to be in memory as a whole, several times over while it is taken apart: only so many large bodies at a time.
_LARGE_AT_ONCE = 3
_TURN_SECONDS = 5.0
# from here on a body is taken apart in a thread: the most that is worth holding up everybody else for
_INLINE_BYTES = 16 * 1024

_BODY = web.RequestKey("body", bytes)

Kind = type[CreatePaste | RevisePaste]
# What a form or a query can ask for, where JSON has that Struct.
_OPTIONS: dict[Kind, type[PasteChanges]] = {CreatePaste: PasteOptions, RevisePaste: PasteChanges}


class ContentReader:
    """Reads a request into an intake and returns the options that came with it."""

    def __init__(self, limits: LimitsSection, idle_seconds: float) -> None:
        self._limits = limits
        self._idle_seconds = idle_seconds
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def read(
        self,
        request: web.Request,
        taken: Intake,
        *,
        struct: Kind = CreatePaste,
        name: str | None = None,
        typed: Typed | None = None,
    ) -> Options:
        """Take body and options; `name` is the file name that the path gave, `typed` gets what a form was filled with.

        Raises UnreadableRequest, UnsupportedMedia, PasteTooLarge, UploadTooSlow, InvalidPaste, StorageFull,
        Overloaded.
        """
        bodies.check_length(request, self._limits)
        key = request.headers.get("Idempotency-Key")
        if request.content_type == "application/json":
            return await self._read_json(request, taken, struct, key)
        if request.content_type == "multipart/form-data":
            return await self._read_form(request, taken, struct, key, typed or Typed(0))
        return await self._read_raw(request, taken, struct, key, name)

    def read_short(self, request: Short, taken: Intake) -> Options | None:
        """The same for a request of the short road with one file; None for what takes the full one.

        Raises UnreadableRequest, PasteTooLarge, InvalidPaste.
        """
        kind, size = request.media_type, len(request.body)
        if size > self._limits.max_paste_bytes or kind == "multipart/form-data":
            return None
        if kind != "application/json":
            return NO_OPTIONS if taken.add_whole(request.body, name=None) else None
        if size > min(_INLINE_BYTES, self._limits.max_json_bytes):
            return None
        options, parts = self._take_apart(request.body, CreatePaste, None)
        _watch(taken, options)
        if len(parts) != 1 or not taken.add_whole(parts[0].content, name=parts[0].name, syntax=parts[0].syntax):
            return None
        return options

    async def _read_json(self, request: web.Request, taken: Intake, struct: Kind, key: str | None) -> Options:
        _no_query(request)
        async with self.whole(request) as body:
            if len(body) > _INLINE_BYTES:
                options, parts = await asyncio.to_thread(self._take_apart, body, struct, key)
            else:
                options, parts = self._take_apart(body, struct, key)
            _watch(taken, options)
            for part in parts:
                if not taken.add_whole(part.content, name=part.name, syntax=part.syntax):
                    await taken.add(_once(part.content), name=part.name, syntax=part.syntax)
            return options

    @asynccontextmanager
    async def whole(self, request: web.Request) -> AsyncIterator[bytes]:
        """A body of JSON, and a turn to take it apart; inside of the block it can be had again.

        Raises PasteTooLarge, UnsupportedMedia, UploadTooSlow, Overloaded.
        """
        if _BODY in request:
            yield request[_BODY]
            return
        bodies.check_length(request, self._limits)
        async with AsyncExitStack() as turn:

            async def wait() -> None:
                try:
                    async with asyncio.timeout(_TURN_SECONDS):
                        await turn.enter_async_context(self._large)
                except TimeoutError:
                    raise Overloaded("Too many large JSON bodies are on their way; try again shortly.") from None

            body = await bodies.whole(request, self._limits.max_json_bytes, self._idle_seconds, on_large=wait)
            request[_BODY] = body
            yield body

    def _take_apart(self, body: bytes, struct: Kind, key: str | None) -> tuple[Options, list[Part]]:
        data = payloads.parse_json(body)
        files = data.get("files")
        if isinstance(files, list) and len(files) > self._limits.max_files:
            raise InvalidPaste(
                [Problem("files", Phrase("a paste has at most %(num)s files", num=self._limits.max_files))]
            )
        payload, problems = payloads.read_all(struct, payloads.known(struct, data))
        parts, more = payloads.parts_of(payload)
        return payloads.to_options(payload, frozenset(data), key, (*problems, *more)), parts

    async def _read_form(
        self, request: web.Request, taken: Intake, struct: Kind, key: str | None, typed: Typed
    ) -> Options:
        _no_query(request)
        form = bodies.Form(request, self._idle_seconds, typed.fields, self._limits.max_files)
        taken.scanners = []  # what is asked may stand behind the files
        parts: set[str] = set()
        async for file in form.files():
            parts.add(file.field)
            typed.places.append(Place(file.field, file.name, file.is_typed))
            chunks = typed.noting(file.field, file.chunks) if file.is_typed else file.chunks
            await taken.add(chunks, name=file.name, syntax=file.syntax)
        return payloads.text_options(typed.options(parts), key, _OPTIONS[struct])

    async def _read_raw(
        self, request: web.Request, taken: Intake, struct: Kind, key: str | None, name: str | None
    ) -> Options:
        options = payloads.text_options(query_fields(request), key, _OPTIONS[struct])
        if options.name is None and name is not None:
            options = replace(options, name=name)
        _watch(taken, options)
        chunks = bodies.chunks(request, self._idle_seconds)
        if (content := bodies.arrived(request)) is not None:
            if taken.add_whole(content, name=options.name):
                return options
            chunks = _once(content)
        await taken.add(chunks, name=options.name)
        return options


def _watch(taken: Intake, options: Options) -> None:
    if options.rejects_credentials:
        taken.scanners = []


def query_fields(request: web.Request) -> dict[str, str]:
    """The fields of the query; a flag that is only named is raised. Raises InvalidPaste."""
    if not (raw := request.rel_url.raw_query_string):
        return {}
    if broken := payloads.broken_query(raw):
        raise InvalidPaste(broken)
    query = request.query
    fields = dict(query)
    if len(fields) != len(query):
        raise InvalidPaste([Problem(field, "is given twice") for field in fields if len(query.getall(field)) > 1])
    return {name: value or ("true" if name in payloads.FLAGS else "") for name, value in fields.items()}


def _no_query(request: web.Request) -> None:
    if request.rel_url.raw_query_string and request.query:
        raise InvalidPaste(
            [Problem(field, "belongs into the body of this request, not into the query") for field in request.query]
        )


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
