"""The list of my pastes: shown, exported, imported, each opened and managed from there. It takes neither account nor
script.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from aiohttp import hdrs, web
from msgspec import Meta

from pastebin.errors import InvalidPaste, PasteNotFound, PasteTakenDown, Problem
from pastebin.http import asking, bodies, caching, payloads
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.pages import SCRIPTED, Pages, html_response
from pastebin.http.payloads import Payload
from pastebin.models import Paste
from pastebin.origin import keeping, tokens
from pastebin.origin.keeping import Kept
from pastebin.resources import Resources
from pastebin.services.publishing import Publishing
from pastebin.services.reading import Reading

_FORM_BYTES = 64 * 1024
_LIST_BYTES = 2 * 1024**2
_AT_ONCE = 16
ROWS = 50


class KeptPayload(Payload, frozen=True):
    """One paste that a browser keeps the token of."""

    slug: str
    token: str


class RowsPayload(Payload, frozen=True):
    """The pastes that a browser wants to see as rows of the list."""

    pastes: Annotated[list[KeptPayload], Meta(max_length=ROWS)]


@dataclass(frozen=True, slots=True)
class Row:
    """One paste of the list; `paste` is None where it is over, or the token is not its own."""

    kept: Kept
    paste: Paste | None


class MineHandlers:
    """Everything here is for one browser only, and by the tokens it brings: nothing is told to who lacks them."""

    def __init__(
        self, reading: Reading, publishing: Publishing, pages: Pages, addresses: Addresses, idle_seconds: float
    ) -> None:
        self._reading = reading
        self._publishing = publishing
        self._pages = pages
        self._addresses = addresses
        self._idle_seconds = idle_seconds

    @classmethod
    def of(cls, resources: Resources) -> MineHandlers:
        """With what a node has."""
        idle = resources.config.doors.body_idle_seconds
        return cls(resources.reading, resources.publishing, resources.pages, resources.addresses, idle)

    def pages(self) -> Routes:
        """What is asked for by GET."""
        return [web.get(keeping.PATH, self.show), web.get(f"{keeping.PATH}/export", self.export)]

    def forms(self) -> Routes:
        """What is posted, but for new pastes."""
        return [
            web.post(f"{keeping.PATH}/open", self.open),
            web.post(f"{keeping.PATH}/delete", self.delete),
            web.post(f"{keeping.PATH}/forget", self.forget),
            web.post(f"{keeping.PATH}/import", self.take),
            web.post(f"{keeping.PATH}/rows", self.rows),
        ]

    async def show(self, request: web.Request) -> web.Response:
        base = self._addresses.base(request)
        rows = await self._rows(keeping.remembered(request))
        taken, foreign = _count(request.query.get("taken")), _count(request.query.get("foreign"))
        context = {"rows": rows, "taken": taken, "foreign": foreign, "problems": [], "site_url": base}
        return self._page("mine.html", context)

    async def export(self, request: web.Request) -> web.Response:
        """The list as a file; of what is over there is nothing to be kept."""
        rows = await self._rows(keeping.remembered(request))
        body = keeping.exported(
            [(row.paste, row.kept.token) for row in rows if row.paste], self._addresses.base(request)
        )
        headers = {
            **caching.secret(),
            hdrs.CONTENT_TYPE: "application/jsonl",
            hdrs.CONTENT_DISPOSITION: "attachment; filename=pastes.jsonl",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(body=body, headers=headers)

    async def open(self, request: web.Request) -> web.Response:
        """Lead to a paste's own page, or to where it is managed, with the token in its cookie again."""
        base = self._addresses.base(request)
        fields = await self._fields(request, base)
        slug, token = _named(request, fields)
        address = f"/{slug}" if fields.get("to") == "page" else f"/{slug}/manage"
        response = web.Response(status=303, headers={hdrs.LOCATION: address, hdrs.CACHE_CONTROL: "no-store"})
        tokens.remember(response, slug, token, secure=base.startswith("https:"))
        return response

    async def delete(self, request: web.Request) -> web.Response:
        """End a paste for everybody; also for browsers that keep no cookie for another address than this one."""
        base = self._addresses.base(request)
        fields = await self._fields(request, base)
        slug, token = _named(request, fields)
        if fields.get("confirm") != "yes":
            raise InvalidPaste([Problem("confirm", "please tick the box first")])
        await self._publishing.delete(slug, token)
        response = html_response(self._pages.render("deleted.html", slug=slug, site_url=base))
        kept = [one for one in keeping.remembered(request) if one.slug != slug]
        keeping.remember(response, kept, secure=base.startswith("https:"))
        tokens.forget(response, slug)
        return response

    async def forget(self, request: web.Request) -> web.Response:
        """Take one paste off the list, or all that are over. They themselves stay as they are."""
        base = self._addresses.base(request)
        fields = await self._fields(request, base)
        kept = keeping.remembered(request)
        if fields.get("which") == "over":
            kept = [row.kept for row in await self._rows(kept) if row.paste]
        else:
            kept = [one for one in kept if one.slug != fields.get("slug")]
        return self._changed(kept, base, "")

    async def take(self, request: web.Request) -> web.Response:
        """Import a list. What it names comes before what was there, and the newest of it fits into the cookie."""
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        if request.content_type != "multipart/form-data":
            raise InvalidPaste([Problem("list", "must be sent as a file")])
        content = b""
        form = bodies.Form(request, self._idle_seconds, max_files=1)
        async for file in form.files():
            async for chunk in file.chunks:
                content += chunk
                if len(content) > _LIST_BYTES:
                    raise InvalidPaste([Problem("list", f"must be at most {_LIST_BYTES} bytes")])
        newer, foreign = keeping.imported(content, base)
        if not newer:
            rows = await self._rows(keeping.remembered(request))
            problems = [Problem("list", "names no paste of this site")]
            context = {"rows": rows, "taken": None, "foreign": None, "problems": problems, "site_url": base}
            return self._page("mine.html", context, 422)
        kept = keeping.added(keeping.remembered(request), newer)
        fitting = keeping.parse(keeping.written(kept))
        taken = len({one.slug for one in fitting} & {one.slug for one in newer})
        return self._changed(fitting, base, f"?taken={taken}&foreign={foreign}")

    async def rows(self, request: web.Request) -> web.Response:
        """Rows of the list as HTML, for pastes that only the browser's own storage knows."""
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        body = await bodies.whole(request, _FORM_BYTES, self._idle_seconds)
        asked = payloads.read(RowsPayload, payloads.parse_json(body)).pastes
        kept = [Kept(one.slug, one.token) for one in asked if keeping.is_kept(one.slug, one.token)]
        return self._page("mine_rows.html", {"rows": await self._rows(kept), "has_token": True, "site_url": base})

    async def _rows(self, kept: Sequence[Kept]) -> list[Row]:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def row(one: Kept) -> Row:
            async with turns:
                try:
                    paste = await self._reading.find(one.slug, one.token)
                except (PasteNotFound, PasteTakenDown):
                    return Row(one, None)
            return Row(one, paste if tokens.is_of(paste, one.token) else None)

        return list(await asyncio.gather(*(row(one) for one in kept)))

    async def _fields(self, request: web.Request, base: str) -> dict[str, str]:
        asking.check_same_site(request, base)
        return bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))

    def _page(self, template: str, context: Mapping[str, object], status: int = 200) -> web.Response:
        headers = {**caching.secret(), "Content-Security-Policy": SCRIPTED}
        return html_response(self._pages.render(template, **context), status, headers)

    def _changed(self, kept: Sequence[Kept], base: str, query: str) -> web.Response:
        headers = {hdrs.LOCATION: f"{keeping.PATH}{query}", hdrs.CACHE_CONTROL: "no-store"}
        response = web.Response(status=303, headers=headers)
        keeping.remember(response, kept, secure=base.startswith("https:"))
        return response


def _named(request: web.Request, fields: Mapping[str, str]) -> Kept:
    """The paste that a row of the list is about, with the token that it brings, or else the list has."""
    slug = fields.get("slug", "")
    known = {one.slug: one.token for one in keeping.remembered(request)}
    token = fields.get("token") or known.get(slug, "")
    if not keeping.is_kept(slug, token):
        raise PasteNotFound
    return Kept(slug, token)


def _count(text: str | None) -> int | None:
    """A number out of the address of the page, which anybody may have written."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 6 else None
