"""What browsers post to change a paste: its form, its fork, an earlier revision; and what burns it."""

from __future__ import annotations

import hashlib
from contextlib import AsyncExitStack

from aiohttp import web

from pastebin.errors import PastebinError, PasteNotFound, RevisionConflict, WrongPassword
from pastebin.http import asking, bodies, caching, payloads
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.pages import Pages, html_response
from pastebin.http.payloads import PasteOptions
from pastebin.models import Options, Paste
from pastebin.origin import edit_form, tokens
from pastebin.origin.edit_conflicts import Conflicts
from pastebin.origin.edit_form import EditForms, Typed
from pastebin.origin.edit_page import EditPage
from pastebin.resources import Resources
from pastebin.services.burning import Burning
from pastebin.services.comparing import Comparing
from pastebin.services.editing import Editing
from pastebin.services.publishing import Publishing
from pastebin.services.reading import Reading
from pastebin.services.recalling import Recalling
from pastebin.services.revising import Revising
from pastebin.store.history import History

_SLUG = "{slug:[A-Za-z0-9_-]+}"
_FORM_BYTES = 64 * 1024
_OF_FORK = ("title", "visibility", "expires_in")


class Edits:
    """Forms post to their own site only; a refused one comes back with everything that was typed."""

    def __init__(self, resources: Resources) -> None:
        config = resources.config
        history = History(resources.database)
        self._publishing: Publishing = resources.publishing
        self._reading: Reading = resources.reading
        self._pages: Pages = resources.pages
        self._addresses: Addresses = resources.addresses
        self._recalling = Recalling(resources.reading, history)
        self._editing = Editing(resources.publishing, resources.reading, history, resources.config.limits.page_bytes)
        self._revising = Revising(resources.publishing, history)
        self._burning = Burning(resources.reading, resources.pastes, resources.passwords, resources.purging)
        self._comparing = Comparing(resources.reading, config.limits, config.rendering)
        self._conflicts = Conflicts(resources.reading, resources.config.limits.page_bytes)
        self._forms = EditForms(config.limits, config.doors.body_idle_seconds)
        self._page = EditPage.of(resources)
        self._idle_seconds = config.doors.body_idle_seconds

    def routes(self) -> Routes:
        return [
            web.post(f"/{_SLUG}/edit", self.edit),
            web.post(f"/{_SLUG}/fork", self.fork),
            web.post(f"/{_SLUG}/restore/{{number:[0-9]+}}", self.restore),
            web.post(f"/{_SLUG}/burn", self.burn),
        ]

    async def edit(self, request: web.Request) -> web.StreamResponse:
        """The paste, changed; or its form once more. A conflict shows what was saved meanwhile, and what was typed."""
        slug, base = request.match_info["slug"], self._checked(request)
        typed = Typed()

        async def is_owner(typed: Typed) -> bool:
            try:
                await self._publishing.authorise(slug, _token(request, typed))
            except PastebinError:
                return False
            return True

        async with AsyncExitStack() as turn:
            try:
                async with self._publishing.intake() as taken:
                    await self._forms.read(request, typed, taken, is_owner, turn)
                    token = _token(request, typed)
                    options = Options(frozenset({"title"}), title=typed.fields.get("title") or None)
                    wishes = edit_form.edits(typed)
                    paste, _ = await self._editing.revise(slug, token, taken, wishes, options, typed.base or None)
            except RevisionConflict as error:
                return await self._conflict(request, slug, typed, error)
            except PastebinError as error:
                return await self._page.again(request, slug, "edit", typed, error)
        return self._done(request, paste, token, base)

    async def fork(self, request: web.Request) -> web.StreamResponse:
        """A paste of one's own, of what was typed and of what stays of the paste it comes from."""
        slug, base = request.match_info["slug"], self._checked(request)
        typed = Typed()

        async def anybody(_typed: Typed) -> bool:
            return True

        async with AsyncExitStack() as turn:
            try:
                async with self._publishing.intake() as taken:
                    await self._forms.read(request, typed, taken, anybody, turn)
                    parent = await self._parent(request, slug, typed)
                    given = {name: typed.fields.get(name, "") for name in _OF_FORK}
                    if parent is not None and typed.fields.get("parent") == "yes":
                        given["parent"] = slug
                    wishes = edit_form.edits(typed)
                    key = _attempt(typed, [given, wishes, [(file.name, file.sha256) for file in taken.files]])
                    options = payloads.text_options(given, key, PasteOptions)
                    published = await self._editing.fork(parent, taken, wishes, options)
            except PastebinError as error:
                return await self._page.again(request, slug, "fork", typed, error)
        made = published.paste
        response = web.Response(status=303, headers={"Location": f"/{made.slug}?created", "Cache-Control": "no-store"})
        tokens.remember(response, made.slug, published.token, secure=base.startswith("https:"))
        return response

    async def restore(self, request: web.Request) -> web.StreamResponse:
        """An earlier revision becomes the current one."""
        slug, base = request.match_info["slug"], self._checked(request)
        fields = bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))
        token = fields.get("token") or tokens.presented(request)
        number = int(request.match_info["number"][:10])
        paste, _ = await self._revising.restore(slug, token, number, fields.get("base") or None)
        return self._done(request, paste, token, base)

    async def burn(self, request: web.Request) -> web.StreamResponse:
        """End a read-limited paste without reading it; the box has to be ticked for that."""
        slug, base = request.match_info["slug"], self._checked(request)
        fields = bodies.urlencoded(await bodies.whole(request, _FORM_BYTES, self._idle_seconds))
        token = tokens.presented(request)
        wrong = ""
        if fields.get("confirm") != "yes":
            wrong = "confirm"
        else:
            try:
                await self._burning.burn(slug, fields.get("password"), token, request.remote or "")
            except WrongPassword:
                wrong = "password"
        if wrong:
            paste = await self._reading.find(slug, token)
            text = self._pages.render("burn.html", slug=slug, paste=paste, wrong=wrong, site_url=base)
            return html_response(text, 403 if wrong == "password" else 422, caching.of_secret(paste))
        return html_response(self._pages.render("burned.html", slug=slug, site_url=base), 200, caching.secret())

    async def _conflict(
        self, request: web.Request, slug: str, typed: Typed, error: RevisionConflict
    ) -> web.StreamResponse:
        """Lay what was typed over what is there now, and show how they differ."""
        try:
            token = _token(request, typed)
            now = await self._recalling.open(slug, token, bodies=True)
            base = await self._recalling.revision(slug, token, _revision(typed))
            await self._conflicts.rebase(typed, base, now)
            comparison = await self._comparing.compare(now, await self._conflicts.mine(typed, now), "unified")
        except PastebinError as other:
            return await self._page.again(request, slug, "edit", typed, other)
        return self._page.conflict(request, now, typed, comparison)

    async def _parent(self, request: web.Request, slug: str, typed: Typed) -> Paste | None:
        """The revision that the form was made of; None if the paste has ended since, which takes nothing away."""
        try:
            await self._reading.open(slug, tokens.presented(request))
            return await self._recalling.revision(slug, tokens.presented(request), _revision(typed))
        except PasteNotFound:
            return None

    def _checked(self, request: web.Request) -> str:
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        return base

    def _done(self, request: web.Request, paste: Paste, token: str | None, base: str) -> web.Response:
        """To the page of the paste; that of a protected one would use up a reading."""
        address = f"/{paste.slug}/manage?saved" if paste.needs_reveal else f"/{paste.slug}"
        response = web.Response(status=303, headers={"Location": address, "Cache-Control": "no-store"})
        if token and token != tokens.remembered(request):
            tokens.remember(response, paste.slug, token, secure=base.startswith("https:"))
        return response


def _attempt(typed: Typed, sent: object) -> str | None:
    """The Idempotency-Key of a page: the same for what is sent twice, another one when what is sent has changed."""
    if not (attempt := typed.fields.get("attempt")):
        return None
    return hashlib.sha256(repr((attempt, sent)).encode("utf-8", "surrogatepass")).hexdigest()


def _token(request: web.Request, typed: Typed) -> str | None:
    """Typed where the browser has lost its own."""
    return typed.fields.get("token", "").strip() or tokens.presented(request)


def _revision(typed: Typed) -> int | None:
    """That the form was made of; None, the current one, where it does not say so."""
    number = typed.base.partition(".")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
