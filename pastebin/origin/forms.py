"""What browsers post about a paste: the reveal button, the manage page. Complete without a script."""

from __future__ import annotations

from aiohttp import web

from pastebin.errors import EditForbidden, InvalidPaste, Problem, WrongPassword
from pastebin.http import asking, bodies, caching, counted, streaming
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.pages import Pages, html_response
from pastebin.models import Paste
from pastebin.origin import tokens
from pastebin.origin.managing import manage_page
from pastebin.origin.paste_page import PastePage
from pastebin.origin.raw import headers_of
from pastebin.resources import Resources
from pastebin.services.publishing import Publishing
from pastebin.services.reading import Reading

_FORM_BYTES = 64 * 1024


class FormHandlers:
    """Forms post to their own site only; a refused one comes back."""

    def __init__(self, resources: Resources, page: PastePage) -> None:
        self._publishing: Publishing = resources.publishing
        self._reading: Reading = resources.reading
        self._pages: Pages = resources.pages
        self._page = page
        self._addresses: Addresses = resources.addresses
        self._limits = resources.config.limits
        self._idle_seconds = resources.config.doors.body_idle_seconds

    def routes(self) -> Routes:
        return [
            web.post("/{slug:[A-Za-z0-9_-]+}/reveal", self.reveal),
            web.get("/{slug:[A-Za-z0-9_-]+}/manage", self.manage),
            web.post("/{slug:[A-Za-z0-9_-]+}/manage", self.delete),
        ]

    async def reveal(self, request: web.Request) -> web.StreamResponse:
        """Consume one read and show the paste; what a page cannot show is sent as a download instead."""
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        slug = request.match_info["slug"]
        fields = await self._fields(request)
        token = tokens.presented(request)
        try:
            paste = await self._reading.reveal(slug, fields.get("password"), token)
        except WrongPassword:
            return reveal_page(self._pages, await self._reading.find(slug, token), base, wrong=True)
        file = paste.files[0]
        is_shown = file.is_text and file.size <= self._limits.page_bytes and paste.encryption is None
        if len(paste.files) == 1 and not is_shown:
            response = web.StreamResponse(headers={**headers_of(file, download=True), **caching.of_secret(paste)})
            response.content_length = file.size
            return await streaming.send(request, response, self._reading.stream(file), self._idle_seconds)
        return await self._page.answer(request, paste, revealed=True)

    async def manage(self, request: web.Request) -> web.Response:
        slug = request.match_info["slug"]
        token = tokens.remembered(request)
        paste = await self._reading.find(slug, token)
        return self._manage_page(request, paste, token if tokens.is_of(paste, token) else None, [])

    async def delete(self, request: web.Request) -> web.Response:
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        slug = request.match_info["slug"]
        fields = await self._fields(request)
        token = fields.get("token") or tokens.remembered(request)
        if fields.get("action") != "delete" or fields.get("confirm") != "yes":
            paste = await self._reading.find(slug, token)
            kept = tokens.remembered(request)
            known = kept if tokens.is_of(paste, kept) else None
            return self._manage_page(request, paste, known, [Problem("confirm", "Please tick the box first.")], 422)
        try:
            await self._publishing.delete(slug, token)
        except EditForbidden as error:
            paste = await self._reading.find(slug, token)
            return self._manage_page(request, paste, None, [Problem("token", error.detail)], 403)
        response = html_response(self._pages.render("deleted.html", slug=slug, site_url=base))
        tokens.forget(response, slug)
        return response

    def _manage_page(
        self, request: web.Request, paste: Paste, token: str | None, problems: list[Problem], status: int = 200
    ) -> web.Response:
        base = self._addresses.base(request)
        news = "created" if "created" in request.query else "saved" if "saved" in request.query else ""
        return manage_page(self._pages, self._limits, paste, token, base, problems, status, news=news)

    async def _fields(self, request: web.Request) -> dict[str, str]:
        """A small form, urlencoded or multipart. Raises InvalidPaste, PasteTooLarge, UnreadableRequest."""
        if request.content_type == "multipart/form-data":
            form = bodies.Form(request, self._idle_seconds)
            async for _ in form.files():
                raise InvalidPaste([Problem("file", "does not belong into this form")])
            return form.fields
        return bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))


def reveal_page(pages: Pages, paste: Paste, base: str, *, wrong: bool = False) -> web.Response:
    """The button that reading a protected paste takes; shown by GET, which never consumes anything."""
    text = pages.render(
        "reveal.html",
        slug=paste.slug,
        asks_password=paste.password_hash is not None,
        reads_left=paste.reads_left,
        wrong=wrong,
        site_url=base,
    )
    # the reading comes with the button
    headers = {**caching.of_secret(paste), "Vary": "Accept", counted.ANALYTICS: counted.OFF}
    return html_response(text, 403 if wrong else 200, headers)
