"""Changes to a part of a paste, for programs: one file by PUT, an earlier revision, the end of its readings."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from pastebin.errors import InvalidPaste, Problem
from pastebin.http import asking, bodies, payloads, views
from pastebin.http.addresses import Addresses, raw_path
from pastebin.http.app import Routes
from pastebin.http.payloads import RevealPaste
from pastebin.models import Paste, Purge
from pastebin.origin.read import json_answer
from pastebin.origin.receipts import if_match, purge_headers
from pastebin.resources import Resources
from pastebin.sections import LimitsSection
from pastebin.services.burning import Burning
from pastebin.services.publishing import Publishing
from pastebin.services.revising import Condition, Revising
from pastebin.store.history import History

_BODY_BYTES = 64 * 1024
# The tag of a file's bytes, as RawAnswers gives it.
_DIGEST = re.compile(r'"([0-9a-f]{64})(?:-gzip-[0-9a-f]{8})?"')


class AmendHandlers:
    """What is not changed is kept."""

    def __init__(
        self,
        publishing: Publishing,
        revising: Revising,
        burning: Burning,
        addresses: Addresses,
        limits: LimitsSection,
        idle_seconds: float,
    ) -> None:
        self._publishing = publishing
        self._revising = revising
        self._burning = burning
        self._addresses = addresses
        self._limits = limits
        self._idle_seconds = idle_seconds

    @classmethod
    def of(cls, resources: Resources) -> AmendHandlers:
        """With what a node has."""
        config = resources.config
        return cls(
            resources.publishing,
            Revising(resources.publishing, History(resources.database)),
            Burning(resources.reading, resources.pastes, resources.passwords, resources.purging),
            resources.addresses,
            config.limits,
            config.doors.body_idle_seconds,
        )

    def routes(self) -> Routes:
        return [
            web.put("/{slug}/raw", self.put),
            web.put("/{slug}/raw/{name:[^/]+}", self.put),
            web.post("/api/v1/pastes/{slug}/restore/{number:[0-9]+}", self.restore),
            web.post("/api/v1/pastes/{slug}/burn", self.burn),
        ]

    async def put(self, request: web.Request) -> web.Response:
        """The body, whatever its type, becomes that file in a new revision: 201 where there was none of that name."""
        slug, token = request.match_info["slug"], asking.bearer(request)
        name = request.match_info.get("name", request.query.get("name"))
        if others := [field for field in request.query if field != "name"]:
            raise InvalidPaste([Problem(field, "is no option of this request") for field in others])
        condition = _condition(request)
        bodies.check_length(request, self._limits)
        async with self._publishing.intake() as taken:
            before = await self._revising.held(slug, token, name, taken)
            await taken.add(bodies.chunks(request, self._idle_seconds), name=name)
            paste, purge = await self._revising.put(slug, token, name, taken, condition)
        is_new = name is not None and name not in {file.name for file in before.files}
        answer = self._answer(request, paste, purge, 201 if is_new else 200)
        if is_new:
            file = next(file for file in paste.files if file.name == name)
            answer.headers[hdrs.LOCATION] = self._addresses.base(request) + raw_path(paste, file)
        return answer

    async def restore(self, request: web.Request) -> web.Response:
        slug, token = request.match_info["slug"], asking.bearer(request)
        number = int(request.match_info["number"][:10])
        paste, purge = await self._revising.restore(slug, token, number, if_match(request))
        return self._answer(request, paste, purge)

    async def burn(self, request: web.Request) -> web.Response:
        """End a read-limited paste, as its last reading would."""
        body = await bodies.whole(request, _BODY_BYTES, self._idle_seconds)
        payload = payloads.read(RevealPaste, payloads.parse_json(body) if body else {})
        slug, token = request.match_info["slug"], asking.bearer(request)
        purge = await self._burning.burn(slug, payload.password, token, request.remote or "")
        return web.Response(status=204, headers={**purge_headers(purge), hdrs.CACHE_CONTROL: "no-store"})

    def _answer(self, request: web.Request, paste: Paste, purge: Purge, status: int = 200) -> web.Response:
        view = views.paste_view(paste, self._addresses.base(request))
        headers = {"ETag": f'"{paste.revision}"', **purge_headers(purge)}
        return json_answer(view, status=status, headers=headers)


def _condition(request: web.Request) -> Condition:
    """`If-Match` with the tag of the file or of the paste; `If-None-Match: *` (RFC 9110, 13.1). Raises InvalidPaste."""
    is_absent = request.headers.get(hdrs.IF_NONE_MATCH, "").strip() == "*"
    if found := _DIGEST.fullmatch(request.headers.get(hdrs.IF_MATCH, "").strip()):
        return Condition(sha256=bytes.fromhex(found[1]), is_absent=is_absent)
    return Condition(revision=if_match(request), is_absent=is_absent)
