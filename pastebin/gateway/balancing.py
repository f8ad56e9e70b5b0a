"""Which node of which region is asked. Pure: values, `now` and a source of chance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar

from pastebin.gateway.wants import Want
from pastebin.store.balancing import choose


class Candidate(Protocol):
    """A node as far as it is weighed."""

    @property
    def name(self) -> str: ...

    @property
    def roles(self) -> Collection[str]: ...

    def is_well(self, now: float) -> bool:
        """Whether its probes and its requests of late say so."""

    def cost(self, now: float) -> float:
        """What one more request would wait for (peak EWMA); the lower the better."""


_WORST = 9

One = TypeVar("One", bound=Candidate)


def order(want: Want, steered: Sequence[str], primary: str) -> list[str]:
    """The regions to ask, in order: the client's for what is read, the primary's for what changes something."""
    if want.kind != "write" or not primary:
        return list(steered)
    return [primary, *(name for name in steered if name != primary)]


def pick(
    regions: Sequence[Sequence[One]],
    want: Want,
    tried: Collection[One],
    now: float,
    random: Callable[[], float],
) -> One | None:
    """The node to ask: in the first region that has one that is well and was not tried.

    Of those that suit best the cheaper one of two. Where none is well, any that was not tried; None where none is
    left at all.
    """
    for is_careless in (False, True):
        for members in regions:
            fit: list[One] = []
            best = _WORST
            for member in members:
                rank = want.suits(member.roles)
                if 0 <= rank <= best and member not in tried and (is_careless or member.is_well(now)):
                    if rank < best:
                        best, fit = rank, []
                    fit.append(member)
            if fit:
                if want.sticky:
                    return max(fit, key=lambda member: rendezvous(want.sticky, member.name))
                return choose(fit, lambda member: member.cost(now), random)
    return None


def rendezvous(word: str, name: str) -> bytes:
    """Highest random weight (Thaler and Ravishankar, 1998): the loss of a node moves only what was its own."""
    return blake2b(f"{word}|{name}".encode("utf-8", "replace"), digest_size=8).digest()
