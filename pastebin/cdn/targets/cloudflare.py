"""Cloudflare: purges by cache tag or by address, 100 of them in a call; there is no soft purge.

https://developers.cloudflare.com/api/resources/cache/methods/purge/ describes the call. An answer says with `success`
whether it was done, whatever its status. What a plan allows (requests; at once): Free 5 a minute; 25, Pro 5 a second;
25, Business 10 a second; 50, Enterprise 50 a second; 500.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from pastebin.cdn.targets import Batch, Equipment, Limits, Target, TargetError, TargetRefused, TargetUnreachable
from pastebin.cdn.targets.calls import Calls, divided, limits_for
from pastebin.cdn.targets.repeats import Repeated, when_replicas_know
from pastebin.sections import TargetSection

# Of the Pro plan; a lower plan shows itself by 429, which is honoured.
LIMITS = Limits(keys_per_call=100, urls_per_call=100, calls_per_second=5.0, burst=25)

_URL = "https://api.cloudflare.com"
_NOBODYS_TAG = "pastebin-check"
# Of the `errors` in an answer: not authorised, unknown zone; too many requests.
_CREDENTIALS = frozenset({1001, 6003, 6103, 6111, 7000, 7003, 9103, 9106, 9107, 9109, 10000, 10001})
_THROTTLED = frozenset({971, 10429})


class Cloudflare:
    """One zone: `id` is the zone's, `token` an API token with the permission Cache Purge."""

    def __init__(self, section: TargetSection, equipment: Equipment) -> None:
        self.name = section.name
        self.limits = limits_for(section, LIMITS)
        self._calls = Calls(section, equipment, self.limits)
        self._url = f"{section.url.rstrip('/') or _URL}/client/v4/zones/{quote(section.id, safe='')}/purge_cache"
        self._headers = {"Authorization": f"Bearer {section.token.reveal()}"}

    async def purge(self, batch: Batch) -> None:
        async with self._calls.deadline():
            if batch.flush:
                await self._purge({"purge_everything": True}, ())
                return
            if batch.keys:
                await divided(batch.keys, lambda tags: self._purge({"tags": list(tags)}, tags))
            if batch.urls:
                await self._purge_urls(batch.urls)

    async def purge_urls(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            await self._purge_urls(urls)

    async def push(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            for url in urls:
                await self._calls.warm(url)

    async def check(self) -> str | None:
        """Purges a tag that nothing has: that is what the token is for."""
        try:
            async with self._calls.deadline():
                await self._purge({"tags": [_NOBODYS_TAG]}, ())
        except TargetError as error:
            return str(error)
        return None

    async def _purge_urls(self, urls: Sequence[str]) -> None:
        await divided(urls, lambda files: self._purge({"files": list(files)}, files))

    async def _purge(self, what: dict[str, Any], about: Sequence[str]) -> None:
        answer = await self._calls.send("POST", self._url, about, headers=self._headers, json=what)
        said = self._calls.decoded(answer)
        if said.get("success") is True:
            return
        errors = said.get("errors")
        found = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
        codes = {error.get("code") for error in found if isinstance(error.get("code"), int)}
        detail = "; ".join(self._calls.told(f"{error.get('code')} {error.get('message')}") for error in found[:3])
        if codes & _THROTTLED:
            raise self._calls.busy(detail, None)
        if not about or not codes or codes & _CREDENTIALS:
            raise TargetUnreachable(detail or "no success, and no reason given")
        raise TargetRefused(detail, about)


@asynccontextmanager
async def opened(section: TargetSection, equipment: Equipment) -> AsyncIterator[Target]:
    """The zone that `section` names."""
    cloudflare, seconds = Cloudflare(section, equipment), [when_replicas_know(equipment)]
    async with Repeated.opened(cloudflare, equipment.loops, keys_seconds=seconds, flush_seconds=seconds) as repeated:
        yield repeated
