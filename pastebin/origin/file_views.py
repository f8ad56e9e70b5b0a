"""Which view of a file its page shows, and the making of those that are not its text."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from aiohttp import web
from markupsafe import Markup

from pastebin.errors import PastebinError
from pastebin.http import folders
from pastebin.http.addresses import raw_path
from pastebin.http.drawn import Drawn, Tab, Window
from pastebin.http.folders import Entry
from pastebin.http.pages import SHOWN_IMAGES, filesize
from pastebin.models import File, Paste
from pastebin.services import listing, syntaxes
from pastebin.services.jobs import What
from pastebin.services.listing import Listing
from pastebin.services.reading import Reading
from pastebin.services.rendering import Drawing, Rendering
from pastebin.services.renderings import hexadecimal, kinds, placing
from pastebin.services.renderings.kinds import View
from pastebin.services.renderings.placing import Sibling
from pastebin.services.syntaxes import Syntax

log = logging.getLogger(__name__)

_DUMPS = 10  # of one page; each is a request to the store
_PLACE = re.compile(rf' href="{placing.SIBLING}([0-9]+)"')
_PASSING = ("timeout", "overloaded")
_WHATS: dict[View, What] = {"document": "document", "table": "table", "tree": "tree"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address says: a view for all files, or for the one at a position, and where its bytes begin."""

    view: View | None = None
    position: int | None = None
    at: str | None = None

    @classmethod
    def of(cls, request: web.Request) -> Asked:
        """From the query; what makes no sense there says nothing."""
        file = request.query.get("file", "")
        position = int(file) - 1 if file.isascii() and file.isdigit() and len(file) < 6 else None
        return cls(kinds.find(request.query.get("view")), position, request.query.get("at"))

    def view_of(self, file: File) -> View | None:
        return self.view if self.position is None or self.position == file.position else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A file's view; where that is its text `syntax` says in which syntax it is to be read (None: as it will)."""

    drawn: Drawn
    syntax: Syntax | None = None
    # whether it would look the same the next time
    is_stable: bool = True

    @property
    def is_text(self) -> bool:
        return self.drawn.html is None or self.drawn.text_follows


