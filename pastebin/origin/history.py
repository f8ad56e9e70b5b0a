"""Pages of what a paste was: its history, a revision, and what changed between two of them, or between two pastes."""

from __future__ import annotations

import hashlib
import re
import time
from urllib.parse import quote

from aiohttp import hdrs, web

from pastebin import slugs
from pastebin.errors import InvalidPaste, PasteNotFound, Problem
from pastebin.http import caching
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.negotiation import prefers_html
from pastebin.http.pages import Pages, page_body, page_headers
from pastebin.http.representations import Representations
from pastebin.origin import tokens
from pastebin.origin.comparisons import Comparisons, Layout, Places, wants_patch
from pastebin.origin.paste_page import PastePage
from pastebin.resources import Resources
from pastebin.services.reading import Reading
from pastebin.services.recalling import Recalling
from pastebin.store.history import History

_SLUG = "{slug:[A-Za-z0-9_-]+}"
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class HistoryPages:
    """Whoever may see a paste may see what it was."""

    def __init__(
        self,
        reading: Reading,
        recalling: Recalling,
        comparisons: Comparisons,
        pages: Pages,
        page: PastePage,
        made: Representations,
        addresses: Addresses,
    ) -> None:
        self._reading = reading
        self._recalling = recalling
        self._comparisons = comparisons
        self._pages = pages
        self._page = page
        self._representations = made
        self._addresses = addresses

    @classmethod
    def of(cls, resources: Resources, page: PastePage) -> HistoryPages:
        """With what a node has."""
        return cls(
            resources.reading,
            Recalling(resources.reading, History(resources.database)),
            Comparisons.of(resources, pages=True),
            resources.pages,
            page,
            resources.representations,
            resources.addresses,
        )

    def routes(self) -> Routes:
        return [
            web.get(f"/{_SLUG}/history", self.history),
            web.get(f"/{_SLUG}/rev/{{number:[0-9]+}}", self.revision),
            web.get(f"/{_SLUG}/diff", self.chosen),
            web.get(f"/{_SLUG}/diff/{{old:[0-9]+}}..{{new:[0-9]+}}{{patch:([.]patch)?}}", self.revisions),
            web.get("/diff/{old:[A-Za-z0-9_-]+}/{new:[A-Za-z0-9_-]+}{patch:([.]patch)?}", self.pastes),
        ]

    async def history(self, request: web.Request) -> web.StreamResponse:
        """The latest revisions, or those before one; for caches only a moment, since forks come without a word."""
        slug, token = request.match_info["slug"], tokens.presented(request)
        paste = await self._recalling.open(slug, token)
        before = _number(request.query.get("before"))
        revisions = await self._recalling.revisions(paste, before)
        forks = await self._recalling.forks(paste)
        base = self._addresses.base(request)
        text = self._pages.render(
            "history.html",
            paste=paste,
            revisions=revisions,
            forks=forks,
            before=before,
            site_url=base,
        )
        body = page_body(text)
        # whoever keeps it is not told when one of the forks ends
        is_personal = tokens.brings_token(request) or bool(forks)
        headers = {
            **page_headers("no-referrer"),
            **caching.of_paste(paste, is_personal=is_personal, now=time.monotonic(), is_stable=False),
        }
        etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        return await self._representations.answer(request, body, headers, etag=etag)

    async def revision(self, request: web.Request) -> web.StreamResponse:
        """The page of the paste as it was, or a way to its bytes."""
        slug, token = request.match_info["slug"], tokens.presented(request)
        number = _number(request.match_info["number"])
        if number is None:
            raise PasteNotFound("This paste has no such revision.")
        paste = await self._recalling.revision(slug, token, number)
        if not prefers_html(request.headers.get(hdrs.ACCEPT)):
            raise web.HTTPFound(f"/{slug}/rev/{number}/raw", headers=_varying())
        return await self._page.answer(request, paste)

    async def chosen(self, request: web.Request) -> web.StreamResponse:
        """Where the forms of the history lead: to the comparison that they ask for."""
        slug = request.match_info["slug"]
        if other := request.query.get("with", "").strip():
            name = other.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2].partition(".")[0]
            if not slugs.is_slug(name):
                raise InvalidPaste([Problem("with", "must be the link or the name of a paste")])
            raise web.HTTPSeeOther(f"/diff/{slug}/{name}", headers=_varying())
        old, new = _number(request.query.get("from")), _number(request.query.get("to"))
        if old is None or new is None:
            raise InvalidPaste([Problem("from", "and to must be numbers of revisions")])
        raise web.HTTPSeeOther(f"/{slug}/diff/{old}..{new}", headers=_varying())

    async def revisions(self, request: web.Request) -> web.StreamResponse:
        slug, token = request.match_info["slug"], tokens.presented(request)
        one, other = _number(request.match_info["old"]), _number(request.match_info["new"])
        if one is None or other is None:
            raise PasteNotFound("This paste has no such revision.")
        old = await self._recalling.revision(slug, token, one)
        new = old if one == other else await self._recalling.revision(slug, token, other)
        here = f"/{slug}/diff/{one}..{other}"
        places = Places(here, f"{here}.patch", f"/{slug}/diff/{other}..{one}")
        if request.match_info["patch"]:
            return await self._comparisons.patch(request, old, new)
        if wants_patch(request):
            return await self._comparisons.patch(request, old, new, (hdrs.ACCEPT,))
        return await self._comparisons.page(request, old, new, places, _layout(request))

    async def pastes(self, request: web.Request) -> web.StreamResponse:
        """Two pastes that both are open to whoever asks; the cookies of their owners are not for this address."""
        one, other = request.match_info["old"], request.match_info["new"]
        token = tokens.presented(request)
        old = await self._reading.open(one, token, bodies="all")
        new = await self._reading.open(other, token, bodies="all")
        here = f"/diff/{quote(one)}/{quote(other)}"
        places = Places(here, f"{here}.patch", f"/diff/{quote(other)}/{quote(one)}")
        if request.match_info["patch"]:
            return await self._comparisons.patch(request, old, new)
        if wants_patch(request):
            return await self._comparisons.patch(request, old, new, (hdrs.ACCEPT,))
        return await self._comparisons.page(request, old, new, places, _layout(request))


def _layout(request: web.Request) -> Layout:
    return "split" if request.query.get("layout") == "split" else "unified"


def _number(text: str | None) -> int | None:
    """A revision's number in an address; None for what is none."""
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


def _varying() -> dict[str, str]:
    return {hdrs.CACHE_CONTROL: "no-store", hdrs.VARY: hdrs.ACCEPT}
