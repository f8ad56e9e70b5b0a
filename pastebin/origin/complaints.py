"""Complaints about pastes, from anybody."""

from __future__ import annotations

from aiohttp import web

from pastebin.http import bodies, payloads
from pastebin.http.app import Routes
from pastebin.http.payloads import ReportPaste
from pastebin.http.rates import Rates
from pastebin.services.moderating import Moderating

_BODY_BYTES = 16 * 1024
# From one address: enough for a person, and for one who reports a whole campaign some patience.
_PER_SECOND = 1 / 30
_BURST = 10


class ComplaintHandlers:
    """No account is needed, and nobody is told whether somebody else has complained before."""

    def __init__(self, moderating: Moderating, idle_seconds: float) -> None:
        self._moderating = moderating
        self._idle_seconds = idle_seconds
        self._rates = Rates(_PER_SECOND, _BURST)

    def routes(self) -> Routes:
        return [web.post("/api/v1/pastes/{slug}/report", self.report)]

    async def report(self, request: web.Request) -> web.Response:
        body = await bodies.whole(request, _BODY_BYTES, self._idle_seconds)
        payload = payloads.read(ReportPaste, payloads.parse_json(body))
        self._rates.take(request.remote or "")
        await self._moderating.report(request.match_info["slug"], payload.reason, payload.details)
        return web.Response(status=204, headers={"Cache-Control": "no-store"})
