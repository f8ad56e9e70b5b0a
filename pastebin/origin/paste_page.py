"""The page of a paste, for whoever may see its content: a reader, or the one who has just revealed it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from aiohttp import hdrs, web
from markupsafe import Markup

from pastebin.http import caching, folders, representations, streaming
from pastebin.http.addresses import Addresses, raw_path
from pastebin.http.folders import Entry
from pastebin.http.pages import SCRIPTED, WITH_MEDIA, PageFile, Pages, filesize, page_body, page_headers
from pastebin.http.representations import Representations
from pastebin.models import File, Paste
from pastebin.origin import paste_tools, tokens
from pastebin.origin.file_views import Asked, Plan, Views
from pastebin.origin.window import Windows, page_file
from pastebin.phrases import Phrase
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services import media, plaintext, rendering, syntaxes
from pastebin.services.reading import Reading
from pastebin.services.rendering import Rendered, Rendering
from pastebin.services.syntaxes import Syntax

# A page shows so much text in all; what comes after it has its links only.
_PAGE_FILES = 3
_PAGE_WINDOWS = 3
PAGE_CHARACTERS = 8 * 1024**2
_LINES_ON_THE_LOOP = 10_000
_STREAMED_BYTES = 1024**2  # a smaller page is one write
_CHUNK_BYTES = 64 * 1024

_TOO_LARGE = Phrase("This file is too large to be shown on the page.")
_UNNUMBERED = Phrase("This file has too many lines for this page, so it is shown without line numbers and colours.")


@dataclass(slots=True)
class Room:
    """What is left of a page for the files to come: content, HTML, the loop's time when highlighting ends, windows."""

    size: int
    characters: int
    highlighting_ends: float
    windows: int = _PAGE_WINDOWS


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
        made: Representations,
        limits: LimitsSection,
        addresses: Addresses,
        idle_seconds: float,
        windows: Windows,
    ) -> None:
        self._pages = pages
        self._windows = windows
        self._rendering = rendering
        self._reading = reading
        self._representations = made
        self._limits = limits
        self._addresses = addresses
        self._idle_seconds = idle_seconds

    @classmethod
    def of(cls, resources: Resources) -> PastePage:
        """With what a node has; both the role that shows pages and the one that reveals make them."""
        config = resources.config
        return cls(
            resources.pages,
            resources.rendering,
            resources.reading,
            resources.representations,
            config.limits,
            resources.addresses,
            config.doors.body_idle_seconds,
            Windows(resources.lines, resources.rendering),
        )

    async def answer(
        self,
        request: web.Request,
        paste: Paste,
        *,
        syntax: str | None = None,
        revealed: bool = False,
        created: bool = False,
    ) -> web.StreamResponse:
        """The page; a revealed one is never kept, and holds its downloads itself: a link would consume another read.

        `created` greets the owner who has just made the paste.
        """
        if not revealed and not created:
            response = await self._kept(request, paste, syntax)
        else:
            text, _ = await self._render(request, paste, syntax, revealed=revealed, created=created)
            headers = {**_headers(), **caching.of_secret(paste), hdrs.VARY: hdrs.ACCEPT}
            response = web.Response(body=page_body(text), headers=headers)
        body = response.body
        if not isinstance(body, bytes) or len(body) <= _STREAMED_BYTES:
            return response
        streamed = web.StreamResponse(headers=response.headers)
        streamed.content_length = len(body)
        return await streaming.send(request, streamed, _chunks(body), self._idle_seconds)

    async def _kept(self, request: web.Request, paste: Paste, syntax: str | None) -> web.Response:
        """The page as every reader sees it, or 304. An unstable one has no validator."""
        # how `?created` looks depends on who asks
        is_personal = tokens.brings_token(request) or "created" in request.query
        headers = {
            **_headers(),
            **caching.of_paste(paste, is_personal=is_personal, now=time.monotonic()),
        }
        variant = self._representations.variant(request, headers)
        vary = () if syntax else (hdrs.ACCEPT,)
        headers |= representations.described(variant, self.etag(request, paste, syntax), None, vary)
        if (known := representations.unchanged(request, headers)) is not None:
            return known
        text, is_stable = await self._render(request, paste, syntax)
        now = time.monotonic()
        headers |= caching.of_paste(paste, is_personal=is_personal, now=now, is_stable=is_stable)
        if not is_stable:
            del headers["ETag"]
        return await self._representations.send(page_body(text), headers, variant)

    async def _render(
        self,
        request: web.Request,
        paste: Paste,
        syntax: str | None,
        *,
        revealed: bool = False,
        created: bool = False,
    ) -> tuple[str, bool]:
        """The page, and whether it would look the same the next time."""
        room = Room(
            self._limits.page_bytes * _PAGE_FILES,
            PAGE_CHARACTERS,
            asyncio.get_running_loop().time() + self._rendering.page_seconds,
        )
        views = Views(self._reading, self._rendering, paste, Asked.of(request), room.highlighting_ends, revealed)
        shown = []
        for file in paste.files:
            shown.append(await self._show(views, file, syntax, room))
            await asyncio.sleep(0)  # a file that nothing has to be waited for takes a millisecond, and there are many
        base = self._addresses.base(request)
        files = [one.view for one in shown]
        tools = paste_tools.of(paste, syntax, revealed=revealed)
        tree = await asyncio.to_thread(_tree, paste) if any("/" in (file.name or "") for file in paste.files) else None
        context = {"paste": paste, "files": files, "tools": tools, "tree": tree, "site_url": base, "created": created}
        text = await self._pages.render_long("paste.html", len(files), **context)
        return text, all(one.stable for one in shown)

    def etag(self, request: web.Request, paste: Paste, syntax: str | None) -> str:
        """Changes with everything the page shows, and with the program that makes it."""
        of_paste = (
            paste.id,
            paste.revision,
            paste.latest,
            paste.revised_at,
            paste.title,
            paste.visibility,
            paste.expires_at,
            paste.parent,
            paste.analytics,
        )
        of_page = (
            self._addresses.base(request),
            syntax,
            Asked.of(request),
            self._pages.version,
            rendering.RENDERER_VERSION,
        )
        return f'W/"{hashlib.sha256(repr((of_paste, of_page)).encode()).hexdigest()[:24]}"'

    async def _show(self, views: Views, file: File, syntax: str | None, room: Room) -> Shown:
        chosen = syntaxes.find(syntax or file.syntax or "")
        shown: Shown | None = None
        if file.is_text and file.size <= min(self._limits.page_bytes, room.size):
            content = await self._reading.content(file)
            plan = await views.of_text(file, content, chosen, is_override=syntax is not None)
            shown = await self._text(views.paste, file, content, plan, chosen, room)
        if shown is None and file.is_text and not views.paste.needs_reveal and views.paste.encryption is None:
            shown = await self._window(views.paste, file, syntax, room)
        if shown is None and file.is_text:
            shown = Shown(PageFile(file, chosen.label if chosen else "Text", None, _TOO_LARGE), stable=True)
        elif shown is None:
            plan = await views.of_bytes(file)
            label = file.media_type if file.media_type in media.SHOWN else "Binary"
            shown = Shown(PageFile(file, label, drawn=plan.drawn), stable=plan.is_stable)
        return await self._linked(views.paste, shown, revealed=views.is_revealed)

    async def _window(self, paste: Paste, file: File, syntax: str | None, room: Room) -> Shown | None:
        """The first lines of a file that the page has no room for; None where there were enough of those."""
        if not room.windows:
            return None
        room.windows -= 1
        window = await self._windows.show(paste, file, asked=syntax or "")
        if len(window.view.html) > room.characters:
            return None
        room.characters -= len(window.view.html)
        return Shown(page_file(paste, file, window), stable=window.is_stable)

    async def _text(
        self, paste: Paste, file: File, content: bytes, plan: Plan, chosen: Syntax | None, room: Room
    ) -> Shown | None:
        """A view of a text, or its lines with numbers, else without, as far as the page has room; None without any."""
        drawing = plan.drawn.html or Markup()
        if len(drawing) > room.characters:
            return None
        room.characters -= len(drawing)
        if not plan.is_text:
            room.size -= file.size
            label = chosen.label if chosen else "Text"
            return Shown(PageFile(file, label, drawn=plan.drawn), stable=plan.is_stable)
        rendered = await self._rendering.render(
            content,
            sha256=file.sha256,
            syntax=plan.syntax.name if plan.syntax else None,
            name=file.name,
            seconds=room.highlighting_ends - asyncio.get_running_loop().time(),
        )
        prefix = "" if len(paste.files) == 1 else f"f{file.position + 1}-"
        is_numbered = rendering.page_characters(rendered, prefix) <= room.characters
        if is_numbered:
            html, note = await _page_html(rendered, prefix), rendered.note
        else:
            html, note = await _plain_html(rendered, content), _UNNUMBERED
        if len(html) > room.characters:
            return None
        room.size -= file.size
        room.characters -= len(html)
        markup = Markup(html)  # noqa: S704  (every byte of the user's is escaped)
        view = PageFile(
            file,
            rendered.label,
            markup,
            note,
            lines_count=rendered.line_count,
            is_numbered=is_numbered,
            drawn=plan.drawn,
        )
        return Shown(view, stable=rendered.note is None and plan.is_stable)

    async def _linked(self, paste: Paste, shown: Shown, *, revealed: bool) -> Shown:
        """With the addresses of the bytes; on a revealed page they are in the page."""
        file = shown.view.file
        raw_url: str | None = None
        download_url: str | None = None
        if not revealed:
            raw_url = raw_path(paste, file)
            download_url = raw_url + ("&download" if "?" in raw_url else "?download")
        else:
            download_url = await self._inside(file)
            raw_url = download_url if file.media_type in media.SHOWN - {media.PDF} else None
        return replace(shown, view=replace(shown.view, raw_url=raw_url, download_url=download_url))

    async def _inside(self, file: File) -> str:
        """The file as an address that needs no request (RFC 2397); see `REVEAL_BYTES` for how large it can be."""
        content = await self._reading.content(file)
        kind = file.media_type if file.media_type in media.SHOWN - {media.PDF} else "application/octet-stream"
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _headers() -> dict[str, str]:
    return {**page_headers("no-referrer"), "Content-Security-Policy": f"{SCRIPTED}; {WITH_MEDIA}"}


def _tree(paste: Paste) -> Markup:
    """The files of a paste whose names are paths, each with a link to where the page shows it."""
    entries = (
        Entry(file.name or f"{file.position + 1}", f"#file-{file.position + 1}", filesize(file.size))
        for file in paste.files
    )
    return Markup(folders.html(folders.gather(entries)))  # noqa: S704  (every name is escaped)


async def _page_html(rendered: Rendered, prefix: str) -> str:
    if rendered.line_count > _LINES_ON_THE_LOOP:
        return await asyncio.to_thread(rendering.page_html, rendered, prefix)
    return rendering.page_html(rendered, prefix)


async def _plain_html(rendered: Rendered, content: bytes) -> str:
    """The text without any element of a line or a syntax."""
    if not rendered.highlighted:
        return rendered.html
    html, _ = await asyncio.to_thread(plaintext.render, content)
    return html


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _CHUNK_BYTES):
        yield body[start : start + _CHUNK_BYTES]
