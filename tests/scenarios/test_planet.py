"""The whole diagram while it breaks: what was acknowledged stays, what was ended is gone, and it all comes back.

`--planet-seconds` and `--planet-seed` say how long and how; the same seed makes the same schedule of faults.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.histories.faults import schedule
from tests.lab import clocks
from tests.lab.lab import Lab
from tests.lab.plan import Plan
from tests.nodes import directory
from tests.scenarios import aftermath
from tests.scenarios.planet import Planet, planet

pytestmark = pytest.mark.scenario

_WARM_SECONDS = 12.0
_CALM_SECONDS = 8.0


@pytest.fixture(scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with directory() as path:
        settings = {"*": {"sweeping.interval_seconds": 5.0, "sweeping.reconcile_seconds": 20.0}}
        plan = Plan(("us", "eu"), replicas=2, workers=2, settings=settings, clocks=clocks.library() is not None)
        async with Lab.up(plan, path / "lab") as running:
            yield running


@pytest.fixture
async def world(lab: Lab) -> AsyncIterator[Planet]:
    async with planet(lab) as found:
        yield found


async def test_nothing_in_the_history_of_a_planet_that_breaks_is_impossible(
    world: Planet, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seed, seconds = request.config.getoption("planet_seed"), request.config.getoption("planet_seconds")
    faults = schedule(seed, seconds - _WARM_SECONDS - _CALM_SECONDS, world.ground)
    print(f"\n--planet-seed={seed} --planet-seconds={seconds:g}", *faults, sep="\n")
    play = world.play(seed)
    await play.run(_WARM_SECONDS)
    before = aftermath.Sizes.of(world)
    world.mark("warm")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(play.run(seconds - _WARM_SECONDS - _CALM_SECONDS))
        tasks.create_task(world.suffer(faults))
    found = await world.settle()
    await play.run(_CALM_SECONDS)
    await play.look_everywhere()
    found += await aftermath.queue_drains(world)
    found += await aftermath.counters(world)
    found += await aftermath.rows_of_keys(world)
    found += await aftermath.rows_and_objects(world)
    await play.look_everywhere()
    after = aftermath.Sizes.of(world)
    print(f"before: {before}\nafter: {after}")
    found += before.grown_to(after)
    world.ledger.history.save(tmp_path / "history.jsonl")
    wrong = world.judge(found, faults)
    assert not wrong, f"{wrong}\nhistory: {tmp_path / 'history.jsonl'}"
