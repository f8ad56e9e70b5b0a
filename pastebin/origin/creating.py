"""What the create form posts to: the new paste's page, or the form again as it was filled in."""

from __future__ import annotations

from aiohttp import hdrs, web

from pastebin import languages
from pastebin.errors import CredentialsFound, InvalidPaste, Problem, SlugTaken
from pastebin.http import asking, views
from pastebin.http.addresses import Addresses
from pastebin.http.negotiation import prefers_json
from pastebin.http.pages import SCRIPTED, Pages, html_response
from pastebin.models import Published
from pastebin.origin import keeping, refusals, tokens
from pastebin.origin.content import ContentReader
from pastebin.origin.create_form import Typed, create_context
from pastebin.origin.encrypted import sealing_of
from pastebin.origin.keeping import Kept
from pastebin.origin.read import json_answer
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services.publishing import Publishing
from pastebin.services.rendering import Rendering


class CreateHandlers:
    """The owner token goes into a cookie; who posts to the list of `my pastes` finds the paste there as well."""

    def __init__(
        self,
        publishing: Publishing,
        content: ContentReader,
        pages: Pages,
        addresses: Addresses,
        limits: LimitsSection,
        rendering: Rendering,
    ) -> None:
        self._rendering = rendering
        self._publishing = publishing
        self._content = content
        self._pages = pages
        self._addresses = addresses
        self._limits = limits

    @classmethod
    def of(cls, resources: Resources, content: ContentReader) -> CreateHandlers:
        """With what a node has."""
        limits = resources.config.limits
        return cls(resources.publishing, content, resources.pages, resources.addresses, limits, resources.rendering)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """303 to the new paste; for a script of the page 201, with the token in JSON and that address as Location."""
        base = self._addresses.base(request)
        asking.check_same_site(request, base)
        self._rendering.expect()  # the answer leads to the page of something new
        typed = Typed(self._limits.page_bytes)
        as_json = prefers_json(request.headers.get(hdrs.ACCEPT))
        try:
            async with self._publishing.intake() as taken:
                options = await self._content.read(request, taken, typed=typed)
                published = await self._publishing.create(taken, options)
        except (InvalidPaste, SlugTaken) as error:
            if as_json and request.path == keeping.PATH:  # which pages post to, and no program
                raise _in_words(error) from None
            if as_json:
                raise
            return self._form_again(typed, error, base)
        return self._created(request, published, base, as_json=as_json)

    def _created(self, request: web.Request, published: Published, base: str, *, as_json: bool) -> web.Response:
        paste = published.paste
        # the page of a protected paste would use up a reading: its maker gets the one with the link instead
        has_page = not paste.needs_reveal or sealing_of(paste) is not None
        address = f"/{paste.slug}?created" if has_page else f"/{paste.slug}/manage?created"
        if as_json:
            view = views.created_view(published, base)
            response = json_answer(view, status=201, headers={hdrs.LOCATION: address})
        else:
            response = web.Response(status=303, headers={hdrs.LOCATION: address, hdrs.CACHE_CONTROL: "no-store"})
        is_secure = base.startswith("https:")
        tokens.remember(response, paste.slug, published.token, secure=is_secure)
        if request.path == keeping.PATH:
            kept = keeping.added(keeping.remembered(request), [Kept(paste.slug, published.token)])
            keeping.remember(response, kept, secure=is_secure)
        return response

    def _form_again(self, typed: Typed, error: InvalidPaste | SlugTaken, base: str) -> web.Response:
        told = error.problems if isinstance(error, InvalidPaste) else [Problem("slug", SlugTaken().detail)]
        problems = refusals.of_fields(told, typed.places, files="file")
        values = typed.values()
        values.pop("password", None)
        context = create_context(
            self._limits,
            values,
            problems,
            has_credentials=isinstance(error, CredentialsFound),
            has_lost_files=any(not place.is_typed for place in typed.places),
            is_whole=typed.is_whole,
        )
        status = 422 if isinstance(error, InvalidPaste) else 409
        headers = {"Content-Security-Policy": SCRIPTED}
        return html_response(self._pages.render("create.html", **context, site_url=base), status, headers)


def _in_words(error: InvalidPaste | SlugTaken) -> InvalidPaste | SlugTaken:
    """The same in the language of the page, whose script shows it."""
    if isinstance(error, InvalidPaste):
        error.problems = refusals.translated(error.problems)
    else:
        error.detail = languages.say(SlugTaken().detail)
    return error
