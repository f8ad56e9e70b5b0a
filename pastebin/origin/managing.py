"""The page on which an owner manages a paste: its settings, its end; and the forms on it but for deleting."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from pastebin.errors import EditForbidden, InvalidPaste, Problem, TokenRequired
from pastebin.http import asking, bodies, caching, payloads, problems
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.pages import Pages, html_response
from pastebin.http.payloads import PasteChanges
from pastebin.models import Options, Paste
from pastebin.origin import lifetimes, tokens
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services.publishing import Publishing
from pastebin.services.reading import Reading

_SLUG = "{slug:[A-Za-z0-9_-]+}"
_FORM_BYTES = 64 * 1024
_FIELDS = frozenset({"title", "visibility", "expires_in", "expires_at", "max_reads", "password", "analytics"})
# Where one is led with the token.
_PLACES = frozenset({"edit", "history", "manage"})


class Managing:
    """Takes the settings of a paste, and the owner token of one who has it from elsewhere."""

    def __init__(self, resources: Resources) -> None:
        self._publishing: Publishing = resources.publishing
        self._reading: Reading = resources.reading
        self._pages: Pages = resources.pages
        self._addresses: Addresses = resources.addresses
        self._limits = resources.config.limits
        self._idle_seconds = resources.config.doors.body_idle_seconds

    def routes(self) -> Routes:
        return [web.post(f"/{_SLUG}/settings", self.settings), web.post(f"/{_SLUG}/unlock", self.unlock)]

    async def settings(self, request: web.Request) -> web.Response:
        """Change what was filled in; an empty field leaves things as they are."""
        base, slug, fields = await self._posted(request)
        token = fields.get("token") or tokens.remembered(request)
        try:
            async with self._publishing.intake() as taken:
                await self._publishing.revise(slug, token, taken, wishes(fields), None)
        except (InvalidPaste, EditForbidden, TokenRequired) as error:
            paste = await self._reading.find(slug, token)
            told = error.problems if isinstance(error, InvalidPaste) else [Problem("token", error.detail)]
            known = token if tokens.is_of(paste, token) else None
            status = problems.row_of(error).status
            return manage_page(self._pages, self._limits, paste, known, base, told, status, values=fields)
        response = web.Response(status=303, headers={"Location": f"/{slug}/manage?saved", "Cache-Control": "no-store"})
        if token and token != tokens.remembered(request):
            tokens.remember(response, slug, token, secure=base.startswith("https:"))
        return response

    async def unlock(self, request: web.Request) -> web.Response:
        """Let this browser keep a token that is the right one."""
        base, slug, fields = await self._posted(request)
        token = fields.get("token", "").strip()
        place = fields.get("place", "edit")
        try:
            await self._publishing.authorise(slug, token)
        except (EditForbidden, TokenRequired) as error:
            context = {"slug": slug, "error": error.detail, "place": place, "is_open": False}
            text = self._pages.render("unlock.html", **context, site_url=base)
            return html_response(text, problems.row_of(error).status, caching.secret())
        address = f"/{slug}/{place if place in _PLACES else 'manage'}"
        response = web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})
        tokens.remember(response, slug, token, secure=base.startswith("https:"))
        return response

    async def _posted(self, request: web.Request) -> tuple[str, str, dict[str, str]]:
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        fields = bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))
        return base, request.match_info["slug"], fields


def manage_page(
    pages: Pages,
    limits: LimitsSection,
    paste: Paste,
    token: str | None,
    base: str,
    told: list[Problem],
    status: int = 200,
    *,
    news: str = "",
    values: dict[str, str] | None = None,
) -> web.Response:
    """`token` is the owner token if it is known; `values` is what was filled in before, `news` what has happened."""
    text = pages.render(
        "manage.html",
        paste=paste,
        slug=paste.slug,
        token=token,
        url=f"{base}/{paste.slug}",
        problems=told,
        news=news,
        values={key: value for key, value in (values or {}).items() if key not in ("password", "token")},
        lifetimes=lifetimes.offered(limits),
        max_lifetime_seconds=limits.max_lifetime_seconds,
        site_url=base,
    )
    return html_response(text, status, caching.secret())


def wishes(fields: dict[str, str]) -> Options:
    """What a form asks of a paste. Raises InvalidPaste."""
    given = {name: value for name, value in fields.items() if name in _FIELDS and value}
    taken_off = set()
    if given.get("max_reads") == "none":
        del given["max_reads"]
        taken_off.add("max_reads")
    if fields.get("no_password") == "yes" and "password" not in given:
        taken_off.add("password")
    if moment := given.pop("expires_at", ""):
        given.pop("expires_in", None)
        given["expires_at"] = lifetimes.moment(moment)
    if "title" in fields and not fields["title"]:
        taken_off.add("title")
    options = payloads.text_options(given, None, PasteChanges)
    return replace(options, asked=options.asked | taken_off)
