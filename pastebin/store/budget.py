"""Memory for uploads under way: one budget in bytes for the whole node, shared so that nobody waits for ever.

An upload cannot send less than a part, and all of a part has to be there before it is sent. So bytes are lent as they
arrive, and a slow client holds no more than it has sent. Three quarters of the budget are for everybody. When they are
lent out, the next in line is promised the rest of its part from the last quarter: promised parts can always be
completed, sent and given back, so there is no deadlock. Who waits does not read: back-pressure reaches the client.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Loan:
    """The memory of one part of at most `size` bytes; `close` it when the part has been sent or given up."""

    budget: Budget
    size: int
    pooled: int = 0  # bytes from what is there for everybody
    promised: int | None = None  # bytes kept for this part alone, if it came to that
    drawn: int = 0  # of which so many are in use

    @property
    def held(self) -> int:
        """Bytes in use."""
        return self.pooled + self.drawn

    async def grow(self, count: int) -> None:
        """Take `count` bytes more, within `size`; returns when they can be had."""
        if self.held + count > self.size:
            raise ValueError("a part does not grow beyond the size it was begun with")
        await self.budget.lend(self, count)

    def close(self) -> None:
        """Give everything back; may be called again."""
        self.budget.take_back(self)


@dataclass(slots=True)
class Budget:
    """Loans of `total` bytes together, first come, first served."""

    total: int
    used: int = 0
    _pool: int = field(init=False)
    _reserve: int = field(init=False)
    _waiting: deque[tuple[Loan, int, asyncio.Future[None]]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._reserve = self.largest(self.total)
        self._pool = self.total - self._reserve

    @staticmethod
    def largest(total: int) -> int:
        """The largest part that a budget of `total` bytes can promise."""
        return min(total, max(total // 4, _SMALLEST_RESERVE))

    def loan(self, size: int) -> Loan:
        """A part of up to `size` bytes, or the largest there can be. It holds nothing yet."""
        return Loan(self, min(size, self.largest(self.total)))

    async def lend(self, loan: Loan, count: int) -> None:
        """See `Loan.grow`."""
        if (loan.promised is not None or not self._waiting) and self._give(loan, count):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (loan, count, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._serve()
            raise

    def take_back(self, loan: Loan) -> None:
        """See `Loan.close`."""
        self.used -= loan.held
        self._pool += loan.pooled
        self._reserve += loan.promised or 0
        loan.pooled, loan.drawn, loan.promised = 0, 0, None
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            loan, count, turn = self._waiting[0]
            if not turn.done() and not self._give(loan, count):
                return
            self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)

    def _give(self, loan: Loan, count: int) -> bool:
        if loan.promised is None:
            if count <= self._pool:
                self._pool -= count
                loan.pooled += count
                self.used += count
                return True
            needed = loan.size - loan.held
            if needed > self._reserve:
                return False
            self._reserve -= needed
            loan.promised = needed
        loan.drawn += count
        self.used += count
        return True


_SMALLEST_RESERVE = 9 * 1024**2
