"""Pastes inside of other sites: a frame with the text, a script that puts the frame there, and oEmbed, which finds it.

Only what everybody with the link may see is shown elsewhere; everything else does not exist there.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlencode, urlsplit

import orjson
from aiohttp import hdrs, web
from markupsafe import Markup
from msgspec import Meta

from pastebin import slugs
from pastebin.errors import InvalidPaste, PasteNotFound, Problem
from pastebin.http import caching, payloads
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.lines import parse_lines
from pastebin.http.pages import Pages, page_body
from pastebin.http.payloads import Payload
from pastebin.http.representations import Representations
from pastebin.models import File, Paste
from pastebin.origin.raw import choose
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services import syntaxes
from pastebin.services.reading import Reading
from pastebin.services.rendering import RENDERER_VERSION, Rendering

_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *"
_LINE_PIXELS, _FRAME_PIXELS = 20, 64
_FEWEST_LINES, _MOST_LINES = 3, 24
_WIDTH_PIXELS = 720
_OEMBED_SECONDS = 300
_PATH = re.compile(r"/([^/.]+)(?:\.[^/]+)?")


class EmbedQuery(Payload, frozen=True):
    """What of a paste is shown, and how."""

    lines: str | None = None
    theme: Literal["light", "dark", "system"] = "system"
    name: str | None = None


class OembedQuery(Payload, frozen=True):
    """Section 2.2 of the oEmbed specification."""

    url: str
    format: Literal["json", "xml"] = "json"
    maxwidth: Annotated[int, Meta(ge=1)] | None = None
    maxheight: Annotated[int, Meta(ge=1)] | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The lines of a file that are shown; `last` is None at the end of the file."""

    first: int
    last: int | None

    @classmethod
    def of(cls, lines: str | None) -> Window:
        """Raises InvalidPaste."""
        try:
            return cls(*parse_lines(lines)) if lines else cls(1, None)
        except ValueError as error:
            raise InvalidPaste([Problem("lines", str(error))]) from None

    def height(self, count: int | None) -> int:
        """Pixels of a frame around so many lines as the file has, if that is known."""
        last = self.last if count is None else min(self.last or count, count)
        shown = _MOST_LINES if last is None else max(last - self.first + 1, 0)
        return _FRAME_PIXELS + _LINE_PIXELS * min(max(shown, _FEWEST_LINES), _MOST_LINES)


