"""Bunny: purges by cache tag or by address, one in a call; there is no soft purge.

https://docs.bunny.net/cdn/purge-cache describes the calls. Its limits are 5 addresses a second, 120 at once. A prefix
counts separately, so an address that ends in a slash says that it is none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote

from pastebin.cdn.targets import Batch, Equipment, Limits, Target, TargetError, TargetRefused
from pastebin.cdn.targets.calls import Calls, limits_for
from pastebin.cdn.targets.repeats import Repeated, when_replicas_know
from pastebin.sections import TargetSection

LIMITS = Limits(keys_per_call=1, urls_per_call=1, calls_per_second=5.0, burst=120)

_URL = "https://api.bunny.net"
_NOBODYS_TAG = "pastebin-check"
_KEY_BYTES = 1024


class Bunny:
    """One pull zone: `id` is the zone's number, `token` the API key of the account."""

    def __init__(self, section: TargetSection, equipment: Equipment) -> None:
        self.name = section.name
        self.limits = limits_for(section, LIMITS)
        self._calls = Calls(section, equipment, self.limits)
        self._url = section.url.rstrip("/") or _URL
        self._zone = f"{self._url}/pullzone/{quote(section.id, safe='')}/purgeCache"
        self._headers = {"AccessKey": section.token.reveal()}

    async def purge(self, batch: Batch) -> None:
        async with self._calls.deadline():
            if batch.flush:
                await self._calls.send("POST", self._zone, (), headers=self._headers)
                return
            for key in batch.keys:
                await self._purge_key(key)
            await self._purge_urls(batch.urls)

    async def purge_urls(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            await self._purge_urls(urls)

    async def push(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            for url in urls:
                await self._calls.warm(url)

    async def check(self) -> str | None:
        """Purges a tag that nothing has: that is what the key is for."""
        try:
            async with self._calls.deadline():
                await self._purge_key(_NOBODYS_TAG)
        except TargetError as error:
            return str(error)
        return None

    async def _purge_key(self, key: str) -> None:
        """An empty tag would purge the whole zone."""
        if not key or len(key.encode()) > _KEY_BYTES:
            raise TargetRefused(f"a tag has 1 to {_KEY_BYTES} bytes", [key])
        await self._calls.send("POST", self._zone, [key], headers=self._headers, json={"CacheTag": key})

    async def _purge_urls(self, urls: Sequence[str]) -> None:
        for url in urls:
            address = f"{self._url}/purge?url={quote(url, safe='')}&async=false&exactPath=true"
            await self._calls.send("POST", address, [url], headers=self._headers)


@asynccontextmanager
async def opened(section: TargetSection, equipment: Equipment) -> AsyncIterator[Target]:
    """The pull zone that `section` names."""
    bunny, seconds = Bunny(section, equipment), [when_replicas_know(equipment)]
    async with Repeated.opened(bunny, equipment.loops, keys_seconds=seconds, flush_seconds=seconds) as repeated:
        yield repeated
