"""The page on which an owner manages a paste: its settings, its end; and the forms on it but for deleting."""

from __future__ import annotations

import re
from dataclasses import replace

from aiohttp import web

from pastebin.errors import EditForbidden, InvalidPaste, Problem, TokenRequired
from pastebin.http import asking, bodies, caching, payloads, problems
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.pages import Pages, html_response
from pastebin.http.payloads import PasteChanges
from pastebin.models import Options, Paste
from pastebin.origin import tokens
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services.publishing import Publishing
from pastebin.services.reading import Reading

_SLUG = "{slug:[A-Za-z0-9_-]+}"
_FORM_BYTES = 64 * 1024
_LIFETIMES = {"10m": 600, "1h": 3600, "1d": 86_400, "1w": 604_800, "30d": 2_592_000, "365d": 31_536_000}
_FIELDS = frozenset({"title", "visibility", "expires_in", "expires_at", "max_reads", "password", "analytics"})
# What `input type=datetime-local` sends, in UTC here.
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?")
# Where one is led with the token.
_PLACES = frozenset({"edit", "history", "manage"})


class Managing:
    """Takes the settings of a paste, and the owner token of one who has it from elsewhere."""

    def __init__(
        self,
        publishing: Publishing,
        reading: Reading,
        pages: Pages,
        addresses: Addresses,
        limits: LimitsSection,
        idle_seconds: float,
    ) -> None:
        self._publishing = publishing
        self._reading = reading
        self._pages = pages
        self._addresses = addresses
        self._limits = limits
        self._idle_seconds = idle_seconds

    @classmethod
    def of(cls, resources: Resources) -> Managing:
        """With what a node has."""
        config = resources.config
        return cls(
            resources.publishing,
            resources.reading,
            resources.pages,
            resources.addresses,
            config.limits,
            config.doors.body_idle_seconds,
        )

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
        lifetimes=lifetimes(limits),
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
        found = _MOMENT.fullmatch(moment.strip())
        given["expires_at"] = f"{found[1]}T{found[2]}{found[3] or ':00'}Z" if found else moment
    if "title" in fields and not fields["title"]:
        taken_off.add("title")
    options = payloads.text_options(given, None, PasteChanges)
    return replace(options, asked=options.asked | taken_off)


def lifetimes(limits: LimitsSection) -> list[str]:
    """How long a paste may live from now on, as `expires_in` has it."""
    longest = limits.max_lifetime_seconds
    usual = [value for value, seconds in _LIFETIMES.items() if not longest or seconds <= longest]
    return usual if longest else ["never", *usual]
