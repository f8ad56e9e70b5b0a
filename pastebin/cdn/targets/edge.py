"""An edge of this installation: it counts sequences itself, and needs to hear that there is nothing to hear."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp
import msgspec
import orjson

from pastebin.cdn.targets import (
    Batch,
    Equipment,
    Limits,
    Target,
    TargetBehind,
    TargetBusy,
    TargetUnreachable,
)
from pastebin.http.signing import Signer
from pastebin.http.strangers import is_refusal
from pastebin.positions import Position
from pastebin.sections import TargetSection

PURGES = "/cdn/purges"
PUSHES = "/cdn/pushes"
STATE = "/cdn/state"
# As many as fit into the largest message that an edge accepts, whatever the slugs.
LIMITS = Limits(keys_per_call=4000, urls_per_call=100, wants_heartbeats=True)

_ANSWER_BYTES = 64 * 1024
_CLOCKS = 16


class Reply(msgspec.Struct, frozen=True):
    """What an edge says to a message: where it is, whether it lacks something, and what its clock shows."""

    epoch: str
    sequence: int
    behind: bool
    clock: str


class Carrier(Protocol):
    """Brings messages to an edge, over the network or within the process."""

    async def carry(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """The edge's answer. Raises TargetUnreachable, TargetBusy."""

    async def state(self) -> dict[str, Any]:
        """What GET of STATE answers. Raises the same."""


class EdgeTarget:
    """One edge.

    An edge may trust what it has stored for a while after it has heard that nothing is new. How old such a message is
    cannot be told by clocks that differ, or after a delay on the way; so every reply carries the edge's own clock, and
    a message that was made of what the database said later than that reply carries it back.
    """

    def __init__(self, name: str, carrier: Carrier, node: str) -> None:
        self.name = name
        self.limits = LIMITS
        self._carrier = carrier
        self._node = node
        # what the edge's clock showed, and what ours showed when we were told
        self._clocks: deque[tuple[float, str]] = deque(maxlen=_CLOCKS)

    async def purge(self, batch: Batch) -> None:
        """Raises TargetBehind if the edge lacks something before the batch, or counts in another feed."""
        message = {
            "node": self._node,
            "epoch": batch.epoch,
            "previous": batch.previous,
            "sequence": batch.sequence,
            "keys": batch.keys,
            "urls": batch.urls,
            "position": _numbers(batch.position),
            "complete": _numbers(batch.complete),
            "soft": batch.soft,
            "flush": batch.flush,
            "since": self._clock_before(batch.as_of),
        }
        reply = await self._exchange(PURGES, message)
        if reply.behind:
            detail = f"it is at {reply.sequence} of {reply.epoch or 'no feed'}, not at {batch.previous}"
            raise TargetBehind(detail, epoch=reply.epoch, sequence=reply.sequence)

    async def purge_urls(self, urls: Sequence[str]) -> None:
        """Beside the feed, so it says nothing about how far the edge has come."""
        await self._exchange(PURGES, {"node": self._node, "urls": list(urls)})

    async def push(self, urls: Sequence[str]) -> None:
        """The edge fetches them when it has time; it answers at once."""
        await self._exchange(PUSHES, {"node": self._node, "urls": list(urls)})

    async def check(self) -> str | None:
        try:
            await self._carrier.state()
        except (TargetUnreachable, TargetBusy) as error:
            return str(error)
        return None

    async def _exchange(self, path: str, message: dict[str, Any]) -> Reply:
        answer = await self._carrier.carry(path, message)
        try:
            reply = msgspec.convert(answer, Reply)
        except msgspec.ValidationError as error:
            raise TargetUnreachable(f"not the answer of an edge: {error}") from None
        self._clocks.append((asyncio.get_running_loop().time(), reply.clock))
        return reply

    def _clock_before(self, as_of: float | None) -> str | None:
        """The latest time of the edge that we knew of before the database was asked."""
        known = [clock for told_at, clock in self._clocks if as_of is not None and told_at <= as_of]
        return known[-1] if known else None


class HttpCarrier:
    """To the internal door of another node, signed."""

    def __init__(self, url: str, equipment: Equipment) -> None:
        self._url = url.rstrip("/")
        self._client = equipment.client
        self._seconds = equipment.request_timeout_seconds
        self._signer = Signer(equipment.secret, node=equipment.node, strangers=equipment.strangers)

    async def carry(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        return await self._send("POST", path, orjson.dumps(message))

    async def state(self) -> dict[str, Any]:
        return await self._send("GET", STATE, b"")

    async def _send(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        headers = self._signer.headers(method, path, body)
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._client.request(
                    method,
                    f"{self._url}{path}",
                    data=body or None,
                    headers={**headers, "Content-Type": "application/json"},
                    allow_redirects=False,
                ) as response,
            ):
                text = await response.content.read(_ANSWER_BYTES)
        except TimeoutError:
            raise TargetUnreachable(f"no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TargetUnreachable(_reason(error)) from error
        if response.status in (429, 503):
            raise TargetBusy("has enough to do", retry_after_seconds=1.0)
        try:
            answer = orjson.loads(text)
        except orjson.JSONDecodeError:
            answer = None
        if is_refusal(response.status, text):
            self._signer.heard(f"the edge at {self._url}", response.status, text)
            raise TargetUnreachable("has another node.secret than this node: give every node the same")
        if response.status != 200 or not isinstance(answer, dict):
            raise TargetUnreachable(f"answered {response.status} to {method} {path}")
        return answer


class LocalCarrier:
    """To the edge in this process, which may not be there yet."""

    def __init__(self, find: Callable[[], Carrier | None]) -> None:
        self._find = find

    async def carry(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        return await self._edge().carry(path, message)

    async def state(self) -> dict[str, Any]:
        return await self._edge().state()

    def _edge(self) -> Carrier:
        edge = self._find()
        if edge is None:
            raise TargetUnreachable("the edge of this process has not begun")
        return edge


@asynccontextmanager
async def opened(section: TargetSection, equipment: Equipment) -> AsyncIterator[Target]:
    """The edge whose internal door `section.url` is."""
    yield EdgeTarget(section.name, HttpCarrier(section.url, equipment), equipment.node)


def _reason(error: Exception) -> str:
    """The system's words, without those of the library and without addresses."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number is not None and number > 0 else type(error).__name__


def _numbers(position: Position | None) -> list[int] | None:
    return None if position is None else [position.system_id, position.timeline, position.lsn]
