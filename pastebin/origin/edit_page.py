"""The page on which a paste is edited or forked: as it is, or as it was typed, with what went wrong."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any, Literal

from aiohttp import web

from pastebin.errors import InvalidPaste, PastebinError, PasteNotFound, Problem, RevealRequired
from pastebin.http import caching, problems
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.pages import SCRIPTED, Pages, html_response
from pastebin.models import Paste
from pastebin.origin import edit_form, lifetimes, refusals, tokens
from pastebin.origin.comparisons import ShownChange, shown
from pastebin.origin.edit_form import EditedFile, Typed
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services import syntaxes
from pastebin.services.comparing import Comparison
from pastebin.services.reading import Reading
from pastebin.services.recalling import Recalling
from pastebin.services.wishes import TITLE_CHARACTERS
from pastebin.store.history import History

Mode = Literal["edit", "fork"]
# What the page has to tell beside single problems.
News = Literal["", "conflict", "token", "gone", "refused"]

_ATTEMPT_BYTES = 16
_SLUG = "{slug:[A-Za-z0-9_-]+}"


class EditPage:
    """Nothing here changes anything; what is shown is for the one who asked only."""

    def __init__(
        self, pages: Pages, addresses: Addresses, reading: Reading, recalling: Recalling, limits: LimitsSection
    ) -> None:
        self._pages = pages
        self._addresses = addresses
        self._reading = reading
        self._recalling = recalling
        self._limits = limits

    @classmethod
    def of(cls, resources: Resources) -> EditPage:
        """With what a node has; the role that shows pages and the one that takes forms both make it."""
        reading = resources.reading
        recalling = Recalling(reading, History(resources.database))
        return cls(resources.pages, resources.addresses, reading, recalling, resources.config.limits)

    def routes(self) -> Routes:
        return [
            web.get(f"/{_SLUG}/edit", self.edit),
            web.get(f"/{_SLUG}/fork", self.fork),
            web.get(f"/{_SLUG}/restore/{{number:[0-9]+}}", self.restore),
            web.get(f"/{_SLUG}/burn", self.burn),
        ]

    async def edit(self, request: web.Request) -> web.Response:
        """The form for the owner; for others the question for the token."""
        slug, token = request.match_info["slug"], tokens.presented(request)
        paste = await self._reading.find(slug, token, bodies="all")
        if not tokens.is_of(paste, token):
            return self.locked(request, paste)
        return await self._fresh(request, paste, "edit")

    async def fork(self, request: web.Request) -> web.Response:
        slug, token = request.match_info["slug"], tokens.presented(request)
        return await self._fresh(request, await self._reading.open(slug, token, bodies="all"), "fork")

    async def restore(self, request: web.Request) -> web.Response:
        """The question whether an earlier revision is to be the current one."""
        slug, token = request.match_info["slug"], tokens.presented(request)
        paste = await self._reading.find(slug, token)
        if not tokens.is_of(paste, token):
            return self.locked(request, paste, place="history")
        number = int(request.match_info["number"][:10])
        if not 1 <= number < paste.revision:
            raise PasteNotFound("This paste has no such revision before its current one.")
        base = self._addresses.base(request)
        text = self._pages.render("restore.html", paste=paste, number=number, site_url=base)
        return html_response(text, 200, caching.of_secret(paste))

    async def burn(self, request: web.Request) -> web.Response:
        """The question whether a read-limited paste is to end; asking it uses up nothing."""
        slug = request.match_info["slug"]
        paste = await self._reading.find(slug, tokens.presented(request))
        if paste.max_reads is None:
            raise PasteNotFound("This paste has no read limit, so it cannot be burned.")
        text = self._pages.render("burn.html", slug=slug, paste=paste, wrong="", site_url=self._addresses.base(request))
        return html_response(text, 200, caching.of_secret(paste))

    def locked(self, request: web.Request, paste: Paste, place: str = "edit") -> web.Response:
        """The question for the owner token, which leads to that page."""
        context = {"slug": paste.slug, "error": "", "place": place, "is_open": caching.is_for_all(paste)}
        text = self._pages.render("unlock.html", **context, site_url=self._addresses.base(request))
        return html_response(text, 200, caching.secret())

    async def _fresh(self, request: web.Request, paste: Paste, mode: Mode) -> web.Response:
        if paste.encryption is not None:
            context = {"slug": paste.slug, "mode": mode, "site_url": self._addresses.base(request)}
            return html_response(self._pages.render("edit_closed.html", **context), 200, caching.secret())
        first = edit_form.window(request.query.get("from", "1"), len(paste.files))
        rows = await edit_form.rows(paste.files, first, self._reading, self._limits)
        values = {
            "title": paste.title or "",
            "base": f"{paste.revision}.{paste.version}",
            "visibility": paste.visibility,
            "parent": "yes",
        }
        return self.render(request, paste.slug, mode, values, rows, paste=paste, first=first)

    async def again(
        self, request: web.Request, slug: str, mode: Mode, typed: Typed, error: PastebinError
    ) -> web.Response:
        """What was typed, with what went wrong: nothing of it is lost."""
        try:
            token = typed.fields.get("token") or tokens.presented(request)
            paste = await self._reading.find(slug, token)
            if tokens.is_veiled(paste, token):
                paste = replace(paste, title=None)
        except PastebinError:
            paste = None
        news: News = "refused"
        if isinstance(error, PasteNotFound):
            news = "gone"
        elif problems.row_of(error).status in (401, 403) and not isinstance(error, RevealRequired):
            news = "token"
        rows = edit_form.again(paste.files if paste else (), typed)
        told = refusals.of_fields(error.problems) if isinstance(error, InvalidPaste) else [Problem("", error.detail)]
        status = problems.row_of(error).status
        values = typed.fields
        return self.render(
            request, slug, mode, values, rows, paste=paste, news=news, told=told, status=status, typed=typed
        )

    def conflict(self, request: web.Request, now: Paste, typed: Typed, comparison: Comparison) -> web.Response:
        """What was typed, and how it differs from what was saved meanwhile."""
        rows = edit_form.again(now.files, typed)
        changes = shown(comparison)
        return self.render(
            request, now.slug, "edit", typed.fields, rows, paste=now, news="conflict", changes=changes, status=412
        )

    def render(
        self,
        request: web.Request,
        slug: str,
        mode: Mode,
        values: dict[str, str],
        rows: list[EditedFile],
        *,
        paste: Paste | None = None,
        first: int = 1,
        news: News = "",
        told: list[Problem] | None = None,
        changes: list[ShownChange] | None = None,
        status: int = 200,
        typed: Typed | None = None,
    ) -> web.Response:
        given = values.get("token", "")
        is_kept = paste is not None and tokens.is_of(paste, tokens.remembered(request))
        is_given = paste is not None and tokens.is_of(paste, given)
        context: dict[str, Any] = {
            "slug": slug,
            "mode": "fork" if news == "gone" else mode,
            "was_edit": mode == "edit",
            "paste": paste,
            "values": values,
            "rows": rows,
            "attempt": secrets.token_urlsafe(_ATTEMPT_BYTES),
            "fresh": edit_form.fresh_key(rows),
            "first": first,
            "per_page": edit_form.FILES,
            "needs_token": not is_kept and not is_given and mode == "edit" and news != "gone",
            "given_token": given if is_given and not is_kept else "",
            "news": news,
            "problems": told or [],
            "changes": changes or [],
            "lost_uploads": typed.uploads_count if typed else 0,
            "syntaxes": [(syntax.name, syntax.label) for syntax in syntaxes.ALL],
            "lifetimes": lifetimes.offered(self._limits),
            "title_characters": TITLE_CHARACTERS,
            "max_bytes": self._limits.max_paste_bytes,
            "site_url": self._addresses.base(request),
        }
        headers = {**caching.secret(), "Content-Security-Policy": SCRIPTED}
        return html_response(self._pages.render("edit.html", **context), status, headers)