@dataclass(slots=True)
class Views:
    """The views of one page's files: `dumps` counts those that still may cost a request to the store."""

    reading: Reading
    rendering: Rendering
    paste: Paste
    asked: Asked
    ends: float
    is_revealed: bool
    dumps: int = _DUMPS

    @property
    def _seconds(self) -> float:
        return self.ends - asyncio.get_running_loop().time()

    async def of_text(self, file: File, content: bytes, syntax: Syntax | None, *, is_override: bool) -> Plan:
        """The view of a text, for which a page has room."""
        head = content[: syntaxes.HEAD_BYTES]
        read_as = syntax or syntaxes.guess(file.name, head)
        views = kinds.of_text(read_as, content, is_override=is_override)
        view = kinds.choose(views, self.asked.view_of(file))
        drawn = Drawn(view, self._tabs(file, views, view))
        if view == "terminal":
            return Plan(drawn, syntaxes.TERMINAL)
        if view not in kinds.DRAWN:
            return Plan(drawn, syntaxes.PLAIN if "terminal" in views else syntax)
        drawing = await self.rendering.draw(
            content,
            sha256=file.sha256,
            what=_WHATS[view],
            syntax=read_as.name if read_as else "",
            seconds=self._seconds,
        )
        if drawing.lack is not None:
            drawn = replace(drawn, view="source", lack=drawing.lack, tabs=self._tabs(file, views, "source"))
            return Plan(drawn, syntax, is_stable=drawing.lack not in _PASSING)
        html = drawing.html
        if view == "document":
            html = placing.placed(html, self._prefix(file), self._siblings())
        return Plan(_filled(drawn, html, drawing, text_follows=self.is_revealed), syntax)

    async def of_bytes(self, file: File) -> Plan:
        """The view of a file that is no text; of one whose bytes cannot be had now, that there is none."""
        if not file.size:
            return Plan(Drawn("source"))
        try:
            return await self._of_bytes(file)
        except PastebinError as reason:  # the page has more to show than this file
            log.warning("a file cannot be shown: %s", reason)
            return Plan(Drawn("source"), is_stable=False)

    async def _of_bytes(self, file: File) -> Plan:
        views = kinds.of_bytes(file.media_type, file.name, b"")
        asked = self.asked.view_of(file)
        if views[0] == "media" and kinds.choose(views, asked) == "media":
            return Plan(Drawn("media", self._tabs(file, views, "media")))
        if self.dumps <= 0:
            return Plan(Drawn("source"))
        self.dumps -= 1
        head = await self._part(file, 0, hexadecimal.PAGE_BYTES)
        views = kinds.of_bytes(file.media_type, file.name, head)
        view = kinds.choose(views, asked)
        drawn = Drawn(view, self._tabs(file, views, view))
        if view == "archive":
            drawing = await self.rendering.once(file.sha256, "archive", lambda: self._archive(file), self._seconds)
            if drawing.lack is None:
                return Plan(_filled(drawn, self._linked(file, drawing.html), drawing))
            drawn = replace(drawn, view="hex", lack=drawing.lack, tabs=self._tabs(file, views, "hex"))
        return Plan(await self._dump(file, drawn, head), is_stable=drawn.lack not in _PASSING)

    async def _archive(self, file: File) -> Drawing:
        """The tree of an archive's files, each with its place where its bytes can be found."""
        try:
            found = await listing.members_of(self.reading, file, self._seconds)
        except TimeoutError:
            return Drawing("", lack="timeout")
        if found is None:
            return Drawing("", lack="malformed")
        html = await asyncio.to_thread(_tree, found)
        shown = len(found.members)
        return Drawing(html, shown, shown if found.is_complete else shown + 1)

    async def _dump(self, file: File, drawn: Drawn, head: bytes) -> Drawn:
        is_asked = self.asked.view_of(file) == "hex"
        first = hexadecimal.window(file.size, self.asked.at if is_asked else None)
        content = await self._part(file, first, hexadecimal.PAGE_BYTES) if first else head
        html = Markup(hexadecimal.rows(content, first))  # noqa: S704  (digits, and text that is escaped)
        links = {} if self.is_revealed else self._pages(file, first)
        return replace(drawn, html=html, window=Window(first, first + len(content), file.size, links))

    def _pages(self, file: File, first: int) -> dict[str, str]:
        """The pages of bytes beside this one, by the words that `drawn.html` knows."""
        last = hexadecimal.window(file.size, str(file.size))
        places = {
            "first": 0 if first else None,
            "previous": first - hexadecimal.PAGE_BYTES if first else None,
            "next": first + hexadecimal.PAGE_BYTES if first < last else None,
            "last": last if first < last else None,
        }
        return {word: self._href(file, "hex", at) for word, at in places.items() if at is not None}

    def _tabs(self, file: File, views: tuple[View, ...], current: View) -> tuple[Tab, ...]:
        """Links to all the views of a file; none on a page that can be had only once."""
        if len(views) == 1 or self.is_revealed:
            return ()
        return tuple(Tab(view, self._href(file, view), view == current) for view in views)

    def _href(self, file: File, view: View, at: int | None = None) -> str:
        query: dict[str, str | int] = {"view": view}
        is_sole = len(self.paste.files) == 1
        if not is_sole:
            query["file"] = file.position + 1
        if at:
            query["at"] = at
        return f"?{urlencode(query)}" + ("" if is_sole else f"#file-{file.position + 1}")

    def _prefix(self, file: File) -> str:
        return "" if len(self.paste.files) == 1 else f"f{file.position + 1}-"

    def _siblings(self) -> Mapping[str, Sibling]:
        """Where the files of the paste are, for a document that names them."""
        return {
            file.name: Sibling(
                f"#file-{file.position + 1}",
                raw_path(self.paste, file) if file.media_type in SHOWN_IMAGES and not self.is_revealed else None,
            )
            for file in self.paste.files
            if file.name is not None
        }

    def _linked(self, file: File, html: str) -> str:
        """The tree of an archive with the addresses of its files."""
        if self.is_revealed or file.name in (".", ".."):
            return _PLACE.sub("", html)
        base = raw_path(self.paste, file)
        base = base if base.count("/") > 2 else f"{base}/-"
        return _PLACE.sub(rf' href="{base}/\1"', html)

    async def _part(self, file: File, start: int, length: int) -> bytes:
        chunks = self.reading.stream(file, start, min(length, file.size - start))
        return b"".join([chunk async for chunk in chunks])


def _tree(found: Listing) -> str:
    entries = [
        Entry(
            one.name,
            None if found.is_packed or one.kind != "file" else f"{placing.SIBLING}{one.at}",
            filesize(one.size) if one.kind == "file" else "\u2192",
        )
        for one in found.members
        if one.kind != "folder"
    ]
    return folders.html(folders.gather(entries, (one.name for one in found.members if one.kind == "folder")))


def _filled(drawn: Drawn, html: str, drawing: Drawing, *, text_follows: bool = False) -> Drawn:
    safe = Markup(html)  # noqa: S704  (made by services.renderings, which escape or sanitise every byte of the user's)
    return replace(drawn, html=safe, shown=drawing.shown, total=drawing.total, text_follows=text_follows)
