"""The edge's side of the purge feed: what it has been told, and for how long it may trust what it has stored."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Protocol

import msgspec
import orjson
from aiohttp import web
from msgspec import Meta

from pastebin.cdn.generations import Requirement
from pastebin.cdn.targets.edge import PURGES, PUSHES, STATE
from pastebin.errors import UnreadableRequest
from pastebin.http.app import Routes
from pastebin.http.signing import SignedRoutes
from pastebin.metrics import Metrics
from pastebin.positions import Position

_NOTE_SECONDS = 1.0
_LARGEST = 2**64 - 1


class PurgeClock(Protocol):
    """What tells fills that began before a purge (`Generations`)."""

    def purge(self, keys: Iterable[str], position: Position | None) -> int: ...

    def flush(self, position: Position | None = None) -> int: ...

    def require(self, required: Requirement) -> None: ...


class Purgeable(Protocol):
    """What is stored (`Cache`), and where the state of the feed is kept for the next process."""

    def purge(self, tags: Iterable[str], *, soft: bool = False) -> int: ...

    def flush(self) -> None: ...

    def note_feed(self, epoch: str, sequence: int) -> None: ...


class Message(msgspec.Struct, frozen=True):
    """What `cdn.targets.edge` sends. Without an epoch it stands beside the feed."""

    node: str = ""
    epoch: Annotated[str, Meta(max_length=64)] = ""
    previous: int = 0
    sequence: int = 0
    keys: list[str] = []
    urls: list[str] = []
    position: tuple[int, int, int] | None = None
    complete: tuple[int, int, int] | None = None
    soft: bool = False
    flush: bool = False
    since: str | None = None


class Feed:
    """Applies messages at once and wholly; repeated, late or overtaken ones do no harm.

    `sequence` counts in the feed `epoch`: everything up to it has been told. `position` is such that a reader who was
    there has seen no change that was not told. Until the first message that leaves nothing out, what is fetched has to
    come from the primary, and afterwards from whoever is as far as that message: so a purge outlives a restart.
    `identity` tells this edge from every other, also of nodes with the same name.
    `drop` forgets one absolute address; `warm` fetches some when there is time, and must not wait.
    """

    def __init__(
        self,
        stored: Purgeable,
        clock: PurgeClock,
        metrics: Metrics,
        *,
        lease_seconds: float,
        noted: tuple[str, int] | None = None,
        identity: str = "",
        drop: Callable[[str], object] = lambda _url: None,
        warm: Callable[[Sequence[str]], object] = lambda _urls: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.epoch, self.sequence = noted or ("", 0)
        self.identity = identity
        self.heard_at = -math.inf
        self.position: Position | None = None
        self._stored = stored
        self._clock = clock
        self._metrics = metrics
        self._lease_seconds = lease_seconds
        self.drop = drop
        self.warm = warm
        self._now = now
        self._noted_at = -math.inf
        # a clock of another process, or another machine, says nothing here
        self._life = secrets.token_hex(8)
        # an earlier process may have been told of changes that replicas have not seen
        self._is_new = lease_seconds > 0
        if self._is_new:
            clock.require("primary")

    def is_held(self, now: float) -> bool:
        """The lease: whether what is stored may be served without asking. `now` is of the clock given to the feed."""
        return now <= self.held_until()

    def held_until(self) -> float:
        """When the lease ends if nothing more is heard, by the clock given to the feed."""
        return self.heard_at + self._lease_seconds if self._lease_seconds else math.inf

    async def receive(self, message: Message) -> dict[str, Any]:
        """Apply a message; the answer says where this edge is, and whether it lacks something before the message."""
        now = self._now()
        position = _position(message.position)
        for url in message.urls:
            self.drop(url)
        is_behind = bool(message.epoch) and not message.flush and self._lacks(message)
        if self._is_new and position is not None and not is_behind and self._is_latest(message):
            self._is_new = False
            self._clock.require(position)
        if message.flush:
            self._flush(message, position)
        elif message.keys:
            # in the same breath: nothing may be stored between the two
            self._clock.purge(message.keys, position)
            self._stored.purge(message.keys, soft=message.soft)
        if message.epoch and not is_behind:
            self._move_on(message, now)
        outcome = "flush" if message.flush else "behind" if is_behind else "applied" if message.keys else "heartbeat"
        self._metrics.purge_messages.labels(outcome).inc()
        return {
            "epoch": self.epoch,
            "sequence": self.sequence,
            "behind": is_behind,
            "clock": f"{self._life}:{now!r}",
        }

    def _is_latest(self, message: Message) -> bool:
        """Whether its position is behind everything that was ever told here: not so if it took its time on the way."""
        return message.flush or (bool(message.epoch) and message.sequence >= self.sequence)

    def _lacks(self, message: Message) -> bool:
        return message.epoch != self.epoch or message.previous > self.sequence

    def _flush(self, message: Message, position: Position | None) -> None:
        self._clock.flush(position)
        self._stored.flush()
        if message.epoch != self.epoch:
            self.epoch, self.sequence, self.position = message.epoch, 0, None
        self._noted_at = -math.inf

    def _move_on(self, message: Message, now: float) -> None:
        self.sequence = max(self.sequence, message.sequence)
        complete = _position(message.complete)
        if complete is not None and (self.position is None or not self.position.covers(complete)):
            self.position = complete
        self.heard_at = max(self.heard_at, self._when(message.since, now))
        if now - self._noted_at >= _NOTE_SECONDS:
            self._noted_at = now
            self._stored.note_feed(self.epoch, self.sequence)

    def _when(self, since: str | None, now: float) -> float:
        """What our clock showed when we gave it away; long ago if it was not ours, or cannot be read."""
        life, _, shown = (since or "").partition(":")
        try:
            moment = float(shown) if life == self._life else -math.inf
        except ValueError:
            return -math.inf
        return min(moment, now) if math.isfinite(moment) else -math.inf

    def push(self, message: Message) -> dict[str, Any]:
        """Have addresses fetched ahead."""
        self.warm(message.urls)
        return {
            "epoch": self.epoch,
            "sequence": self.sequence,
            "behind": False,
            "clock": f"{self._life}:{self._now()!r}",
        }

    async def carry(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        """A message to one of the signed addresses, from whomever. Raises UnreadableRequest."""
        try:
            read = msgspec.convert(message, Message)
        except msgspec.ValidationError as error:
            raise UnreadableRequest(f"Not a message of the purge feed: {error}") from None
        for numbers in (read.position, read.complete):
            if numbers is not None and not all(0 <= number <= _LARGEST for number in numbers):
                raise UnreadableRequest("Not a message of the purge feed: a position is out of range")
        return await self.receive(read) if path == PURGES else self.push(read)

    async def state(self) -> dict[str, Any]:
        """For operators and checks."""
        now = self._now()
        heard = now - self.heard_at
        return {
            "epoch": self.epoch,
            "sequence": self.sequence,
            "heard_seconds": round(heard, 3) if math.isfinite(heard) else None,
            "is_held": self.is_held(now),
        }

    def routes(self, signed: SignedRoutes) -> Routes:
        """For the internal door."""
        return [
            web.post(PURGES, signed.only(self._take)),
            web.post(PUSHES, signed.only(self._take)),
            web.get(STATE, signed.only(self._show)),
        ]

    async def _take(self, request: web.Request, body: bytes) -> web.Response:
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            raise UnreadableRequest("Not a message of the purge feed.")
        return _json(await self.carry(request.path, message))

    async def _show(self, _request: web.Request, _body: bytes) -> web.Response:
        return _json(await self.state())


def _position(numbers: tuple[int, int, int] | None) -> Position | None:
    return None if numbers is None else Position(*numbers)


def _json(answer: dict[str, Any]) -> web.Response:
    return web.Response(
        body=orjson.dumps(answer), content_type="application/json", headers={"Cache-Control": "no-store"}
    )
