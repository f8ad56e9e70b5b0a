"""The role `web`: pages, static files, and the help that terminals get."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from pastebin.errors import PasteNotFound
from pastebin.http import caching, problems
from pastebin.http.addresses import Addresses
from pastebin.http.negotiation import prefers_html
from pastebin.http.offer import Offer
from pastebin.http.pages import Pages, page_body, page_headers
from pastebin.http.representations import Representations
from pastebin.origin import heat, live, tokens, topology
from pastebin.origin.create_form import create_context
from pastebin.origin.embedding import Embedding
from pastebin.origin.forms import reveal_page
from pastebin.origin.live import LiveReader
from pastebin.origin.paste_page import PastePage
from pastebin.origin.raw import RawAnswers, choose
from pastebin.origin.stats import StatsPages
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services.reading import Reading
from pastebin.services.warming import Warming

_FRONT_SECONDS = 300
_PROBLEM_SECONDS = 3600


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Serve the pages."""
    config = resources.config
    made = resources.representations
    raw = RawAnswers(resources.reading, made, config.doors.body_idle_seconds)
    page = PastePage.of(resources)
    async with topology.showing(resources) as planet, live.reading(resources) as growing:
        handlers = WebHandlers(
            resources.reading,
            resources.pages,
            page,
            raw,
            growing,
            made,
            resources.addresses,
            config.limits,
            resources.warming,
        )
        yield Offer(
            [
                *resources.assets.routes(),
                web.get("/", handlers.front),
                web.get("/problems/{problem}", handlers.problem),
                *StatsPages.of(resources).routes(),
                *Embedding.of(resources).routes(),
                *resources.admin_door.routes(),
                *planet,
                web.get("/{slug:[A-Za-z0-9_-]+}", handlers.paste),
                web.get("/{slug:[A-Za-z0-9_-]+}.{syntax:[A-Za-z0-9_+#-]+}", handlers.paste),
                web.get("/{name:[^/]+}", handlers.nowhere),
            ]
        )


class WebHandlers:
    """The same addresses for people and for programs: `Accept` decides what they get."""

    def __init__(
        self,
        reading: Reading,
        pages: Pages,
        page: PastePage,
        raw: RawAnswers,
        live: LiveReader,
        made: Representations,
        addresses: Addresses,
        limits: LimitsSection,
        warming: Warming,
    ) -> None:
        self._reading = reading
        self._pages = pages
        self._page = page
        self._raw = raw
        self._live = live
        self._representations = made
        self._addresses = addresses
        self._limits = limits
        self._warming = warming

    async def front(self, request: web.Request) -> web.Response:
        base = self._addresses.base(request)
        context = create_context(self._limits, {}, [])
        if prefers_html(request.headers.get("Accept")):
            headers = page_headers()
            text = self._pages.render("create.html", **context, site_url=base)
        else:
            headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
            text = self._pages.render("help.txt", limits=context["limits"], site_url=base)
        return await self._of_site(request, text, {**headers, **caching.of_site(_FRONT_SECONDS)}, ("Accept",))

    async def paste(self, request: web.Request) -> web.StreamResponse:
        slug, syntax = request.match_info["slug"], request.match_info.get("syntax")
        token = tokens.presented(request)
        as_page = prefers_html(request.headers.get("Accept")) or syntax is not None
        if not as_page:
            return await self._bytes(request, slug, token)
        paste = await self._reading.find(slug, token, bodies="all")
        heat.note(self._warming, request, paste)
        if paste.is_growing:
            return await self._live.page(request, paste)
        if paste.needs_reveal:
            return reveal_page(self._pages, paste, self._addresses.base(request))
        created = "created" in request.query and tokens.is_of(paste, token)
        return await self._page.answer(request, paste, syntax=syntax, created=created)

    async def _bytes(self, request: web.Request, slug: str, token: str | None) -> web.StreamResponse:
        paste = await self._reading.open(slug, token, bodies="sole")
        heat.note(self._warming, request, paste)
        if paste.is_growing:
            return await self._live.raw(request, paste)
        if len(paste.files) > 1:
            return await self._raw.answer_list(request, paste, self._addresses.base(request), vary=("Accept",))
        return await self._raw.answer(request, paste, choose(paste, None), vary=("Accept",))

    async def nowhere(self, _request: web.Request) -> web.Response:
        """What cannot name a paste is a paste that does not exist, not an address that only takes uploads."""
        raise PasteNotFound

    async def problem(self, request: web.Request) -> web.Response:
        """What a problem type means: the page that its `type` member points to."""
        slug = request.match_info["problem"]
        for kind, row in problems.TABLE.items():
            if row.slug == slug:
                description = (kind.__doc__ or "").strip().splitlines()[0]
                text = self._pages.render(
                    "problem.html",
                    slug=slug,
                    status=row.status,
                    title=row.title,
                    description=description,
                    site_url=self._addresses.base(request),
                )
                headers = {**page_headers(), **caching.of_site(_PROBLEM_SECONDS, browsers="public, max-age=3600")}
                return await self._of_site(request, text, headers)
        raise PasteNotFound("There is no such problem type.")

    async def _of_site(
        self, request: web.Request, text: str, headers: dict[str, str], vary: tuple[str, ...] = ()
    ) -> web.Response:
        body = page_body(text)
        etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        return await self._representations.answer(request, body, headers, etag=etag, vary=vary)
