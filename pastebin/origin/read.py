"""The role `read`: pastes as bytes and as JSON, and what this instance allows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property

from aiohttp import web

from pastebin.http import payloads, views
from pastebin.http.addresses import Addresses, raw_path
from pastebin.http.offer import Offer
from pastebin.http.payloads import ReadQuery
from pastebin.models import Paste
from pastebin.origin import openapi, tokens
from pastebin.origin.raw import SECURITY_HEADERS, RawAnswers, choose
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services import syntaxes
from pastebin.services.intake import NAME_BYTES
from pastebin.services.publishing import TITLE_CHARACTERS
from pastebin.services.reading import Reading


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Serve pastes as raw bytes and metadata."""
    config = resources.config
    raw = RawAnswers(resources.reading, config.doors.body_idle_seconds)
    handlers = ReadHandlers(resources.reading, raw, resources.addresses, config.limits)
    yield Offer(
        [
            web.get("/raw/{slug}", handlers.raw),
            web.get("/{slug}/raw", handlers.raw),
            web.get("/{slug}/raw/{name:[^/]+}", handlers.raw),
            web.get("/api/v1/pastes/{slug}", handlers.show),
            web.get("/api/v1/limits", handlers.limits),
            web.get("/api/v1/syntaxes", handlers.syntaxes),
            web.get("/api/v1/openapi.json", handlers.openapi),
        ]
    )


class ReadHandlers:
    """GET and HEAD; nothing here changes anything."""

    def __init__(self, reading: Reading, raw: RawAnswers, addresses: Addresses, limits: LimitsSection) -> None:
        self._reading = reading
        self._raw = raw
        self._addresses = addresses
        self._limits = limits

    async def raw(self, request: web.Request) -> web.StreamResponse:
        slug = request.match_info["slug"]
        name = request.match_info.get("name", request.query.get("name"))
        paste = await self._reading.open(slug, tokens.presented(request), bodies="sole", body_of=name)
        if name is None and len(paste.files) > 1:
            return raw_list(paste, self._addresses.base(request))
        return await self._raw.answer(request, paste, choose(paste, name))

    async def show(self, request: web.Request) -> web.Response:
        query = payloads.read(ReadQuery, dict(request.query), strict=False)
        slug, token = request.match_info["slug"], tokens.bearer(request)
        base = self._addresses.base(request)
        if not query.content:
            return json_answer(views.paste_view(await self._reading.find(slug, token), base))
        paste = await self._reading.open(slug, token, bodies="all")
        return json_answer(views.paste_view(paste, base, await self._contents(paste)))

    async def _contents(self, paste: Paste) -> dict[int, bytes]:
        """The content of the files that fit, in order, into what one answer may hold."""
        contents: dict[int, bytes] = {}
        room = self._limits.page_bytes
        for file in paste.files:
            if file.size <= room:
                contents[file.position] = await self._reading.content(file)
                room -= file.size
        return contents

    async def limits(self, _request: web.Request) -> web.Response:
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
        return json_answer(view, cache="public, max-age=300")

    async def syntaxes(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._syntaxes, content_type="application/json", headers=_headers("public, max-age=3600")
        )

    @cached_property
    def _syntaxes(self) -> bytes:
        return views.encode(
            [
                views.SyntaxView(
                    name=syntax.name,
                    label=syntax.label,
                    aliases=list(syntax.aliases),
                    patterns=list(syntax.patterns),
                )
                for syntax in syntaxes.ALL
            ]
        )

    async def openapi(self, request: web.Request) -> web.Response:
        body = openapi.document(self._addresses.base(request))
        return web.Response(body=body, content_type="application/json", headers=_headers("public, max-age=300"))


def raw_list(paste: Paste, base: str, *, vary: str | None = None) -> web.Response:
    """What a plain client gets for a paste with several files: where each of them is. `vary` as in RawAnswers."""
    lines = "".join(f"{base}{raw_path(paste, file)}\n" for file in paste.files)
    headers = {
        **SECURITY_HEADERS,
        "Cache-Control": "private, no-store" if paste.visibility == "private" else "no-cache",
    }
    if vary:
        headers["Vary"] = vary
    return web.Response(text=lines, headers=headers)


def json_answer(
    view: object, *, status: int = 200, cache: str = "no-store", headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=views.encode(view),
        content_type="application/json",
        headers={**_headers(cache), **(headers or {})},
    )


def _headers(cache: str) -> dict[str, str]:
    return {"Cache-Control": cache, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
