"""What can be told that content has changed: one small file a kind, all of them behind `Target`.

A module of a kind has one function `opened(section, equipment)`, an async context manager that yields its `Target`.
Telling the same thing twice, or in another order, does no harm: that is what makes it safe to repeat a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

from pastebin.http.strangers import Strangers
from pastebin.loops import Loops
from pastebin.positions import Position
from pastebin.sections import TargetSection


@dataclass(frozen=True, slots=True)
class Limits:
    """What a target takes in one call and in one second. The sender cuts batches and paces calls by it.

    `wants_heartbeats`: batches without keys are sent too, so that the target knows that it has missed nothing.
    """

    keys_per_call: int = 1000
    urls_per_call: int = 100
    calls_per_second: float = 1000.0
    burst: int = 100
    wants_heartbeats: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What has changed between two sequence numbers of the feed, each key once.

    `epoch` names the feed the numbers belong to. Everything up to and including `previous` was in the batches before,
    everything up to and including `sequence` is in this one or before it; it never has more keys than its target takes
    in one call. `urls` are absolute addresses to be purged beside the keys. `soft`: what is stored may be served stale
    while it is fetched again. `flush`: whatever is stored may be wrong; the keys, if any, need not be looked at. A
    batch without keys, urls and flush is a heartbeat.

    Whoever refills must have seen `position`. If this batch is the last one for the moment, `as_of` (the event loop's
    clock) is when the database was asked: everything committed until then is told, and so is everything that a reader
    at `complete` can have seen.
    """

    epoch: str
    previous: int
    sequence: int
    keys: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    position: Position | None = None
    soft: bool = False
    flush: bool = False
    as_of: float | None = None
    complete: Position | None = None

    @property
    def is_heartbeat(self) -> bool:
        return not (self.keys or self.urls or self.flush)


class TargetError(Exception):
    """A target did not do what it was asked to; the text is for operators: no secret, nor its name, which they have."""


class TargetUnreachable(TargetError):
    """Nobody answered, or what did is out of order: the same batch is sent again, for as long as it takes."""


class TargetBusy(TargetError):
    """The target asks for patience."""

    def __init__(self, detail: str, *, retry_after_seconds: float) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class TargetRefused(TargetError):
    """The target will not take these keys (or addresses), though it took the others of the call."""

    def __init__(self, detail: str, keys: Sequence[str]) -> None:
        super().__init__(detail)
        self.keys = tuple(keys)


class TargetBehind(TargetError):
    """The target has seen less than `previous`: it is to be told again from `sequence` on, of feed `epoch`."""

    def __init__(self, detail: str, *, epoch: str, sequence: int) -> None:
        super().__init__(detail)
        self.epoch = epoch
        self.sequence = sequence


class Target(Protocol):
    """A cache that answers for the origin somewhere. Every method ends within the request timeout it was made with."""

    @property
    def name(self) -> str:
        """As the configuration calls it; unique among the targets."""

    @property
    def limits(self) -> Limits:
        """What it takes in one call and in one second."""

    async def purge(self, batch: Batch) -> None:
        """Return when nobody gets anything older than the batch any more; at most `keys_per_call` keys.

        Raises TargetUnreachable, TargetBusy, TargetRefused; one that counts sequences itself also TargetBehind.
        """

    async def purge_urls(self, urls: Sequence[str]) -> None:
        """The same for absolute addresses, at most `urls_per_call`. Raises as `purge` does."""

    async def push(self, urls: Sequence[str]) -> None:
        """Have what lies at these absolute addresses fetched ahead of the asking. A target that cannot does nothing.

        Raises TargetUnreachable, TargetBusy, TargetRefused.
        """

    async def check(self) -> str | None:
        """What is wrong with it, or None."""


@dataclass(frozen=True, slots=True)
class Equipment:
    """What every kind is made with: one HTTP client for all; calls say `allow_redirects=False` themselves.

    `secret` signs what goes to edges of the same cluster. `node` is who sends, `site_url` how clients address the
    service (it may be empty: then there are no absolute addresses). Replicas that answer for the origin may be
    `lag_seconds` behind; 0 without replicas.
    """

    client: aiohttp.ClientSession
    loops: Loops
    request_timeout_seconds: float
    node: str
    site_url: str = ""
    secret: bytes = field(default=b"", repr=False)
    lag_seconds: float = 0.0
    strangers: Strangers | None = None


Opening = Callable[[TargetSection, Equipment], AbstractAsyncContextManager[Target]]
