"""Varnish with scripts/varnish/pastebin.vcl: purges by surrogate key (xkey), hard or soft, and by address.

A purge leaves marks that keep older fetches from being stored, and a token with which the next fetches ask the origin
for nothing older than the change; see the VCL. It is sent twice for what lies between its check and xkey.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from pastebin.cdn.targets import Batch, Equipment, Limits, Target, TargetError, TargetUnreachable
from pastebin.cdn.targets.calls import Answer, Calls, divided, limits_for
from pastebin.cdn.targets.repeats import KEYS_SECONDS, Repeated
from pastebin.http.consistency import MIN_LSN_HEADER, Tokens
from pastebin.positions import Position, later
from pastebin.sections import TargetSection

# Keys of up to 66 letters fit into one header field of 8 KiB, Varnish's http_req_hdr_len.
LIMITS = Limits(keys_per_call=100, urls_per_call=100, calls_per_second=1000.0, burst=1000)

_MARKS = 64
_TOKEN_SECONDS = 60.0  # for so long pastebin.vcl sends the token along


class Varnish:
    """One Varnish: `url` is where it listens, `token` the secret that its VCL compares."""

    def __init__(self, section: TargetSection, equipment: Equipment) -> None:
        self.name = section.name
        self.limits = limits_for(section, LIMITS)
        self._calls = Calls(section, equipment, self.limits)
        self._url = section.url.rstrip("/")
        self._headers = {"Pastebin-Purge-Secret": section.token.reveal()}
        self._tokens = Tokens(equipment.secret, _TOKEN_SECONDS) if equipment.secret else None
        self._latest: Position | None = None

    async def purge(self, batch: Batch) -> None:
        async with self._calls.deadline():
            token = self._token(batch.position)
            if batch.flush:
                await self._purge({"pastebin-flush": "1", **token}, ())
                return
            if batch.keys:
                field = "xkey-softpurge" if batch.soft else "xkey-purge"

                async def send(keys: Sequence[str]) -> None:
                    await self._purge({field: " ".join(keys), "pastebin-marks": marks_of(keys), **token}, keys)

                await divided(batch.keys, send)
            await self._purge_urls(batch.urls, token)

    async def purge_urls(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            await self._purge_urls(urls, {})

    async def push(self, urls: Sequence[str]) -> None:
        async with self._calls.deadline():
            for url in urls:
                host, target = _parts(url)
                await self._calls.warm(self._url + target, {"Host": host})

    async def check(self) -> str | None:
        try:
            async with self._calls.deadline():
                await self._purge({"pastebin-check": "1"}, ())
        except TargetError as error:
            return str(error)
        return None

    async def _purge_urls(self, urls: Sequence[str], token: dict[str, str]) -> None:
        for url in urls:
            host, target = _parts(url)
            await self._purge({"Host": host, **token}, [url], target)

    async def _purge(self, headers: dict[str, str], about: Sequence[str], target: str = "/") -> None:
        answer = await self._calls.send("PURGE", self._url + target, about, headers={**self._headers, **headers})
        self._expect_ours(answer)

    def _expect_ours(self, answer: Answer) -> None:
        if "Pastebin-Purged" not in answer.headers:
            raise TargetUnreachable("the answer is not that of pastebin.vcl")

    def _token(self, position: Position | None) -> dict[str, str]:
        """For the latest position of all: a mark may stand for many keys, and VCL cannot tell which token is newer.

        What is sent again would otherwise take back what a later purge has demanded of fetches.
        """
        self._latest = later(self._latest, position)
        if self._tokens is None or self._latest is None:
            return {}
        return {MIN_LSN_HEADER: self._tokens.seal(self._latest, now=time.time(), purpose="min-lsn")}


def marks_of(keys: Sequence[str]) -> str:
    """The last letters of these keys, each once; `*` for all of them where they are too many or not plain letters."""
    marks = "".join(sorted({key[-1:] for key in keys}))
    return marks if 0 < len(marks) <= _MARKS and marks.isascii() and marks.isalnum() else "*"


def _parts(url: str) -> tuple[str, str]:
    """Host and request target of an absolute address, as they go over the wire."""
    parts = urlsplit(url)
    return parts.netloc, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


@asynccontextmanager
async def opened(section: TargetSection, equipment: Equipment) -> AsyncIterator[Target]:
    """The Varnish that `section` names."""
    varnish, seconds = Varnish(section, equipment), [KEYS_SECONDS]
    async with Repeated.opened(varnish, equipment.loops, keys_seconds=seconds, flush_seconds=seconds) as repeated:
        yield repeated
