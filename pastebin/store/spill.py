"""How much reading the primary does in place of its replicas: a rate, and a share of its connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pastebin.allowance import Allowance
from pastebin.errors import Overloaded
from pastebin.sections import DatabaseSection
from pastebin.store.balancing import spill_places


class Spill:
    """Refuses what would take the primary down with its replicas: the writes that only it can do come first."""

    def __init__(self, section: DatabaseSection) -> None:
        rate = section.spill_reads_per_second
        self._allowance = Allowance(rate, max(rate, 1.0))
        self._places = spill_places(section.pool_size, section.spill_pool_share)
        self._taken = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold one of the places. Raises Overloaded when all are taken, or when there were too many in this second."""
        if self._taken >= self._places or not self._allowance.take():
            raise Overloaded(
                "The replicas of the database are away or behind; try again shortly.", retry_after_seconds=1
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
