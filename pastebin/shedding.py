"""Which share of its clients a region takes, told from the requests that come to it without believing each figure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import msgspec

from pastebin.decoding import UNREADABLE

_MEMORY_SECONDS = 15.0
_AIM = 0.9  # of the capacity; what lies between the next two changes nothing
_SPARE = 0.8
_FULL = 1.0
_GROWTH = 1.5
_LEAST = 0.01
_MOST_LOAD = 1e12
# nodes tell of the last 10 s or so, and that has to be out of what is remembered here, too
_AVERAGED_SECONDS = 40.0


class Told(msgspec.Struct, frozen=True):
    """What an answer to a probe may say, as JSON, beside that its node is well.

    `secret` is the fingerprint of the node's secret; empty where it was given none.
    """

    requests_per_second: float = 0.0
    secret: str = ""


def told(body: bytes) -> Told:
    """What an answer says; 0 requests/s where it speaks of none."""
    try:
        said = msgspec.json.decode(body, type=Told)
    except UNREADABLE:
        return Told()
    return said if 0 <= said.requests_per_second < _MOST_LOAD else Told(secret=said.secret)


@dataclass(frozen=True, slots=True)
class Share:
    """The part of its clients that a region takes, and its load: smoothed, in requests/s."""

    part: float = 1.0
    load: float = 0.0
    measured_at: float = -math.inf
    changed_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class Shedding:
    """The rules. `lag_seconds` pass until clients follow an answer: its TTL.

    A load beyond the capacity is brought to 90 % of it, by the part of the clients who make up the rest; one below
    80 % makes room for some of them again. Nothing changes before the last change can be seen in the load: who
    corrects what is being corrected swings.
    """

    lag_seconds: float

    def after(self, share: Share, load: float, capacity: float, now: float) -> Share:
        """The share after one more look at the load; a capacity of 0 has no limit."""
        if not capacity:
            return Share()
        weight = 1 - math.exp(-max(now - share.measured_at, 0.0) / _MEMORY_SECONDS)
        seen = replace(share, load=share.load + (load - share.load) * weight, measured_at=now)
        if now - share.changed_at < self.lag_seconds + _AVERAGED_SECONDS:
            return seen
        fitting = share.part * _AIM * capacity / max(seen.load, 1e-9)
        if seen.load > _FULL * capacity:
            part = max(fitting, _LEAST)
        elif seen.load < _SPARE * capacity and share.part < 1:
            part = min(fitting, share.part * _GROWTH, 1.0)
        else:
            return seen
        return replace(seen, part=part, changed_at=now)
