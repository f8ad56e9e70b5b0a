"""Reads that are asked of a second replica when the first one takes longer than most do.

Dean and Barroso, "The Tail at Scale" (2013): hedged requests, within a budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pastebin.hedging import Latencies
from pastebin.metrics import Metrics
from pastebin.retrying import Budget

T = TypeVar("T")

_RESERVE = 10.0
# Below this it is the loop of this node that makes answers late, which a second question would only make worse.
_LEAST_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    """What became of a question; an error is held here so that it ends no group of tasks."""

    answer: T | None = None
    error: Exception | None = None


@dataclass(slots=True)
class Hedges:
    """How long reads take of late, and how many of them may be asked twice; made by `Hedges.running`."""

    tasks: asyncio.TaskGroup
    share: float
    metrics: Metrics
    latencies: Latencies = field(default_factory=Latencies)
    _budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        self._budget = Budget(self.share, _RESERVE)

    @classmethod
    @asynccontextmanager
    async def running(cls, share: float, metrics: Metrics) -> AsyncIterator[Hedges]:
        """Answer while the block lasts; questions that nobody waits for any more are cut at its end."""
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            hedges = cls(tasks, share, metrics)
            try:
                yield hedges
            except Exception as error:  # the group would wrap it
                failure = error
        if failure is not None:
            raise failure

    def patience(self) -> float | None:
        """After how many seconds a second replica is asked; None while too little is known, or if it never is."""
        p95 = self.latencies.p95() if self.share else None
        return None if p95 is None else max(p95, _LEAST_SECONDS)

    async def race(self, first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[T]], seconds: float) -> T:
        """The answer of `first`, or of `second` if that is begun after `seconds` and comes earlier.

        Nobody waits for the other one, which is cancelled. Raises what `first` raises when neither answers.
        """
        self._budget.note()
        one = self.tasks.create_task(_outcome(first), name="asking a replica")
        running = {one}
        try:
            done, _ = await asyncio.wait(running, timeout=seconds)
            if not done and self._budget.take():
                running.add(self.tasks.create_task(_outcome(second), name="asking another replica as well"))
            winner = await _first_good(running) or one
            if len(running) > 1:
                self.metrics.database_hedges.labels("first" if winner is one else "second").inc()
            outcome = winner.result()
        finally:
            for task in running:
                task.cancel()
        if outcome.error is not None:
            raise outcome.error
        return outcome.answer  # type: ignore[return-value]  # there is one where there is no error


async def _outcome(question: Callable[[], Awaitable[T]]) -> _Outcome[T]:
    try:
        return _Outcome(answer=await question())
    except Exception as error:  # whoever waits hears of it
        return _Outcome(error=error)


async def _first_good(running: set[asyncio.Task[_Outcome[T]]]) -> asyncio.Task[_Outcome[T]] | None:
    waiting = set(running)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and task.result().error is None:
                return task
    return None
