"""What a node says of itself at `/topology` of its internal door; every role adds its part."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

TOPOLOGY = "/topology"

Word = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=1024)]
Amount = Annotated[float, Meta(ge=0, le=1e15)]
Whole = Annotated[int, Meta(ge=0, le=10**15)]

# What a role tells of itself; called whenever somebody asks, so it must cost next to nothing and not wait.
Part = Callable[[], Any]


class Server(msgspec.Struct, frozen=True):
    """A server of the database. `state` is up, suspect, down or lagging: behind by more than is allowed."""

    name: Word
    state: Word = "down"
    in_flight: Whole = 0
    lag_seconds: Amount | None = None
    lag_bytes: Whole | None = None


class Servers(msgspec.Struct, frozen=True):
    """The database as one node sees it."""

    primary: Server | None = None
    replicas: Annotated[list[Server], Meta(max_length=64)] = []


class TargetQueue(msgspec.Struct, frozen=True):
    """What one cache has not been told yet."""

    depth: Whole = 0
    oldest_seconds: Amount = 0.0
    dead_letters: Whole = 0


class Queue(msgspec.Struct, frozen=True):
    """What the caches that one worker has to tell do not know: the most that one of them lacks, the oldest of it."""

    depth: Whole = 0
    oldest_seconds: Amount = 0.0
    dead_letters: Whole = 0
    targets: Annotated[dict[Word, TargetQueue], Meta(max_length=1024)] = {}


class Upstream(msgspec.Struct, frozen=True):
    """A node as a gateway finds it: up, ejected or down."""

    node: Word
    region: Word
    state: Word
    latency_ms: Amount | None = None


class Names(msgspec.Struct, frozen=True):
    """What a name server finds of the regions, up or down, and how often it has named each."""

    regions: Annotated[dict[Word, Word], Meta(max_length=256)] = {}
    queries_per_second: Amount = 0.0
    answers: Annotated[dict[Word, Whole], Meta(max_length=256)] = {}
    answers_per_second: Annotated[dict[Word, Amount], Meta(max_length=256)] = {}


class Counts(msgspec.Struct, frozen=True):
    """What an analytics service takes in."""

    events_per_second: Amount = 0.0
    is_well: bool = True


class Store(msgspec.Struct, frozen=True):
    """Where the blobs are: the kind of store, and the server of it."""

    kind: Word
    name: Text = ""


class Portrait(msgspec.Struct, frozen=True):
    """One node; `secret` is the fingerprint of the one it was given.

    Parts that none of its roles has are None; what is unknown here, of another version, is passed over.
    """

    node: Word
    region: Word = ""
    roles: Annotated[list[Word], Meta(max_length=32)] = []
    version: Word = ""
    started_at: Annotated[float, Meta(ge=0, le=1e11)] = 0.0
    ready: bool = False
    problems: Annotated[dict[Word, Text], Meta(max_length=64)] = {}
    secret: Word = ""
    requests_per_second: Amount = 0.0
    hit_ratio: Annotated[float, Meta(ge=0, le=1)] | None = None
    database: Servers | None = None
    queue: Queue | None = None
    upstreams: Annotated[list[Upstream], Meta(max_length=4096)] | None = None
    dns: Names | None = None
    analytics: Counts | None = None
    blobs: Store | None = None


class Pace:
    """How fast a count grows, over about `seconds`. Whoever counts adds a function to `counts`: nothing is paid for
    the single event, as somebody calls `look` once a second."""

    def __init__(self, seconds: int = 10) -> None:
        self.counts: list[Callable[[], float]] = []
        self._looks: deque[tuple[float, float]] = deque(maxlen=seconds + 1)

    def look(self, now: float) -> None:
        """Note where the counts are; `now` is of a clock that does not jump."""
        self._looks.append((now, sum(count() for count in self.counts)))

    @property
    def grown(self) -> float:
        """By how much in all that time."""
        return max(self._looks[-1][1] - self._looks[0][1], 0.0) if self._looks else 0.0

    @property
    def per_second(self) -> float:
        """On average."""
        seconds = self._looks[-1][0] - self._looks[0][0] if self._looks else 0.0
        return round(self.grown / seconds, 1) if seconds > 0 else 0.0
