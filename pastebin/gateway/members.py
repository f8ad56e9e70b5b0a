"""A node as the gateway knows it: its connections, and how it has been of late."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from pastebin import portraits
from pastebin.breaking import Circuit
from pastebin.damping import State
from pastebin.http.upstreams import Upstream
from pastebin.store import balancing
from pastebin.store.balancing import Latency

_MEMORY_SECONDS = 10.0

Word = Literal["up", "ejected", "down"]


@dataclass(eq=False, slots=True)
class Member:
    """One node of a region at one address.

    Whoever sends it a request calls `began`, then one of `answered`, `failed` and `given_up`, and last `ended`.
    """

    name: str
    region: str
    given_roles: tuple[str, ...]
    upstream: Upstream
    circuit: Circuit
    internal: Upstream | None = None
    probed: State = field(default_factory=State)
    load: float = 0.0  # requests/s, as it says itself
    is_stranger: bool | None = None  # it has another secret; None while it does not say which
    latency: Latency = field(default_factory=Latency)
    in_flight: int = 0

    @property
    def roles(self) -> tuple[str, ...]:
        """What it is asked for: nothing, while it has another secret."""
        return () if self.is_stranger else self.given_roles

    def is_well(self, now: float) -> bool:
        """See `balancing.Candidate`."""
        return self.probed.is_up and self.circuit.admits(now)

    def cost(self, now: float) -> float:
        """See `balancing.Candidate`. A slow answer is forgotten also where nothing is asked any more."""
        kept = math.exp(-max(now - self.latency.at, 0.0) / _MEMORY_SECONDS)
        return balancing.cost(Latency(self.latency.seconds * kept), self.in_flight, 1.0)

    def word(self, now: float) -> Word:
        """For figures."""
        if self.is_stranger or not self.probed.is_up:
            return "down"
        return "up" if self.circuit.state(now) == "closed" else "ejected"

    def portrait(self, now: float) -> portraits.Upstream:
        """For pages."""
        latency = round(self.latency.seconds * 1000, 1) if self.latency.seconds else None
        return portraits.Upstream(self.name[:128], self.region, self.word(now), latency)

    def began(self, now: float) -> None:
        self.in_flight += 1
        self.circuit.began(now)

    def answered(self, seconds: float, now: float) -> None:
        """An answer has begun after so many seconds."""
        self.latency = self.latency.observed(seconds, now)
        self.circuit.succeeded(now)

    def failed(self, now: float) -> None:
        self.circuit.failed(now)

    def given_up(self) -> None:
        self.circuit.given_up()

    def ended(self) -> None:
        self.in_flight -= 1

    def close(self) -> None:
        self.upstream.close()
        if self.internal is not None:
            self.internal.close()
