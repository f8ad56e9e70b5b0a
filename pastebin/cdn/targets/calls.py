"""HTTP calls to what purges: paced, bounded in time and in bytes, never redirected, failures in the words of a target.

What is wrong with the call as a whole (credentials, address, a server out of order) is TargetUnreachable: the batch
waits until an operator or the provider has put it right. Only what the content of the call may be to blame for is
TargetRefused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson
from yarl import URL

from pastebin.allowance import Allowance
from pastebin.cdn.targets import Equipment, Limits, TargetBusy, TargetRefused, TargetUnreachable
from pastebin.sections import TargetSection

_ANSWER_BYTES = 64 * 1024
_WARMED_BYTES = 64 * 1024**2
_DETAIL_CHARACTERS = 200
_REFUSALS_OF_EVERYTHING = 8
_BUSY_SECONDS = 5.0
_LONGEST_BUSY_SECONDS = 3600.0
# RFC 9110, 15.5: the content, its size, its kind; RFC 6585: the header fields are too large.
_REFUSALS = frozenset({400, 413, 414, 415, 422, 431})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Calls:
    """The calls of one target."""

    def __init__(self, section: TargetSection, equipment: Equipment, limits: Limits) -> None:
        self.seconds = equipment.request_timeout_seconds
        self._secrets = (section.token.reveal(), equipment.secret.decode("latin-1"))
        self._client = equipment.client
        self._allowance = Allowance(limits.calls_per_second, limits.burst)
        self._quiet_until = 0.0

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        """What is begun inside ends within the request timeout. Raises TargetUnreachable."""
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError:
            raise TargetUnreachable(f"no answer within {self.seconds:g} s") from None

    async def turn(self) -> None:
        """Wait for the next call that the limits allow. Raises TargetBusy if that takes longer than a call may."""
        loop = asyncio.get_running_loop()
        while True:
            wait = max(self._allowance.wait_seconds(), self._quiet_until - loop.time())
            if wait >= self.seconds / 2:
                raise TargetBusy("its limit is reached", retry_after_seconds=_bounded(wait))
            if wait > 0:
                await asyncio.sleep(wait)
            elif self._allowance.take():
                return

    def busy(self, detail: str, retry_after_seconds: float | None) -> TargetBusy:
        """The target has asked for patience: nothing is sent to it for so long."""
        seconds = _bounded(_BUSY_SECONDS if retry_after_seconds is None else retry_after_seconds)
        self._quiet_until = asyncio.get_running_loop().time() + seconds
        return TargetBusy(detail, retry_after_seconds=seconds)

    async def send(
        self,
        method: str,
        url: str,
        about: Sequence[str],
        *,
        headers: Mapping[str, str],
        json: Any = None,
    ) -> Answer:
        """One call; `about` are the keys or addresses in it. Raises TargetUnreachable, TargetBusy, TargetRefused."""
        data = None if json is None else orjson.dumps(json)
        kind = {} if json is None else {"Content-Type": "application/json"}
        await self.turn()
        answer = await self.exchange(method, url, headers={"Accept": "application/json", **kind, **headers}, data=data)
        if 200 <= answer.status < 300:
            return answer
        raise self._failure(answer.status, answer.headers, answer.body, about)

    async def exchange(self, method: str, url: str, *, headers: Mapping[str, str], data: bytes | None) -> Answer:
        """A request and its whole answer, whatever its status. Raises TargetUnreachable."""
        try:
            async with (
                self.deadline(),
                self._client.request(
                    method, URL(url, encoded=True), data=data, headers=headers, allow_redirects=False
                ) as response,
            ):
                return Answer(response.status, response.headers, await self._read(response))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TargetUnreachable(type(error).__name__) from error

    async def warm(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Fetch an address as a reader would, and drop what comes. Raises TargetUnreachable, TargetBusy."""
        await self.turn()
        try:
            async with (
                self.deadline(),
                self._client.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as response,
            ):
                read = 0
                async for chunk in response.content.iter_any():
                    read += len(chunk)
                    if read > _WARMED_BYTES:
                        return
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TargetUnreachable(type(error).__name__) from error
        if response.status >= 500 or response.status == 429:
            raise self._failure(response.status, response.headers, b"", ())

    def decoded(self, answer: Answer) -> dict[str, Any]:
        """The JSON object in an answer. Raises TargetUnreachable: who answers something else is not who we think."""
        try:
            found = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise TargetUnreachable("answers something else than a JSON object")
        return found

    def told(self, text: str | bytes) -> str:
        """What somebody else has said, as far as it is fit for a log line."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        for secret in filter(None, self._secrets):
            text = text.replace(secret, "***")
        words = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
        return words[:_DETAIL_CHARACTERS]

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > _ANSWER_BYTES:
                raise TargetUnreachable(f"answers with more than {_ANSWER_BYTES} bytes")
        return bytes(body)

    def _failure(
        self, status: int, headers: Mapping[str, str], body: bytes, about: Sequence[str]
    ) -> TargetUnreachable | TargetBusy | TargetRefused:
        retry_after = retry_after_seconds(headers.get("Retry-After"), datetime.now(UTC))
        if status == 429 or (status == 503 and retry_after is not None):
            return self.busy(f"asks for patience (HTTP {status})", retry_after)
        if status in (401, 403):
            return TargetUnreachable(f"refuses the credentials (HTTP {status})")
        said = f"HTTP {status} {self.told(body)}".strip()
        if status in _REFUSALS and about:
            return TargetRefused(said, about)
        return TargetUnreachable(said)


def limits_for(section: TargetSection, limits: Limits) -> Limits:
    """The limits of a kind, with the rate that the configuration may set for this account."""
    return Limits(
        keys_per_call=limits.keys_per_call,
        urls_per_call=limits.urls_per_call,
        calls_per_second=section.calls_per_second or limits.calls_per_second,
        burst=section.burst or limits.burst,
    )


async def divided(items: Sequence[str], send: Callable[[Sequence[str]], Awaitable[None]]) -> None:
    """Send `items` in one call; of a call that is refused the halves, so that the good ones arrive.

    Raises TargetRefused with those that are refused alone; TargetUnreachable if that seems to be everything, for
    then it is not the items that are wrong. Everything else `send` raises passes through.
    """
    waiting, refused, detail, accepted = [items], list[str](), "", False
    while waiting:
        part = waiting.pop()
        try:
            await send(part)
            accepted = True
        except TargetRefused as error:
            detail = str(error)
            if len(part) > 1:
                waiting += [part[: len(part) // 2], part[len(part) // 2 :]]
                continue
            refused += part
            if len(refused) >= _REFUSALS_OF_EVERYTHING and not accepted:
                raise TargetUnreachable(f"{detail}; refuses everything") from error
    if refused:
        raise TargetRefused(detail, refused)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Retry-After (RFC 9110, 10.2.3): seconds or a date; None without one that can be read."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    return max((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp(), 0.0)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST_BUSY_SECONDS)
