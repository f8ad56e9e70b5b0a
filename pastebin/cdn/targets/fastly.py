"""Fastly: instant purges by surrogate key, up to 256 in a call, soft on request.

https://www.fastly.com/documentation/reference/api/purging/ describes the calls. Purging everything cannot be soft. With
shielding an edge may refill from a shield that has not been purged yet, so everything is purged again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote

from pastebin.cdn.targets import Batch, Equipment, Limits, Target, TargetError
from pastebin.cdn.targets.calls import Calls, divided, limits_for
from pastebin.cdn.targets.repeats import FLUSH_SECONDS, KEYS_SECONDS, Repeated, when_replicas_know
from pastebin.sections import TargetSection

# 100,000 purges an hour and account, of which repetitions take half, or more.
LIMITS = Limits(keys_per_call=256, urls_per_call=20, calls_per_second=12.0, burst=100)

_URL = "https://api.fastly.com"
_NOBODYS_KEY = "pastebin-check"


class Fastly:
    """One service of an account: `id` is the service's, `token` an API token with purge_select and purge_all."""

    def __init__(self, section: TargetSection, equipment: Equipment) -> None:
        self.name = section.name
        self.limits = limits_for(section, LIMITS)
        self._calls = Calls(section, equipment, self.limits)
        self._url = section.url.rstrip("/") or _URL
        self._service = f"{self._url}/service/{quote(section.id, safe='')}"
        self._headers = {"Fastly-Key": section.token.reveal()}

    async def purge(self, batch: Batch) -> None:
        async with self._calls.deadline():
            if batch.flush:
                await self._calls.send("POST", f"{self._service}/purge_all", (), headers=self._headers)
                return
            if batch.keys:
                await divided(batch.keys, lambda keys: self._purge_keys(keys, soft=batch.soft))
            await self._purge_urls(batch.urls, soft=batch.soft)

    async def purge_urls(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            await self._purge_urls(urls, soft=False)

    async def push(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            for url in urls:
                await self._calls.warm(url)

    async def check(self) -> str | None:
        """Purges a key that nothing has: that is what the token is for."""
        try:
            async with self._calls.deadline():
                await self._purge_keys([_NOBODYS_KEY], soft=True)
        except TargetError as error:
            return str(error)
        return None

    async def _purge_keys(self, keys: Sequence[str], *, soft: bool) -> None:
        url, body = f"{self._service}/purge", {"surrogate_keys": list(keys)}
        answer = await self._calls.send("POST", url, keys, headers=self._of(soft), json=body)
        self._calls.decoded(answer)

    async def _purge_urls(self, urls: Sequence[str], *, soft: bool) -> None:
        for url in urls:
            without_scheme = url.partition("://")[2]
            answer = await self._calls.send(
                "POST", f"{self._url}/purge/{without_scheme}", [url], headers=self._of(soft)
            )
            self._calls.decoded(answer)

    def _of(self, soft: bool) -> dict[str, str]:
        return {**self._headers, "Fastly-Soft-Purge": "1"} if soft else self._headers


@asynccontextmanager
async def opened(section: TargetSection, equipment: Equipment) -> AsyncIterator[Target]:
    """The service that `section` names."""
    keys_seconds = sorted({KEYS_SECONDS, when_replicas_know(equipment)})
    flush_seconds = [max(FLUSH_SECONDS, when_replicas_know(equipment))]
    fastly = Fastly(section, equipment)
    async with Repeated.opened(
        fastly, equipment.loops, keys_seconds=keys_seconds, flush_seconds=flush_seconds
    ) as repeated:
        yield repeated
