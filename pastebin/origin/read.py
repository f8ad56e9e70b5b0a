"""The role `read`: pastes as bytes and as JSON, and what this instance allows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property

from aiohttp import web

from pastebin import __version__
from pastebin.http import asking, caching, payloads, representations, views
from pastebin.http.addresses import Addresses
from pastebin.http.offer import Offer
from pastebin.http.payloads import ReadQuery
from pastebin.http.representations import Representations
from pastebin.models import Paste
from pastebin.origin import heat, live, openapi, tokens
from pastebin.origin.live import LiveReader
from pastebin.origin.members import MemberHandlers
from pastebin.origin.raw import RawAnswers, choose
from pastebin.origin.revisions import RevisionHandlers
from pastebin.origin.search import SearchHandlers
from pastebin.origin.stats import StatsHandlers
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services import syntaxes
from pastebin.services.intake import NAME_BYTES
from pastebin.services.reading import Reading
from pastebin.services.warming import Warming
from pastebin.services.wishes import TITLE_CHARACTERS

JSON_HEADERS = {
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Serve pastes as raw bytes and metadata."""
    config = resources.config
    raw = RawAnswers(resources.reading, resources.lines, resources.representations, config.doors.body_idle_seconds)
    async with live.reading(resources) as growing:
        handlers = ReadHandlers(
            resources.reading,
            raw,
            growing,
            resources.representations,
            resources.addresses,
            config.limits,
            resources.warming,
        )
        yield Offer(
            [
                web.get("/raw/{slug}", handlers.raw),
                web.get("/{slug}/raw", handlers.raw),
                web.get("/{slug}/raw/{name:[^/]+}", handlers.raw),
                *MemberHandlers(resources.reading, config.doors.body_idle_seconds).routes(),
                *growing.routes(),
                web.get("/api/v1/pastes/{slug}", handlers.show),
                *SearchHandlers(resources.reading, resources.searching).routes(),
                *StatsHandlers(resources.reading, resources.statistics).routes(),
                *RevisionHandlers.of(resources, raw, JSON_HEADERS).routes(),
                web.get("/api/v1/limits", handlers.limits),
                web.get("/api/v1/syntaxes", handlers.syntaxes),
                web.get("/api/v1/openapi.json", handlers.openapi),
            ]
        )


class ReadHandlers:
    """GET and HEAD; nothing here changes anything."""

    def __init__(
        self,
        reading: Reading,
        raw: RawAnswers,
        live: LiveReader,
        made: Representations,
        addresses: Addresses,
        limits: LimitsSection,
        warming: Warming,
    ) -> None:
        self._reading = reading
        self._raw = raw
        self._live = live
        self._representations = made
        self._addresses = addresses
        self._limits = limits
        self._warming = warming

    async def raw(self, request: web.Request) -> web.StreamResponse:
        slug = request.match_info["slug"]
        name = request.match_info.get("name", request.query.get("name"))
        paste = await self._reading.open(slug, tokens.presented(request), bodies="sole", body_of=name)
        heat.note(self._warming, request, paste)
        if paste.is_growing:
            return await self._live.raw(request, paste)
        if name is None and len(paste.files) > 1:
            return await self._raw.answer_list(request, paste, self._addresses.base(request))
        return await self._raw.answer(request, paste, choose(paste, name))

    async def show(self, request: web.Request) -> web.Response:
        query = payloads.read(ReadQuery, dict(request.query), strict=False)
        slug, token = request.match_info["slug"], asking.bearer(request)
        base = self._addresses.base(request)
        if query.content:
            paste = await self._reading.open(slug, token, bodies="all")
        else:
            paste = await self._reading.find(slug, token)
        headers = {
            **JSON_HEADERS,
            **caching.of_paste(paste, is_personal=tokens.brings_token(request), now=time.monotonic()),
        }
        is_veiled = tokens.is_veiled(paste, token)
        etag = self._etag(paste, base, with_content=query.content, is_veiled=is_veiled)
        if not query.content:
            body = views.encode(views.paste_view(paste, base, is_veiled=is_veiled))
            return await self._representations.answer(request, body, headers, etag=etag)
        variant = self._representations.variant(request, headers)
        headers |= representations.described(variant, etag, None, ())
        if (known := representations.unchanged(request, headers)) is not None:
            return known
        body = views.encode(views.paste_view(paste, base, await self._contents(paste)))
        return await self._representations.send(body, headers, variant)

    def _etag(self, paste: Paste, base: str, *, with_content: bool, is_veiled: bool) -> str:
        """Changes with everything in the answer. In front stands what If-Match of a PATCH understands."""
        room = self._limits.page_bytes if with_content else None
        shown = (paste.id, paste.reads, base, room, is_veiled, __version__)
        digest = hashlib.sha256(repr(shown).encode()).hexdigest()[:16]
        return f'"{paste.revision}.{paste.version}.{digest}"'

    async def _contents(self, paste: Paste) -> dict[int, bytes]:
        """The content of the files that fit, in order, into what one answer may hold."""
        contents: dict[int, bytes] = {}
        room = self._limits.page_bytes
        for file in paste.files:
            if file.size <= room:
                contents[file.position] = await self._reading.content(file)
                room -= file.size
        return contents

    async def limits(self, request: web.Request) -> web.Response:
        limits = self._limits
        view = views.LimitsView(
            max_paste_bytes=limits.max_paste_bytes,
            max_json_bytes=limits.max_json_bytes,
            max_files=limits.max_files,
            max_revisions=limits.max_revisions,
            max_lifetime_seconds=limits.max_lifetime_seconds,
            default_lifetime_seconds=limits.default_lifetime_seconds,
            max_name_bytes=NAME_BYTES,
            max_title_characters=TITLE_CHARACTERS,
            content_bytes=limits.page_bytes,
        )
        return await self._of_site(request, views.encode(view), 300)

    async def syntaxes(self, request: web.Request) -> web.Response:
        return await self._of_site(request, self._syntaxes, 3600)

    @cached_property
    def _syntaxes(self) -> bytes:
        return views.encode(
            [
                views.SyntaxView(
                    name=syntax.name,
                    label=syntax.label,
                    aliases=list(syntax.aliases),
                    patterns=syntaxes.claimed(syntax),
                )
                for syntax in syntaxes.ALL
            ]
        )

    async def openapi(self, request: web.Request) -> web.Response:
        return await self._of_site(request, openapi.document(self._addresses.base(request)), 300)

    async def _of_site(self, request: web.Request, body: bytes, seconds: int) -> web.Response:
        headers = {**JSON_HEADERS, **caching.of_site(seconds, browsers=f"public, max-age={seconds}")}
        etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        return await self._representations.answer(request, body, headers, etag=etag)


def json_answer(view: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """For what only the one who asked may see."""
    return web.Response(
        status=status,
        body=views.encode(view),
        headers={**JSON_HEADERS, **caching.secret(), **(headers or {})},
    )
