"""Comparisons as answers: pages, patches and JSON, kept by caches for as long as both sides may be."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Literal

from aiohttp import hdrs, web
from markupsafe import Markup

from pastebin import __version__
from pastebin.http import caching, views
from pastebin.http.addresses import Addresses
from pastebin.http.negotiation import quality
from pastebin.http.pages import Pages, page_body, page_headers
from pastebin.http.representations import Representations
from pastebin.http.views import DiffView, FileChangeView, SideView
from pastebin.models import Paste
from pastebin.origin import tokens
from pastebin.origin.raw import SECURITY_HEADERS
from pastebin.resources import Resources
from pastebin.services.comparing import Comparing, Comparison, FileChange

PATCH = "text/x-diff"

Layout = Literal["unified", "split"]


@dataclass(frozen=True, slots=True)
class ShownChange:
    """One file's change as `diff.html` shows it."""

    change: FileChange
    html: Markup


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses of a comparison: its own, that of its patch, and that of the other direction."""

    here: str
    patch: str
    turned: str


class Comparisons:
    """Answers GET and HEAD for a comparison of what the client may see already."""

    def __init__(
        self, comparing: Comparing, pages: Pages | None, made: Representations, addresses: Addresses, room: int
    ) -> None:
        self._comparing = comparing
        self._pages = pages
        self._representations = made
        self._addresses = addresses
        self._room = room

    @classmethod
    def of(cls, resources: Resources, *, pages: bool) -> Comparisons:
        """With what a node has; `pages` of a role that shows them."""
        limits = resources.config.limits
        return cls(
            Comparing(resources.reading, limits, resources.config.rendering),
            resources.pages if pages else None,
            resources.representations,
            resources.addresses,
            limits.page_bytes,
        )

    async def page(
        self, request: web.Request, old: Paste, new: Paste, places: Places, layout: Layout
    ) -> web.StreamResponse:
        assert self._pages is not None  # noqa: S101  (the role has them)
        base = self._addresses.base(request)
        comparison = await self._comparing.compare(old, new, layout)
        files = shown(comparison)
        context = {"comparison": comparison, "files": files, "places": places, "layout": layout, "site_url": base}
        text = await self._pages.render_long("diff.html", len(files), **context)
        headers = {**page_headers("no-referrer"), **_caching(request, old, new)}
        etag = _etag(old, new, base, layout, self._pages.version)
        vary = (hdrs.ACCEPT,)
        return await self._representations.answer(request, page_body(text), headers, etag=etag, vary=vary)

    async def patch(
        self, request: web.Request, old: Paste, new: Paste, vary: tuple[str, ...] = ()
    ) -> web.StreamResponse:
        comparison = await self._comparing.compare(old, new, "patch")
        body = b"".join(change.body for change in comparison.files)
        headers = {
            **SECURITY_HEADERS,
            hdrs.CONTENT_TYPE: f"{PATCH}; charset=utf-8",
            hdrs.CONTENT_DISPOSITION: f'inline; filename="{_patch_name(old, new)}"',
            **_caching(request, old, new),
        }
        return await self._representations.answer(request, body, headers, etag=_etag(old, new, PATCH), vary=vary)

    async def json(self, request: web.Request, old: Paste, new: Paste, headers: dict[str, str]) -> web.StreamResponse:
        comparison = await self._comparing.compare(old, new, "patch")
        body = _encoded(comparison, self._room)
        headers = {**headers, **_caching(request, old, new)}
        etag = _etag(old, new, "json")
        return await self._representations.answer(request, body, headers, etag=etag, vary=(hdrs.ACCEPT,))


def wants_patch(request: web.Request) -> bool:
    """Whether the client names the media type of patches, and HTML and JSON not with a higher quality."""
    accept = request.headers.get(hdrs.ACCEPT, "")
    return PATCH in accept.lower() and all(
        quality(accept, PATCH) >= quality(accept, other) for other in ("text/html", "application/json")
    )


def _caching(request: web.Request, old: Paste, new: Paste) -> caching.Headers:
    """As for the one of the two that ends first; for nobody else if one of them is."""
    is_personal = tokens.brings_token(request) or not (caching.is_for_all(old) and caching.is_for_all(new))
    first = min(old, new, key=lambda paste: (paste.expires_at is None, paste.ends_at or 0.0))
    return caching.of_paste(first, is_personal=is_personal, now=time.monotonic())


def _etag(old: Paste, new: Paste, *of_answer: object) -> str:
    sides = [(paste.id, paste.slug, paste.revision, paste.version, paste.latest) for paste in (old, new)]
    return f'W/"{hashlib.sha256(repr((sides, of_answer, __version__)).encode()).hexdigest()[:24]}"'


def _patch_name(old: Paste, new: Paste) -> str:
    """Of slugs, which are harmless everywhere."""
    if old.slug == new.slug:
        return f"{old.slug}-{old.revision}-{new.revision}.patch"
    return f"{old.slug}-{new.slug}.patch"


def shown(comparison: Comparison) -> list[ShownChange]:
    """Its files with their lines as HTML, of a comparison in such a form."""
    # every byte of the user's is escaped
    # services.difference_pages, which makes the bodies, escapes every line
    return [ShownChange(change, Markup(change.body.decode())) for change in comparison.files]  # noqa: S704


def _encoded(comparison: Comparison, room: int) -> bytes:
    files = []
    for change in comparison.files:
        patch = _text(change.body) if change.trouble is None else None
        if patch is not None and len(patch) > room:
            patch = None
        room -= len(patch or "")
        files.append(
            FileChangeView(
                change=change.kind,
                old_name=change.old.name if change.old else None,
                new_name=change.new.name if change.new else None,
                added=change.added,
                removed=change.removed,
                trouble=change.trouble,
                patch=patch,
            )
        )
    old, new = (SideView(slug=paste.slug, revision=paste.revision) for paste in (comparison.old, comparison.new))
    return views.encode(DiffView(old=old, new=new, added=comparison.added, removed=comparison.removed, files=files))


def _text(patch: bytes) -> str | None:
    try:
        return patch.decode()
    except UnicodeDecodeError:
        return None
