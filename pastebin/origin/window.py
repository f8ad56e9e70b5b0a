"""A window of the lines of a large text: on the page of its paste, and on pages of its own where one can walk about."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from markupsafe import Markup

from pastebin.errors import InvalidQuestion, Problem
from pastebin.http import caching, payloads, representations
from pastebin.http.addresses import Addresses, raw_path
from pastebin.http.pages import SCRIPTED, PageFile, Pages, page_body, page_headers
from pastebin.http.payloads import WindowQuery
from pastebin.http.representations import Representations
from pastebin.http.windows import WindowView, lines_path
from pastebin.models import File, Paste
from pastebin.origin import heat, tokens
from pastebin.resources import Resources
from pastebin.services import rendering, syntaxes
from pastebin.services.lines import Lines
from pastebin.services.lines_html import window_html
from pastebin.services.lines_window import WINDOW_LINES, Window
from pastebin.services.reading import Reading
from pastebin.services.rendering import Rendering
from pastebin.services.renderings import kinds
from pastebin.services.searching import Found, Place, Query, Searching
from pastebin.services.warming import Warming

PAGE_MATCHES = 100
_BEFORE_MATCH = 10  # lines that are shown above the one that was found
_LAST = "end"


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """One window as HTML, and whether it would look the same the next time."""

    view: WindowView
    label: str
    note: str | None
    is_stable: bool


class Windows:
    """Cuts windows out of texts and highlights nothing else of them."""

    def __init__(self, lines: Lines, rendering: Rendering) -> None:
        self._lines = lines
        self._rendering = rendering

    async def show(self, paste: Paste, file: File, first: int | None = 1, asked: str = "") -> ShownWindow:
        """Lines from `first` on, None for the last ones, read as the syntax that was asked for if there is such a one.

        Raises as `Lines.window` does.
        """
        window = await self._lines.window(file, first)
        content = window.content
        override = syntaxes.find(asked)
        said = override or syntaxes.find(file.syntax or "")
        is_screen = "terminal" in kinds.of_text(said, content, is_override=override is not None)
        syntax = syntaxes.TERMINAL if is_screen else said or syntaxes.PLAIN
        rendered = await self._rendering.render(
            content, sha256=hashlib.sha256(content).digest(), syntax=syntax.name, name=None
        )
        html = Markup(window_html(window.lines, rendered.lines, window.first, _prefix(paste, file)))  # noqa: S704  (escaped)
        return ShownWindow(
            _view(paste, file, window, html, override.name if override else "", is_screen=is_screen),
            rendered.label,
            rendered.note,
            is_stable=window.line_count is not None and rendered.note is None,
        )


class WindowPages:
    """`/{slug}/lines`: a window of one file, or the lines of it in which something was found."""

    def __init__(self, resources: Resources) -> None:
        self._reading: Reading = resources.reading
        self._pages: Pages = resources.pages
        self._representations: Representations = resources.representations
        self._addresses: Addresses = resources.addresses
        self._warming: Warming = resources.warming
        self._searching: Searching = resources.searching
        self._windows = Windows(resources.lines, resources.rendering)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/{slug:[A-Za-z0-9_-]+}/lines", self.show)]

    async def show(self, request: web.Request) -> web.StreamResponse:
        given = {name: request.query[name] for name in WindowQuery.__struct_fields__ if name in request.query}
        query = payloads.read(WindowQuery, given, strict=False)
        slug = request.match_info["slug"]
        paste = await self._reading.find(slug, tokens.presented(request), bodies="all")
        if paste.needs_reveal or paste.encryption is not None:
            raise web.HTTPSeeOther(f"/{slug}", headers=caching.secret())
        heat.note(self._warming, request, paste)
        file = _chosen(paste, query.file)
        if query.q:
            return await self._found(request, paste, file, query)
        return await self._window(request, paste, file, _line(query.line), query.syntax)

    async def _window(
        self, request: web.Request, paste: Paste, file: File, first: int | None, syntax: str
    ) -> web.Response:
        is_personal = tokens.brings_token(request)
        headers = {**_headers(), **caching.of_paste(paste, is_personal=is_personal, now=time.monotonic())}
        variant = self._representations.variant(request, headers)
        of_page = (self._addresses.base(request), self._pages.version, rendering.RENDERER_VERSION)
        shown = (paste.id, paste.version, file.position, first, syntax, of_page)
        etag = f'W/"{hashlib.sha256(repr(shown).encode()).hexdigest()[:24]}"'
        headers |= representations.described(variant, etag, None, ())
        if (known := representations.unchanged(request, headers)) is not None:
            return known
        window = await self._windows.show(paste, file, first, syntax)
        if not window.is_stable:
            del headers["ETag"]
            now = time.monotonic()
            headers |= caching.of_paste(paste, is_personal=is_personal, now=now, is_stable=False)
        body = page_body(
            self._page(request, paste, page_file(paste, file, window), WindowQuery(syntax=window.view.syntax), None)
        )
        return await self._representations.send(body, headers, variant)

    async def _found(self, request: web.Request, paste: Paste, file: File, query: WindowQuery) -> web.Response:
        """What was found is for whoever asked: too much can be asked for to be kept."""
        wanted = Query(query.q, query.regex, query.ignore_case)
        start = Place(0, _line(query.line) or 1)
        problems: list[Problem] = []
        found: Found | None = None
        try:
            found = await self._searching.search([file], wanted, start, PAGE_MATCHES)
        except InvalidQuestion as error:
            problems = error.problems
        view = PageFile(file, _label(file), raw_url=raw_path(paste, file))
        text = self._page(request, paste, view, query, found, problems)
        headers = {**_headers(), **caching.of_secret(paste)}
        return web.Response(body=page_body(text), status=422 if problems else 200, headers=headers)

    def _page(
        self,
        request: web.Request,
        paste: Paste,
        view: PageFile,
        query: WindowQuery,
        found: Found | None,
        problems: list[Problem] | None = None,
    ) -> str:
        return self._pages.render(
            "lines.html",
            paste=paste,
            view=view,
            query=query,
            results=None if found is None else _results(paste, view.file, found, query.syntax),
            more_url=None if found is None else _more_url(paste, view.file, query, found),
            is_late=found is not None and found.is_late,
            problems=problems or [],
            search_action=lines_path(paste, view.file).partition("?")[0],
            lines_url=lines_path(paste, view.file, syntax=query.syntax),
            site_url=self._addresses.base(request),
        )


def page_file(paste: Paste, file: File, window: ShownWindow) -> PageFile:
    """The file as a page shows it: a window, and where all of it is."""
    raw_url = raw_path(paste, file)
    return PageFile(
        file,
        window.label,
        note=window.note,
        raw_url=raw_url,
        download_url=raw_url + ("&download" if "?" in raw_url else "?download"),
        lines_count=window.view.line_count or 0,
        window=window.view,
    )


def _headers() -> dict[str, str]:
    return {**page_headers("no-referrer"), "Content-Security-Policy": SCRIPTED}


def _chosen(paste: Paste, number: int) -> File:
    """The file with this number. Raises InvalidQuestion if there is none, or none with lines."""
    if number > len(paste.files):
        raise InvalidQuestion([Problem("file", f"must be 1 to {len(paste.files)}")])
    file = paste.files[number - 1]
    if not file.is_text:
        raise InvalidQuestion([Problem("file", "must be one with text; this one is binary")])
    return file


def _line(text: str) -> int | None:
    """The line to begin with, None for the last ones. Raises InvalidQuestion."""
    if text == _LAST:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise InvalidQuestion([Problem("line", f"must be a line number, or {_LAST}")])
    return max(int(text), 1)


def _prefix(paste: Paste, file: File) -> str:
    """What tells the lines of the files of a paste apart, in ids."""
    return "" if len(paste.files) == 1 else f"f{file.position + 1}-"


def _label(file: File) -> str:
    return (syntaxes.find(file.syntax or "") or syntaxes.PLAIN).label


def _view(paste: Paste, file: File, window: Window, html: Markup, syntax: str, *, is_screen: bool) -> WindowView:
    count = window.line_count
    first, last = window.first, max(window.last, window.first)
    has_more = count is None or last < count
    raw_url = raw_path(paste, file)
    path = partial(lines_path, paste, file, syntax=syntax)
    return WindowView(
        html=html,
        page=path(),
        number=file.position + 1,
        first=first,
        last=last,
        line_count=count,
        is_cut=window.is_cut,
        is_screen=is_screen,
        syntax=syntax,
        first_url=path() if first > 1 or has_more else None,
        previous_url=path(max(first - WINDOW_LINES, 1)) if first > 1 else None,
        next_url=path(last + 1) if has_more else None,
        last_url=path(_LAST) if first > 1 or has_more else None,
        text_url=f"{raw_url}{'&' if '?' in raw_url else '?'}lines={first}-{last}",
    )


@dataclass(frozen=True, slots=True)
class Result:
    """A line in which something was found, and where it stands among others."""

    line: int
    before: str
    match: str
    after: str
    url: str


def _results(paste: Paste, file: File, found: Found, syntax: str) -> list[Result]:
    results = []
    for match in found.matches:
        line = match.place.line
        url = f"{lines_path(paste, file, max(line - _BEFORE_MATCH, 1), syntax=syntax)}#{_prefix(paste, file)}L{line}"
        results.append(Result(line, match.before, match.match, match.after, url))
    return results


def _more_url(paste: Paste, file: File, query: WindowQuery, found: Found) -> str | None:
    if found.next is None:
        return None
    more = {
        "q": query.q,
        "syntax": query.syntax,
        **{name: "true" for name in ("regex", "ignore_case") if getattr(query, name)},
    }
    return lines_path(paste, file, found.next.line, **more)
