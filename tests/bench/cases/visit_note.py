"""What the sink costs where an answer has been given: to decide whether a visit is noted, and to note it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from pastebin.http import counted
from pastebin.metrics import Metrics
from pastebin.sections import VisitsSection
from pastebin.services.counting import Counting, Here, People
from pastebin.services.spool import Spool
from tests.bench.edges import BROWSER
from tests.bench.harness import Case, Contest, WrongAnswer

AT_ONCE = 1000
BUDGET_MICROSECONDS = 5.0


@asynccontextmanager
async def prepared(directory: Path) -> AsyncIterator[Contest]:
    metrics, section = Metrics(), VisitsSection(exact_per_second=2**31 - 1)  # every visit is noted: the dearest case
    lost: list[str] = []

    def dropped(_count: int, reason: str) -> None:
        lost.append(reason)

    async with Spool.opened(directory, most_bytes=2**40, batch_events=5000, dropped=dropped) as spool:
        counting = Counting(spool, section, Here("eu", "fra1"), People(), metrics)
        answered = counted.noting(counting)
        request = make_mocked_request("GET", "/abc123/raw", headers=BROWSER)
        response = web.Response(body=b"x", headers={"Content-Type": "text/plain"})

        async def ours(seconds: float) -> float:
            noted, spent, until = 0, 0.0, time.perf_counter() + seconds
            while time.perf_counter() < until:
                before = time.process_time()
                for _ in range(AT_ONCE):
                    answered(request, response)
                spent += time.process_time() - before
                noted += AT_ONCE
                await counting.flush()
                await spool.flushed()  # the disk is not what is measured
            return noted / spent

        async def budget(_seconds: float) -> float:
            await asyncio.sleep(0)
            return 1e6 / BUDGET_MICROSECONDS

        async def check() -> None:
            await spool.flushed()
            if lost or metrics.registry.get_sample_value("pastebin_visits_dropped_total", {"reason": "buffer"}):
                raise WrongAnswer(f"visits were lost: {lost}")

        yield Contest(ours, budget, check)


CASE = Case(
    name="visit_note",
    unit="visits/processor second",
    ours="visits that the read path notes, every one of them",
    reference=f"{BUDGET_MICROSECONDS:g} microseconds a visit",
    goal=1.0,
    prepared=prepared,
)
