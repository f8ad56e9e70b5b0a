"""What several name servers find of the regions, and what they agree on."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pastebin.damping import agreed


class Told(msgspec.Struct, frozen=True):
    """What one name server says of the regions: whether it finds them up."""

    node: str
    regions: dict[str, bool]


class Votes:
    """Decides by the votes of those who have been heard lately. Times are of a clock that only goes forward."""

    def __init__(self, name: str, peers: Sequence[str], fresh_seconds: float) -> None:
        self._name = name
        self._peers = set(peers)
        self._fresh_seconds = fresh_seconds
        self._heard: dict[str, tuple[float, Told]] = {}

    def hear(self, url: str, told: Told, now: float) -> None:
        """Take account of what a peer says."""
        if told.node == self._name:  # oneself by another address is no second opinion
            self._peers.discard(url)
        else:
            self._heard[url] = (now, told)

    def verdict(self, region: str, *, own: bool, before: bool, now: float) -> bool:
        """Whether a region is up: as before while fewer than half of all name servers, this one included, are heard.

        Who is cut off from most of the others sees regions go down that only it cannot reach.
        """
        oldest = now - self._fresh_seconds
        others = [
            told.regions[region]
            for url, (at, told) in self._heard.items()
            if url in self._peers and at > oldest and region in told.regions
        ]
        if 2 * (1 + len(others)) < 1 + len(self._peers):
            return before
        return agreed(own, others)
