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
from pastebin.http.pages import SCRIPTED, Pages, page_body, page_headers
from pastebin.http.representations import Representations
from pastebin.origin import encrypted, heat, live, paste_tools, tokens, topology
from pastebin.origin.archives import ArchiveHandlers
from pastebin.origin.create_form import create_context
from pastebin.origin.edit_page import EditPage
from pastebin.origin.embedding import Embedding
from pastebin.origin.forms import reveal_page
from pastebin.origin.history import HistoryPages
from pastebin.origin.keys_page import KeysPage
from pastebin.origin.language_page import LanguagePage
from pastebin.origin.live import LiveReader
from pastebin.origin.look import LookHandlers
from pastebin.origin.mine import MineHandlers
from pastebin.origin.paste_page import PastePage
from pastebin.origin.privatebin import PrivateBinReads
from pastebin.origin.qr import QrHandlers
from pastebin.origin.raw import RawAnswers, choose
from pastebin.origin.stats import StatsPages
from pastebin.origin.window import WindowPages
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
    raw = RawAnswers(resources.reading, resources.lines, made, config.doors.body_idle_seconds)
    page = PastePage.of(resources)
    foreign = PrivateBinReads(resources.reading, config.doors.body_idle_seconds)
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
            foreign,
        )
        yield Offer(
            [
                *resources.assets.routes(),
                web.get("/", handlers.front),
                *foreign.routes(),
                web.get("/problems/{problem}", handlers.problem),
                *StatsPages.of(resources).routes(),
                *LanguagePage.of(resources).routes(),
                *KeysPage(resources.pages, resources.addresses).routes(),
                *WindowPages(resources).routes(),
                *Embedding.of(resources).routes(),
                *HistoryPages.of(resources, page).routes(),
                *EditPage.of(resources).routes(),
                *resources.admin_door.routes(),
                *planet,
                *LookHandlers.of(resources).routes(),
                *ArchiveHandlers.of(resources).routes(),
                *QrHandlers.of(resources).routes(),
                *MineHandlers.of(resources).pages(),
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
        foreign: PrivateBinReads,
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
        self._foreign = foreign

    async def front(self, request: web.Request) -> web.StreamResponse:
        if request.rel_url.raw_query_string and (answer := await self._foreign.answer(request)) is not None:
            return answer
        base = self._addresses.base(request)
        context = create_context(self._limits, {}, [])
        if prefers_html(request.headers.get("Accept")):
            headers = {**page_headers(), "Content-Security-Policy": SCRIPTED}
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
        base = self._addresses.base(request)
        if paste.is_growing:
            return await self._live.page(request, paste)
        created = "created" in request.query and tokens.is_of(paste, token)
        if (sealing := encrypted.sealing_of(paste)) is not None:
            made = self._representations
            return await encrypted.answer(request, self._pages, made, paste, sealing, base, created=created)
        if paste.needs_reveal:
            return reveal_page(self._pages, paste, base)
        if syntax is None and (asked := request.query.get("syntax")) is not None:
            if caching.is_for_all(paste) or asked == paste_tools.MORE:
                return paste_tools.shown_as(paste, asked)
            syntax = asked
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
