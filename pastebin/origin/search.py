"""`GET /api/v1/pastes/{slug}/search`: the lines of a paste that match."""

from __future__ import annotations

from aiohttp import web

from pastebin.http import asking, caching, payloads, views
from pastebin.http.payloads import SearchQuery
from pastebin.http.views import MatchView, PlaceView, SearchView
from pastebin.models import File
from pastebin.services.reading import Reading
from pastebin.services.searching import Found, Place, Query, Searching


class SearchHandlers:
    """Binary files are passed over; what was found is for whoever asked."""

    def __init__(self, reading: Reading, searching: Searching) -> None:
        self._reading = reading
        self._searching = searching

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v1/pastes/{slug}/search", self.search)]

    async def search(self, request: web.Request) -> web.Response:
        query = payloads.read(SearchQuery, dict(request.query), strict=False)
        paste = await self._reading.open(request.match_info["slug"], asking.bearer(request), bodies="all")
        texts = [file for file in paste.files if file.is_text and file.position >= query.file - 1]
        is_begun = bool(texts) and texts[0].position == query.file - 1
        start = Place(0, query.line if is_begun else 1)
        found = await self._searching.search(texts, Query(query.q, query.regex, query.ignore_case), start, query.limit)
        headers = {
            "Content-Type": "application/json",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            **caching.of_secret(paste),
        }
        return web.Response(body=views.encode(_view(texts, found)), headers=headers)


def _view(texts: list[File], found: Found) -> SearchView:
    matches = []
    for match in found.matches:
        file, start = texts[match.place.text], len(match.before)
        matches.append(
            MatchView(
                file=file.position + 1,
                line=match.place.line,
                name=file.name,
                text=match.before + match.match + match.after,
                start=start,
                end=start + len(match.match),
            )
        )
    place = found.next
    rest = None if place is None else PlaceView(file=texts[place.text].position + 1, line=place.line)
    return SearchView(matches=matches, next=rest)
