"""Talking to the analytics service: in this process without a network, else over HTTP to its internal door, signed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiohttp

from pastebin.errors import Unavailable
from pastebin.sections import VisitsSection
from pastebin.visits import BATCHES

log = logging.getLogger(__name__)

ANSWER_BYTES = 16 * 1024**2
BATCH_HEADER = "Pastebin-Batch"


_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said. `retry_after_seconds` is how long it wants to be left alone, 0 for unknown."""

    status: int
    body: bytes = b""
    retry_after_seconds: float = 0.0


class LocalAnalytics(Protocol):
    """The analytics service in this process."""

    async def carry(self, method: str, path: str, body: bytes) -> Answer:
        """Take what the signed address takes, byte for byte, and answer as it does; refusals are answers, too.

        Raises Unavailable, which is as good as an answer of 503.
        """


class Signing(Protocol):
    """Makes requests known as those of a node of this installation; see `http.signing`."""

    def headers(self, method: str, target: str, body: bytes) -> dict[str, str]: ...

    def heard(self, server: str, status: int, body: bytes) -> None:
        """What a server has answered."""


class Statistics:
    """The one client of the analytics service. It tries once; whether to try again is for the caller to know."""

    def __init__(
        self,
        find: Callable[[], LocalAnalytics | None],
        url: str,
        signer: Signing,
        seconds: float,
        client: aiohttp.ClientSession | None,
    ) -> None:
        self._find = find
        self._url = url.rstrip("/")
        self._signer = signer
        self._seconds = seconds
        self._client = client

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, section: VisitsSection, signer: Signing, find: Callable[[], LocalAnalytics | None]
    ) -> AsyncIterator[Statistics]:
        """`find` yields the service of this process, once it is there; without one `section.url` is asked."""
        seconds = section.request_timeout_seconds
        if not section.url:
            yield cls(find, "", signer, seconds, None)
            return
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=16, ttl_dns_cache=10),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as client:
            yield cls(find, section.url, signer, seconds, client)

    async def send(
        self,
        path: str,
        body: bytes = b"",
        *,
        method: str = "POST",
        headers: Mapping[str, str] = _NOTHING,
        seconds: float | None = None,
    ) -> Answer:
        """One request and its whole answer, whatever its status, within `seconds`.

        `path` is the request target, with its query. Raises Unavailable if there is no answer.
        """
        seconds = self._seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(seconds):
                if (local := self._find()) is not None:
                    return await _carried(local, method, path, body)
                if self._client is None:
                    raise Unavailable("there is no analytics service")
                return await self._exchange(self._client, method, path, body, headers)
        except TimeoutError:
            raise Unavailable(f"the analytics service does not answer within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"the analytics service cannot be reached: {_reason(error)}") from error

    async def send_batch(self, batch_id: str, body: bytes) -> Answer:
        """A batch of events, packed by gzip. Raises Unavailable if there is no answer."""
        return await self.send(BATCHES, body, headers={BATCH_HEADER: batch_id, "Content-Type": "application/gzip"})

    async def _exchange(
        self, client: aiohttp.ClientSession, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        signed = {**headers, **self._signer.headers(method, path, body)}
        async with client.request(
            method, f"{self._url}{path}", data=body or None, headers=signed, allow_redirects=False
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > ANSWER_BYTES:
                    raise Unavailable(f"the analytics service answers with more than {ANSWER_BYTES} bytes")
            after = response.headers.get("Retry-After", "").strip()
            self._signer.heard(f"analytics at {self._url}", response.status, bytes(content))
            wait = float(after) if after.isascii() and after.isdigit() and len(after) < 6 else 0.0
            return Answer(response.status, bytes(content), wait)


async def _carried(local: LocalAnalytics, method: str, path: str, body: bytes) -> Answer:
    try:
        return await local.carry(method, path, body)
    except Unavailable:
        raise
    except Exception as error:  # whatever is wrong with analytics in this process must not end the node
        log.exception("analytics failed")
        raise Unavailable(f"the analytics service failed: {type(error).__name__}") from error


def _reason(error: Exception) -> str:
    """The system's words, without those of the library and without addresses."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number is not None and number > 0 else type(error).__name__