class Embedding:
    """Answers what other sites ask for."""

    def __init__(
        self,
        reading: Reading,
        rendering: Rendering,
        pages: Pages,
        made: Representations,
        addresses: Addresses,
        limits: LimitsSection,
        title: str,
    ) -> None:
        self._reading = reading
        self._rendering = rendering
        self._pages = pages
        self._representations = made
        self._addresses = addresses
        self._limits = limits
        self._title = title

    @classmethod
    def of(cls, resources: Resources) -> Embedding:
        config = resources.config
        return cls(
            resources.reading,
            resources.rendering,
            resources.pages,
            resources.representations,
            resources.addresses,
            config.limits,
            config.site.title,
        )

    def routes(self) -> Routes:
        return [
            web.get("/oembed", self.oembed),
            web.get("/{slug:[A-Za-z0-9_-]+}/embed", self.frame),
            web.get("/{slug:[A-Za-z0-9_-]+}/embed.js", self.script),
        ]

    async def frame(self, request: web.Request) -> web.Response:
        """A page of its own, for an iframe."""
        query = payloads.read(EmbedQuery, dict(request.query), strict=False)
        window = Window.of(query.lines)
        paste = await self._open(request.match_info["slug"])
        file = choose(paste, query.name) if query.name else paste.files[0]
        lines, is_stable = await self._lines(file, window)
        base = self._addresses.base(request)
        text = self._pages.render(
            "embed.html", paste=paste, file=file, lines=lines, theme=query.theme, site_url=base, first=window.first
        )
        headers = {
            hdrs.CONTENT_TYPE: "text/html; charset=utf-8",
            "Content-Security-Policy": _POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            **caching.of_paste(paste, is_personal=False, now=time.monotonic(), is_stable=is_stable),
        }
        shown = (paste.id, paste.version, file.sha256, repr(query), base, self._pages.version, RENDERER_VERSION)
        etag = f'W/"{hashlib.sha256(repr(shown).encode()).hexdigest()[:24]}"' if is_stable else None
        return await self._representations.answer(request, page_body(text), headers, etag=etag)

    async def script(self, request: web.Request) -> web.Response:
        """Puts the frame where the script stands."""
        query = payloads.read(EmbedQuery, dict(request.query), strict=False)
        window = Window.of(query.lines)
        paste = await self._open(request.match_info["slug"])
        told = {
            "src": _frame_address(self._addresses.base(request), paste, query),
            "title": _title(paste),
            "height": window.height(_count(paste.files[0])),
        }
        # U+2028 and U+2029 end a line in older scripts
        text = orjson.dumps(told).decode().replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        headers = {
            hdrs.CONTENT_TYPE: "text/javascript; charset=utf-8",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "X-Content-Type-Options": "nosniff",
            **caching.of_paste(paste, is_personal=False, now=time.monotonic()),
        }
        body = _SCRIPT.format(told=text).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        return await self._representations.answer(request, body, headers, etag=etag)

    async def oembed(self, request: web.Request) -> web.Response:
        """Section 2.3.4.4 of the oEmbed specification: "rich", which is a frame."""
        query = payloads.read(OembedQuery, dict(request.query), strict=False)
        if query.format == "xml":
            raise web.HTTPNotImplemented
        base = self._addresses.base(request)
        paste = await self._open(_slug_of(query.url, base))
        width = min(query.maxwidth or _WIDTH_PIXELS, _WIDTH_PIXELS)
        height = Window(1, None).height(_count(paste.files[0]))
        if query.maxheight is not None:
            height = min(height, query.maxheight)
        frame = Markup('<iframe src="{}" title="{}" width="{}" height="{}" loading="lazy"></iframe>').format(
            _frame_address(base, paste, EmbedQuery()), _title(paste), width, height
        )
        answer: dict[str, Any] = {
            "version": "1.0",
            "type": "rich",
            "title": _title(paste),
            "provider_name": self._title,
            "provider_url": base,
            "cache_age": _OEMBED_SECONDS,
            "html": str(frame),
            "width": width,
            "height": height,
        }
        headers = {
            hdrs.CONTENT_TYPE: "application/json",
            "Access-Control-Allow-Origin": "*",
            "X-Content-Type-Options": "nosniff",
            # its address names no paste in the path, so that no purge would find it
            hdrs.CACHE_CONTROL: "no-cache",
        }
        return web.Response(body=orjson.dumps(answer), headers=headers)

    async def _open(self, slug: str) -> Paste:
        """What may be shown elsewhere. Raises PasteNotFound for everything else."""
        paste = await self._reading.find(slug, bodies="all")
        if not caching.is_for_all(paste) or paste.protection != "none" or not paste.files:
            raise PasteNotFound
        return paste

    async def _lines(self, file: File, window: Window) -> tuple[Markup | None, bool]:
        """The lines with their numbers, None for what is no text or too large; and whether it is so for good."""
        if not file.is_text or file.size > self._limits.page_bytes:
            return None, True
        content = await self._reading.content(file)
        chosen = syntaxes.find(file.syntax or "")
        rendered = await self._rendering.render(
            content,
            sha256=file.sha256,
            syntax=chosen.name if chosen else None,
            name=file.name,
            seconds=self._rendering.page_seconds,
        )
        shown = rendered.lines[window.first - 1 : window.last]
        html = "".join(
            f'<span class="line" data-n="{number}">{line}\n</span>' for number, line in enumerate(shown, window.first)
        )
        return Markup(html), rendered.note is None  # noqa: S704  (every byte of the user's is escaped)


_SCRIPT = """(() => {{
  const told = {told};
  const frame = document.createElement("iframe");
  frame.src = told.src;
  frame.title = told.title;
  frame.height = told.height;
  frame.loading = "lazy";
  frame.style.cssText = "width: 100%; border: 0";
  document.currentScript.after(frame);
}})();
"""


def _frame_address(base: str, paste: Paste, query: EmbedQuery) -> str:
    chosen = {"lines": query.lines, "theme": query.theme if query.theme != "system" else None, "name": query.name}
    asked = urlencode({name: value for name, value in chosen.items() if value})
    return f"{base}/{quote(paste.slug)}/embed" + (f"?{asked}" if asked else "")


def _title(paste: Paste) -> str:
    return paste.title or paste.files[0].name or paste.slug


def _count(file: File) -> int | None:
    """How many lines it has, as far as that costs nothing."""
    if file.body is None:
        return None
    return file.body.count(b"\n") + (not file.body.endswith(b"\n"))


def _slug_of(url: str, base: str) -> str:
    """Of the address of a paste of this site. Raises PasteNotFound."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise PasteNotFound from None
    found = _PATH.fullmatch(unquote(parts.path))
    if parts.scheme not in ("http", "https") or parts.netloc != urlsplit(base).netloc or found is None:
        raise PasteNotFound
    slug = found[1]
    if not slugs.is_slug(slug) or slugs.is_reserved(slug):
        raise PasteNotFound
    return slug
