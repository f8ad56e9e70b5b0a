"""The page of a paste, for whoever may see its content: a reader, or the one who has just revealed it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass

from aiohttp import web
from markupsafe import Markup

from pastebin.http.addresses import Addresses, raw_path
from pastebin.http.pages import SHOWN_IMAGES, PageFile, Pages, html_response
from pastebin.models import File, Paste
from pastebin.sections import LimitsSection
from pastebin.services import rendering, syntaxes
from pastebin.services.reading import Reading
from pastebin.services.rendering import Rendered, Rendering

# A page shows so much text in all; what comes after it has its links only.
_PAGE_FILES = 3
_LINES_ON_THE_LOOP = 10_000


@dataclass(frozen=True, slots=True)
class Shown:
    """One file's view, and whether it would look the same the next time."""

    view: PageFile
    stable: bool


class PastePage:
    """Renders a paste with the highlighting that is to be had in time."""

    def __init__(
        self,
        pages: Pages,
        rendering: Rendering,
        reading: Reading,
        limits: LimitsSection,
        addresses: Addresses,
    ) -> None:
        self._pages = pages
        self._rendering = rendering
        self._reading = reading
        self._limits = limits
        self._addresses = addresses

    async def answer(
        self, request: web.Request, paste: Paste, *, syntax: str | None = None, revealed: bool = False
    ) -> web.Response:
        """The page; a revealed one is never kept, and holds its downloads itself: a link would consume another read."""
        room = self._limits.page_bytes * _PAGE_FILES
        shown: list[Shown] = []
        for file in paste.files:
            one = await self._show(paste, file, syntax, room, revealed=revealed)
            if one.view.html is not None:
                room -= file.size
            shown.append(one)
        base = self._addresses.base(request)
        text = self._pages.render("paste.html", paste=paste, files=[one.view for one in shown], site_url=base)
        response = html_response(text, referrer_policy="no-referrer", cache_control=cache_control(paste, revealed))
        response.headers["Vary"] = "Accept"
        if not revealed and all(one.stable for one in shown):
            response.headers["ETag"] = self.etag(request, paste, syntax)
        return response

    def etag(self, request: web.Request, paste: Paste, syntax: str | None) -> str:
        """Changes with everything the page shows, and with the program that makes it."""
        of_paste = (
            paste.id,
            paste.revision,
            paste.revised_at,
            paste.title,
            paste.visibility,
            paste.expires_at,
            paste.parent,
        )
        of_page = (self._addresses.base(request), syntax, self._pages.version, rendering.RENDERER_VERSION)
        return f'W/"{hashlib.sha256(repr((of_paste, of_page)).encode()).hexdigest()[:24]}"'

    async def _show(self, paste: Paste, file: File, syntax: str | None, room: int, *, revealed: bool) -> Shown:
        chosen = syntaxes.find(syntax or file.syntax or "")
        is_image = file.media_type in SHOWN_IMAGES
        too_large = file.is_text and file.size > min(self._limits.page_bytes, room)
        if revealed:
            download_url = await self._inside(file) if too_large or not file.is_text else None
            raw_url = download_url if is_image else None
        else:
            raw_url = raw_path(paste, file)
            download_url = raw_url + ("&download" if "?" in raw_url else "?download")
        if not file.is_text:
            label = file.media_type if is_image else "Binary"
            return Shown(PageFile(file, label, None, None, raw_url, download_url), stable=True)
        if too_large:
            label = chosen.label if chosen else "Text"
            note = "This file is too large to be shown on the page."
            return Shown(PageFile(file, label, None, note, raw_url, download_url), stable=True)
        rendered = await self._rendering.render(
            await self._reading.content(file),
            sha256=file.sha256,
            syntax=chosen.name if chosen else None,
            name=file.name,
        )
        prefix = "" if len(paste.files) == 1 else f"f{file.position + 1}-"
        html = Markup(await _page_html(rendered, prefix))  # noqa: S704  (the worker escaped every byte of the user's)
        view = PageFile(file, rendered.label, html, rendered.note, raw_url, download_url, rendered.line_count)
        return Shown(view, stable=rendered.note is None)

    async def _inside(self, file: File) -> str:
        """The file as an address that needs no request (RFC 2397); see `REVEAL_BYTES` for how large it can be."""
        content = await self._reading.content(file)
        kind = file.media_type if file.media_type in SHOWN_IMAGES else "application/octet-stream"
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"


async def _page_html(rendered: Rendered, prefix: str) -> str:
    if rendered.line_count > _LINES_ON_THE_LOOP:
        return await asyncio.to_thread(rendering.page_html, rendered, prefix)
    return rendering.page_html(rendered, prefix)


def cache_control(paste: Paste, revealed: bool) -> str:
    if revealed or paste.needs_reveal or paste.visibility == "private":
        return "private, no-store"
    return "no-cache"
