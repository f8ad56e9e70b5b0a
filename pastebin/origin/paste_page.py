"""The page of a paste, for whoever may see its content: a reader, or the one who has just revealed it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from aiohttp import web
from markupsafe import Markup

from pastebin.http.addresses import Addresses, raw_path
from pastebin.http.pages import SHOWN_IMAGES, FileView, Pages, html_response
from pastebin.models import File, Paste
from pastebin.sections import LimitsSection
from pastebin.services import rendering, syntaxes
from pastebin.services.reading import Reading
from pastebin.services.rendering import Rendering

# A page shows so much text in all; what comes after it has its links only.
_PAGE_FILES = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """One file's view, and whether it would look the same the next time."""

    view: FileView
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
        """The page; a revealed one is never kept and offers no links, since those would consume another read."""
        room = self._limits.page_bytes * _PAGE_FILES
        shown: list[Shown] = []
        for file in paste.files:
            one = await self._show(paste, file, syntax, room, linked=not revealed)
            if one.view.html is not None:
                room -= file.size
            shown.append(one)
        base = self._addresses.base(request)
        text = self._pages.render("paste.html", paste=paste, files=[one.view for one in shown], site_url=base)
        response = html_response(text, referrer_policy="no-referrer", cache_control=cache_control(paste, revealed))
        response.headers["Vary"] = "Accept"
        if not revealed and all(one.stable for one in shown):
            response.headers["ETag"] = page_etag(paste, base, syntax)
        return response

    async def _show(self, paste: Paste, file: File, syntax: str | None, room: int, *, linked: bool) -> Shown:
        path = raw_path(paste, file)
        raw_url = path if linked else None
        download_url = path + ("&download" if "?" in path else "?download") if linked else None
        chosen = syntaxes.find(syntax or file.syntax or "")
        if not file.is_text:
            label = file.media_type if file.media_type in SHOWN_IMAGES else "Binary"
            return Shown(FileView(file, label, None, None, raw_url, download_url), stable=True)
        label = chosen.label if chosen else "Text"
        if file.size > min(self._limits.page_bytes, room):
            note = (
                "This file is too large to be shown on the page." if linked else "This file is too large to be shown."
            )
            return Shown(FileView(file, label, None, note, raw_url, download_url), stable=True)
        rendered = await self._rendering.render(
            await self._reading.content(file),
            sha256=file.sha256,
            syntax=chosen.name if chosen else None,
            name=file.name,
        )
        prefix = "" if len(paste.files) == 1 else f"f{file.position + 1}-"
        html = Markup(rendering.page_html(rendered, prefix))  # noqa: S704  (the worker escaped every byte of the user's)
        view = FileView(file, rendered.label, html, rendered.note, raw_url, download_url, rendered.line_count)
        return Shown(view, stable=rendered.highlighted)


def cache_control(paste: Paste, revealed: bool) -> str:
    if revealed or paste.needs_reveal or paste.visibility == "private":
        return "private, no-store"
    return "no-cache"


def page_etag(paste: Paste, base: str, syntax: str | None) -> str:
    """Changes with everything the page shows, and with the program that makes it."""
    seen = (
        paste.id,
        paste.revision,
        paste.title,
        paste.visibility,
        paste.expires_at,
        paste.parent,
        base,
        syntax,
    )
    return f'W/"{hashlib.sha256(repr((*seen, rendering.RENDERER_VERSION)).encode()).hexdigest()[:24]}"'
