"""Earlier revisions for programs: their bytes, what they were, and what changed."""

from __future__ import annotations

import hashlib
import time

from aiohttp import hdrs, web

from pastebin import __version__
from pastebin.errors import PasteNotFound
from pastebin.http import asking, caching, payloads, views
from pastebin.http.addresses import Addresses
from pastebin.http.app import Routes
from pastebin.http.payloads import DiffQuery, ReadQuery, RevisionsQuery
from pastebin.http.representations import Representations
from pastebin.http.views import RevisionsView, RevisionView
from pastebin.origin import tokens
from pastebin.origin.comparisons import Comparisons, wants_patch
from pastebin.origin.raw import RawAnswers, choose
from pastebin.resources import Resources
from pastebin.services.reading import Reading
from pastebin.services.recalling import Recalling
from pastebin.store.history import History

_LARGEST = 2**31 - 1


class RevisionHandlers:
    """GET and HEAD; nothing here changes anything."""

    def __init__(
        self,
        reading: Reading,
        recalling: Recalling,
        comparisons: Comparisons,
        raw: RawAnswers,
        made: Representations,
        addresses: Addresses,
        content_bytes: int,
        headers: dict[str, str],
    ) -> None:
        self._reading = reading
        self._recalling = recalling
        self._comparisons = comparisons
        self._raw = raw
        self._representations = made
        self._addresses = addresses
        self._content_bytes = content_bytes
        self._headers = headers

    @classmethod
    def of(cls, resources: Resources, raw: RawAnswers, headers: dict[str, str]) -> RevisionHandlers:
        """With what a node has; `headers` are those of JSON."""
        return cls(
            resources.reading,
            Recalling(resources.reading, History(resources.database)),
            Comparisons.of(resources, pages=False),
            raw,
            resources.representations,
            resources.addresses,
            resources.config.limits.page_bytes,
            headers,
        )

    def routes(self) -> Routes:
        return [
            web.get("/{slug}/rev/{number:[0-9]+}/raw", self.raw),
            web.get("/{slug}/rev/{number:[0-9]+}/raw/{name:[^/]+}", self.raw),
            web.get("/api/v1/pastes/{slug}/revisions", self.revisions),
            web.get("/api/v1/pastes/{slug}/revisions/{number:[0-9]+}", self.revision),
            web.get("/api/v1/pastes/{slug}/diff", self.diff),
        ]

    async def raw(self, request: web.Request) -> web.StreamResponse:
        slug, token = request.match_info["slug"], tokens.presented(request)
        name = request.match_info.get("name", request.query.get("name"))
        paste = await self._recalling.revision(slug, token, _number(request), body_of=name)
        if name is None and len(paste.files) > 1:
            return await self._raw.answer_list(request, paste, self._addresses.base(request))
        return await self._raw.answer(request, paste, choose(paste, name))

    async def revisions(self, request: web.Request) -> web.StreamResponse:
        query = payloads.read(RevisionsQuery, dict(request.query), strict=False)
        base, slug = self._addresses.base(request), request.match_info["slug"]
        paste = await self._recalling.open(slug, asking.bearer(request))
        found = await self._recalling.revisions(paste, query.before)
        rest = f"{base}/api/v1/pastes/{slug}/revisions?before={found[-1].number}" if found else ""
        view = RevisionsView(
            revisions=[
                RevisionView(
                    revision=one.number,
                    url=f"{base}/{slug}/rev/{one.number}",
                    created_at=one.created_at,
                    files_count=one.files_count,
                    size=one.size,
                )
                for one in found
            ],
            next=rest if found and found[-1].number > 1 else None,
        )
        headers = {
            **self._headers,
            **caching.of_paste(paste, is_personal=tokens.brings_token(request), now=time.monotonic()),
        }
        if view.next is not None:
            headers[hdrs.LINK] = f'<{rest}>; rel="next"'
        body = views.encode(view)
        return await self._representations.answer(request, body, headers, etag=_etag(body))

    async def revision(self, request: web.Request) -> web.StreamResponse:
        query = payloads.read(ReadQuery, dict(request.query), strict=False)
        base, slug = self._addresses.base(request), request.match_info["slug"]
        paste = await self._recalling.revision(slug, asking.bearer(request), _number(request))
        contents: dict[int, bytes] = {}
        room = self._content_bytes
        for file in paste.files if query.content else ():
            if file.size <= room:
                contents[file.position] = await self._reading.content(file)
                room -= file.size
        body = views.encode(views.paste_view(paste, base, contents if query.content else None))
        headers = {
            **self._headers,
            **caching.of_paste(paste, is_personal=tokens.brings_token(request), now=time.monotonic()),
        }
        return await self._representations.answer(request, body, headers, etag=_etag(body))

    async def diff(self, request: web.Request) -> web.StreamResponse:
        query = payloads.read(DiffQuery, dict(request.query), strict=False)
        slug, token = request.match_info["slug"], asking.bearer(request)
        new = await self._recalling.revision(slug, token, query.new)
        number = new.revision - 1 if query.old is None else query.old
        old = new if number == new.revision else await self._recalling.revision(slug, token, number)
        if wants_patch(request):
            return await self._comparisons.patch(request, old, new, (hdrs.ACCEPT,))
        return await self._comparisons.json(request, old, new, self._headers)


def _number(request: web.Request) -> int:
    number = int(request.match_info["number"][:20])
    if not 1 <= number <= _LARGEST:
        raise PasteNotFound("This paste has no such revision.")
    return number


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body + __version__.encode()).hexdigest()[:24]}"'
