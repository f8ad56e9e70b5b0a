"""The role `web`: pages, static files, and the help that terminals get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from pastebin.errors import PasteNotFound
from pastebin.http import problems
from pastebin.http.addresses import Addresses
from pastebin.http.conditions import Conditions, evaluate
from pastebin.http.negotiation import prefers_html
from pastebin.http.offer import Offer
from pastebin.http.pages import Pages, html_response
from pastebin.models import Paste
from pastebin.origin import tokens
from pastebin.origin.create_form import create_context
from pastebin.origin.forms import reveal_page
from pastebin.origin.paste_page import PastePage, cache_control
from pastebin.origin.raw import RawAnswers, choose
from pastebin.origin.read import raw_list
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services.reading import Reading


@asynccontextmanager
async def role(resources: Resources) -> AsyncIterator[Offer]:
    """Serve the pages."""
    config = resources.config
    idle = config.doors.body_idle_seconds
    page = PastePage(resources.pages, resources.rendering, resources.reading, config.limits, resources.addresses, idle)
    raw = RawAnswers(resources.reading, idle)
    handlers = WebHandlers(resources.reading, resources.pages, page, raw, resources.addresses, config.limits)
    yield Offer(
        [
            *resources.assets.routes(),
            web.get("/", handlers.front),
            web.get("/problems/{problem}", handlers.problem),
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
        addresses: Addresses,
        limits: LimitsSection,
    ) -> None:
        self._reading = reading
        self._pages = pages
        self._page = page
        self._raw = raw
        self._addresses = addresses
        self._limits = limits

    async def front(self, request: web.Request) -> web.Response:
        base = self._addresses.base(request)
        context = create_context(self._limits, {}, [])
        if prefers_html(request.headers.get("Accept")):
            response = html_response(
                self._pages.render("create.html", **context, site_url=base), cache_control="no-cache"
            )
        else:
            response = web.Response(text=self._pages.render("help.txt", limits=context["limits"], site_url=base))
            response.headers["Cache-Control"] = "no-cache"
        response.headers["Vary"] = "Accept"
        return response

    async def paste(self, request: web.Request) -> web.StreamResponse:
        slug, syntax = request.match_info["slug"], request.match_info.get("syntax")
        token = tokens.presented(request)
        as_page = prefers_html(request.headers.get("Accept")) or syntax is not None
        if not as_page:
            return await self._bytes(request, slug, token)
        paste = await self._reading.find(slug, token, bodies="all")
        if paste.needs_reveal:
            return reveal_page(self._pages, paste, self._addresses.base(request))
        if "created" in request.query and tokens.is_of(paste, token):
            return await self._page.answer(request, paste, syntax=syntax, created=True)
        etag = self._page.etag(request, paste, syntax)
        if evaluate(Conditions.of(request.headers), etag=etag, modified=None) == "not-modified":
            headers = {"ETag": etag, "Cache-Control": cache_control(paste, personal=False), "Vary": "Accept"}
            return web.Response(status=304, headers=headers)
        return await self._page.answer(request, paste, syntax=syntax)

    async def _bytes(self, request: web.Request, slug: str, token: str | None) -> web.StreamResponse:
        paste: Paste = await self._reading.open(slug, token, bodies="sole")
        if len(paste.files) > 1:
            response: web.StreamResponse = raw_list(paste, self._addresses.base(request), vary="Accept")
        else:
            response = await self._raw.answer(request, paste, choose(paste, None), vary="Accept")
        return response

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
                return html_response(text, cache_control="public, max-age=3600")
        raise PasteNotFound("There is no such problem type.")
